"""From a model folder to its network, in whatever format it comes."""

from collections.abc import Mapping
from importlib import import_module

import torch

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import Gives, ModelFacts
from dicom_ai_node.infer.adapted import Adapted
from dicom_ai_node.infer.formats import FORMATS
from dicom_ai_node.infer.sealed import SealedFolder
from dicom_ai_node.infer.trust import Trust

_PACKAGE = "dicom_ai_node.infer.formats"


def network(facts: ModelFacts, device: str = "cpu", trust: Trust | None = None) -> torch.nn.Module:
    """Return the network of a model with its weights, ready to predict on `device`.

    It takes (batch, 1, *grid) float32 with the axes of the grid as they run here, and gives one
    channel of logits per class. What can run code is loaded only if `trust` vouches for it.

    Raises
    ------
    ModelUnusable
        If nobody vouches for it, a file differs from SHA256SUMS, the definition names something
        that is not allowed, or the weights do not fit it.
    """
    sealed = SealedFolder(facts.folder)
    if sealed.digest != facts.digest:
        raise ModelUnusable(f"{facts.name}: the folder has changed, expected {facts.digest}")
    how = facts.network
    if how.format not in FORMATS:
        raise ModelUnusable(f"{facts.name}: there is no format {how.format}")
    if how.axes is not None and _asks_for_a_layer(facts):
        raise ModelUnusable(f"{facts.name}: with axes of its own it cannot be explained by a layer")
    (trust or Trust()).require(sealed, how.format)
    loaded: torch.nn.Module = import_module(f"{_PACKAGE}.{how.format}").load(sealed, how, device)
    if how.axes is None and how.gives is Gives.LOGITS:
        return loaded
    return Adapted(loaded, how)


def _asks_for_a_layer(facts: ModelFacts) -> bool:
    said = facts.settings.get("explain")
    return "explain_layer" in facts.settings or (isinstance(said, Mapping) and "layer" in said)
