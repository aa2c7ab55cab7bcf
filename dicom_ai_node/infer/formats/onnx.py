"""ONNX, computed by onnxruntime. A graph of known operators: it needs nobody's trust.

onnxruntime runs only operators that are compiled into it; libraries of custom operators would
have to be registered here, and are not. Weights in files beside the model are refused, for their
names could lead anywhere.
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.model import NetworkFacts
from dicom_ai_node.infer.formats.batches import in_batches
from dicom_ai_node.infer.formats.drafts import Draft, draft_of_shapes
from dicom_ai_node.infer.sealed import SealedFolder

FILE = "models/model.onnx"
_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
_NO_PLACE = "/proc/self/no-weights-beside-the-model"


class OnnxNetwork(torch.nn.Module):
    """A session of onnxruntime that looks like a network.

    Raises
    ------
    ModelUnusable
        If the graph cannot be used, or has not one input of floats and one output.
    """

    def __init__(self, name: str, content: bytes, device: str) -> None:
        super().__init__()
        self._name = name
        self._session = _session(name, content, device)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in _TYPES:
            raise ModelUnusable(f"{name}: must have one input of floats and one output")
        self.shape = tuple(n if isinstance(n, int) else None for n in inputs[0].shape)
        self.channels = outputs[0].shape[1] if len(outputs[0].shape or ()) > 1 else None
        self._input = inputs[0].name
        self._type = _TYPES[inputs[0].type]

    def forward(self, group: torch.Tensor) -> torch.Tensor:
        """Return what the graph gives for (batch, 1, *grid)."""
        return in_batches(self._run, group, self.shape[0])

    def _run(self, group: torch.Tensor) -> torch.Tensor:
        given = group.to("cpu", self._type).contiguous().numpy()
        try:
            (found,) = self._session.run(None, {self._input: given})
        except Exception as wrong:
            # onnxruntime has exceptions of its own for every status.
            if "allocate memory" in str(wrong):
                raise MemoryError(f"{self._name}: out of memory") from wrong
            raise TaskFailed(f"{self._name}: onnxruntime could not compute it") from wrong
        return torch.from_numpy(found).float().to(group.device)


def load(sealed: SealedFolder, _facts: NetworkFacts, device: str) -> torch.nn.Module:
    """Return the network, ready to predict; on a GPU only if onnxruntime was built for it.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS, onnxruntime is not there, or does not take the graph.
    """
    return OnnxNetwork(sealed.folder.name, sealed.read(FILE), device)


def draft(path: Path, axes: str | None) -> Draft | None:
    """Return what an ONNX file tells of itself, or nothing if `path` is none."""
    if path.suffix != ".onnx":
        return None
    network = OnnxNetwork(path.stem, path.read_bytes(), "cpu")
    return draft_of_shapes("onnx", {FILE: path}, axes, network.shape, network.channels)


def _session(name: str, content: bytes, device: str) -> Any:  # noqa: ANN401 - onnxruntime has no types
    if importlib.util.find_spec("onnxruntime") is None:
        raise ModelUnusable(f"{name}: needs onnxruntime: pip install 'dicom-ai-node[onnx]'")
    import onnxruntime  # noqa: PLC0415 - an extra

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it prints is not ours to check for names
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NO_PLACE
    )
    kind, _, number = device.partition(":")
    has_gpu = kind == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    gpu = [("CUDAExecutionProvider", {"device_id": number or "0"})] if has_gpu else []
    try:
        return onnxruntime.InferenceSession(
            content, options, providers=[*gpu, "CPUExecutionProvider"]
        )
    except Exception as wrong:
        # onnxruntime has exceptions of its own for every status.
        raise ModelUnusable(f"{name}: onnxruntime does not take {FILE}") from wrong
