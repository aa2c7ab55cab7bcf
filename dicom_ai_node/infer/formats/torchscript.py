"""TorchScript: a program in an archive. It can run code, so that somebody must vouch for it."""

import io
import warnings
import zipfile
from pathlib import Path

import torch

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import NetworkFacts
from dicom_ai_node.infer.formats.drafts import Draft, draft_of_shapes
from dicom_ai_node.infer.sealed import SealedFolder

FILE = "models/model.ts"


def load(sealed: SealedFolder, _facts: NetworkFacts, device: str) -> torch.nn.Module:
    """Return the program, ready to predict. Runs code of the file: ask `infer.trust` first.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS or is no TorchScript.
    """
    content = sealed.read(FILE)
    try:
        with warnings.catch_warnings():
            # torch advises other formats; who has this one has this one.
            warnings.simplefilter("ignore", DeprecationWarning)
            program: torch.nn.Module = torch.jit.load(io.BytesIO(content), map_location=device)
    except (RuntimeError, ValueError) as wrong:
        raise ModelUnusable(f"{sealed.folder.name}: {FILE} is no TorchScript") from wrong
    return program.eval()


def draft(path: Path, axes: str | None) -> Draft | None:
    """Return what a TorchScript file tells without being run, or nothing if `path` is none."""
    if path.suffix not in {".ts", ".pt", ".pth", ".jit"} or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        # Weights alone are such an archive, too, but without code.
        if not any("/code/" in name for name in archive.namelist()):
            return None
    return draft_of_shapes("torchscript", {FILE: path}, axes)
