"""A network as its guard asks it: whatever it takes and gives, one tensor in and one out."""

from torch import Tensor, nn

from dicom_ai_node.domain.restoring import cubic

COMPETING = ("classify", "fuse", "segment", "segment_instances")
"""Kinds of task whose networks give one channel per class."""
Z_RANGE = 4.0
"""So many standard deviations count as the range of what is scaled by its z-score: to the guard
they are 0 to 1, and 1/255 of an attack is 1/255 of them."""


class Asked(nn.Module):
    """Takes (items, inputs, *axes) float32 in 0..1, gives (items, classes, ...) or (items, 1, n).

    Parameters
    ----------
    network
        As its task asks it.
    kind
        Of the task.
    span
        What the network takes is so many times what the guard looks at.
    factor
        How many times more rows and columns the network is given.
    told
        How many numbers on the patient the network takes. None is told: 0 means unknown.
    """

    def __init__(
        self, network: nn.Module, kind: str, *, span: float = 1.0, factor: int = 1, told: int = 0
    ) -> None:
        super().__init__()
        self.network = network
        self._is_competing = kind in COMPETING
        self._span = span
        self._factor = factor
        self._told = told

    def forward(self, items: Tensor) -> object:
        """Return what the network says."""
        given = self.given(items)
        if self._told:
            answer = self.network(given, given.new_zeros((len(given), self._told)))
        else:
            answer = self.network(given)
        if self._is_competing or not isinstance(answer, Tensor):
            return answer
        return answer.flatten(1)[:, None]

    def given(self, items: Tensor) -> Tensor:
        """Return what the network takes."""
        if self._factor == 1:
            return items * self._span if self._span != 1 else items
        rows, columns = (
            items.new_tensor(cubic(length, self._factor)) for length in items.shape[-2:]
        )
        larger: Tensor = (rows @ items @ columns.T).clamp(0, 1)
        return larger
