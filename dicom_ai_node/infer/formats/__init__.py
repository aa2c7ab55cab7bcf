"""Formats in which networks come: one module each, which is imported only to load one.

A module has `load(sealed, facts, device)`, which returns the network ready to predict, and
`draft(path)`, which says what a file or folder from elsewhere tells of itself. What has to be
known of a format without loading torch stands here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What the catalogue must know of a format.

    Attributes
    ----------
    needs
        Files without which a folder in this format is no model.
    runs_code
        Whether loading it, or running it, can do more than compute. Then somebody must vouch
        for it, see `infer.trust`.
    """

    needs: tuple[str, ...]
    runs_code: bool = False


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "bundle": Format(
            needs=(
                "configs/metadata.json",
                "configs/inference.json",
                "models/model.safetensors",
            )
        ),
        # The zoo writes inference.json or inference.yaml; the loader looks for either.
        "monai": Format(needs=("models/model.pt",)),
        "nnunet": Format(needs=("models/dataset.json", "models/plans.json")),
        # A graph of operators that are compiled into onnxruntime; no library of others is loaded.
        "onnx": Format(needs=("models/model.onnx",)),
        "torch_export": Format(needs=("models/model.pt2",), runs_code=True),
        "torchscript": Format(needs=("models/model.ts",), runs_code=True),
    }
)
