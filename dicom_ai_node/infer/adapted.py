"""A network from elsewhere, so that it takes and gives what a task expects."""

import torch

from dicom_ai_node.domain.model import Gives, NetworkFacts
from dicom_ai_node.infer.formats.drafts import OPPOSITE, OWN_AXES

LEAST = 1e-7
"""A smaller probability is taken for this one, whose logarithm is still a number."""
BATCH_AXES = 2
"""(batch, channels) before the axes of the grid."""


class Adapted(torch.nn.Module):
    """A network whose axes run otherwise, or that gives something else than one logit a class.

    Parameters
    ----------
    network
        Takes (batch, 1, *axes), gives (batch, channels, *axes) or (batch, channels).
    facts
        In which direction its axes run, and what its output is.
    """

    def __init__(self, network: torch.nn.Module, facts: NetworkFacts) -> None:
        super().__init__()
        self.network = network
        self._gives = facts.gives
        own = OWN_AXES[-len(facts.axes) :] if facts.axes else ""
        axes = facts.axes or ""
        self._order = [own.index(a) if a in own else own.index(OPPOSITE[a]) for a in axes]
        self._flipped = [BATCH_AXES + k for k, a in enumerate(axes) if a not in own]

    def forward(self, group: torch.Tensor) -> object:
        """Return (batch, classes, *grid) logits for (batch, 1, *grid)."""
        found = self.network(self._there(group))
        if not isinstance(found, torch.Tensor) or found.ndim < BATCH_AXES:
            return found  # the task says what is wrong with it
        if found.ndim == group.ndim:
            found = self._back(found)
        return logits_of(found, self._gives)

    def _there(self, group: torch.Tensor) -> torch.Tensor:
        if not self._order:
            return group
        order = (0, 1, *(BATCH_AXES + k for k in self._order))
        return group.permute(order).flip(self._flipped).contiguous()

    def _back(self, found: torch.Tensor) -> torch.Tensor:
        if not self._order:
            return found
        order = sorted(range(len(self._order)), key=self._order.__getitem__)
        return found.flip(self._flipped).permute(0, 1, *(BATCH_AXES + k for k in order))


def logits_of(found: torch.Tensor, gives: Gives) -> torch.Tensor:
    """Return one logit a class, whose softmax is what the network meant."""
    match gives:
        case Gives.LOGITS:
            return found
        case Gives.PROBABILITIES:
            return found.clamp(min=LEAST).log()
        case Gives.LOGIT:
            return torch.cat([torch.zeros_like(found), found], dim=1)
        case Gives.PROBABILITY:
            return torch.cat([1 - found, found], dim=1).clamp(min=LEAST).log()
