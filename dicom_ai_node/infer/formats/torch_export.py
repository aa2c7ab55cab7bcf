"""torch.export: a graph in an archive. Reading it can run code, so somebody must vouch for it."""

import io
from pathlib import Path

import torch
from torch.export.passes import move_to_device_pass

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import NetworkFacts
from dicom_ai_node.infer.formats.batches import in_batches
from dicom_ai_node.infer.formats.drafts import Draft, draft_of_shapes
from dicom_ai_node.infer.sealed import SealedFolder

FILE = "models/model.pt2"


class ExportedNetwork(torch.nn.Module):
    """An exported program that looks like a network.

    Raises
    ------
    ModelUnusable
        If it takes more than one tensor.
    """

    def __init__(self, name: str, program: torch.export.ExportedProgram, device: str) -> None:
        super().__init__()
        given = program.graph_signature.user_inputs
        shapes = [
            node.meta["val"].shape
            for node in program.graph.nodes
            if node.op == "placeholder" and node.name in given
        ]
        if len(shapes) != 1:
            raise ModelUnusable(f"{name}: must take one tensor")
        self.shape = tuple(n if isinstance(n, int) else None for n in shapes[0])
        self._module = move_to_device_pass(program, device).module()

    def forward(self, group: torch.Tensor) -> torch.Tensor:
        """Return what the program gives for (batch, 1, *grid)."""
        return in_batches(self._module, group, self.shape[0])


def load(sealed: SealedFolder, _facts: NetworkFacts, device: str) -> torch.nn.Module:
    """Return the program, ready to predict. May run code of the file: ask `infer.trust` first.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS, is no exported program, or takes several tensors.
    """
    content, name = sealed.read(FILE), sealed.folder.name
    try:
        program = torch.export.load(io.BytesIO(content))
    except Exception as wrong:
        # What it raises depends on where in the archive it stumbles.
        raise ModelUnusable(f"{name}: {FILE} is no exported program of this torch") from wrong
    return ExportedNetwork(name, program, device).requires_grad_(requires_grad=False)


def draft(path: Path, axes: str | None) -> Draft | None:
    """Return what is known of a .pt2 file without reading it, or nothing if `path` is none."""
    if path.suffix != ".pt2":
        return None
    return draft_of_shapes("torch_export", {FILE: path}, axes)
