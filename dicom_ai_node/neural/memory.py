"""As much memory as there is: what does not fit is computed again in smaller portions."""

import gc
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch

from dicom_ai_node.domain.errors import OutOfResources

AT_ONCE = 8
"""Frames or windows in one batch where the model does not say."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to use memory: how many at once, and where windows are put together."""

    batch: int
    stitch_on: str


class Ladder:
    """Tries with less and less memory at once, and remembers for each shape what held.

    The result is the same on every rung, in the same precision.

    Parameters
    ----------
    device
        Where the network lies.
    batch
        Frames or windows at once on the first rung.
    """

    def __init__(self, device: str, batch: int = AT_ONCE) -> None:
        self._device = device
        self._rungs = list(rungs(batch, device))
        self._held: dict[Hashable, int] = {}

    def climb(self, key: Hashable, compute: Callable[[Rung], _T]) -> tuple[_T, tuple[str, ...]]:
        """Return what `compute` gives on the first rung that holds, and what to say about it.

        Raises
        ------
        OutOfResources
            If there is no memory even for the smallest portion.
        """
        for place in range(self._held.get(key, 0), len(self._rungs)):
            try:
                found = compute(self._rungs[place])
            except (RuntimeError, MemoryError) as fault:
                if not is_out_of_memory(fault):
                    raise
            else:
                self._held[key] = place
                return found, self._remarks(self._rungs[place])
            # Outside of the except block, where the traceback no longer holds tensors.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        raise OutOfResources(f"no memory on {self._device} for {key}")

    def _remarks(self, rung: Rung) -> tuple[str, ...]:
        first = self._rungs[0]
        if rung == first:
            return ()
        where = "" if rung.stitch_on == first.stitch_on else ", put together on the CPU"
        return (f"memory was short: computed {rung.batch} at a time{where}, in the same precision",)


def rungs(batch: int, device: str) -> Iterator[Rung]:
    """Yield ever smaller uses of memory: half the batch each time, then windows on the CPU."""
    while batch > 1:
        yield Rung(batch, device)
        batch //= 2
    yield Rung(1, device)
    if device != "cpu":
        yield Rung(1, "cpu")


def is_out_of_memory(fault: BaseException) -> bool:
    """Return whether `fault` or what caused it is a lack of memory; MONAI wraps some of them."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError | MemoryError):
            return True
        if "out of memory" in str(cause).lower() or "can't allocate memory" in str(cause).lower():
            return True
        cause = cause.__cause__ or cause.__context__
    return False
