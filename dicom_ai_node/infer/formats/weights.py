"""Weights that torch has pickled, read without running what a pickle may hold."""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import torch

from dicom_ai_node.domain.errors import ModelUnusable


class Ignored:
    """Stands for a number of numpy in a log or a score beside the weights."""

    def __init__(self, *_arguments: object) -> None:
        """Take whatever numpy would take."""

    def __setstate__(self, _state: object) -> None:
        """Forget it."""


_NUMPY = (
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.dtypes.Float32DType",
    "numpy.dtypes.Float64DType",
    "numpy.dtypes.Int64DType",
)
"""What the logs of a training hold; nothing of numpy is called, see `Ignored`."""


def unpickled(name: str, content: bytes) -> Mapping[str, Any]:
    """Return the mapping that `torch.save` wrote, read with `weights_only`.

    Raises
    ------
    ModelUnusable
        If it holds anything but tensors, plain values and numbers of numpy, or is no mapping.
    """
    try:
        with torch.serialization.safe_globals([(Ignored, path) for path in _NUMPY]):
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as no:
        raise ModelUnusable(
            f"{name} holds more than weights, and that could run code: it is not loaded"
        ) from no
    except Exception as wrong:
        # A damaged file raises whatever the reader happens to stumble over.
        raise ModelUnusable(f"{name} cannot be read as weights") from wrong
    if not isinstance(found, Mapping):
        raise ModelUnusable(f"{name} holds no weights by name")
    return found
