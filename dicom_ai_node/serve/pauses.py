"""Who is wrong too often has to wait, longer each time."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from dicom_ai_node.serve.address import address

MOST_REMEMBERED = 10_000
FORGET_SECONDS = 3600.0


@dataclass(slots=True)
class _Record:
    times: int = 0
    last: float = 0.0


class Pauses:
    """Counts failures by a key, and says how long whoever it stands for has to wait.

    Lives in the memory of the one process that answers HTTP, on its event loop.
    """

    def __init__(
        self, free: int, longest_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._free = free
        self._longest_seconds = longest_seconds
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def seconds(self, key: str) -> float:
        """Return how long to wait from now; 0 if one may try."""
        record = self._records.get(key)
        if record is None or record.times < self._free:
            return 0.0
        pause = min(2.0 ** min(record.times - self._free, 30), self._longest_seconds)
        return max(0.0, record.last + pause - self._clock())

    def count(self, key: str) -> None:
        """Count a try."""
        now = self._clock()
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        record.times = 1 if now - record.last > FORGET_SECONDS else record.times + 1
        record.last = now
        if len(self._records) > MOST_REMEMBERED:
            self._records.popitem(last=False)

    def forgive(self, key: str) -> None:
        """Take back the last try: it was right."""
        record = self._records.get(key)
        if record is not None:
            record.times -= 1

    def forget(self, key: str) -> None:
        """Begin anew."""
        self._records.pop(key, None)


def neighbourhood(text: str) -> str:
    """Return what counts as one address: of IPv6 the network, which one customer has."""
    parsed = address(text)
    if parsed is None:
        return text
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return parsed.exploded[:19]
    return str(parsed)
