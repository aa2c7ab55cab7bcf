"""Networks that were exported for one size of batch."""

from collections.abc import Callable

import torch


def in_batches(
    call: Callable[[torch.Tensor], torch.Tensor], group: torch.Tensor, size: int | None
) -> torch.Tensor:
    """Return what `call` says of `group` (batch, ...), asked `size` at a time.

    `None` means that any number goes. What lacks in the last batch is filled up with its first
    item, and the answers to that are left out.
    """
    if size is None or len(group) == size:
        return call(group)
    answers = []
    for part in group.split(size):
        lacking = size - len(part)
        filled = torch.cat([part, part[:1].expand(lacking, *part.shape[1:])]) if lacking else part
        answers.append(call(filled)[: len(part)])
    return torch.cat(answers)
