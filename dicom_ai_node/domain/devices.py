"""What workers run on, and how busy that is: minute by minute, for an hour, and no longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from dicom_ai_node.domain.progress import HowFar

REMEMBERED = timedelta(hours=1)
"""What is older is forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSeen:
    """One GPU at one moment.

    Attributes
    ----------
    uuid
        As NVIDIA's driver names it: `GPU-` and 32 digits in groups.
    use
        How much of the time it computes, 0 to 1; `None` if nobody knows.
    used_bytes, bytes
        Memory that anybody on the machine holds, and how much there is.
    """

    uuid: str
    used_bytes: int
    bytes: int
    use: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSeen:
    """A place for one worker.

    Attributes
    ----------
    busy_seconds
        How long it has worked since the node was started; it only grows.
    gpu
        What its worker said last of the GPU that it runs on.
    """

    device: str
    busy_seconds: float
    gpu: GpuSeen | None = None


class Watched(Protocol):
    """What others may see of an executor."""

    def progress(self) -> Sequence[HowFar]:
        """Return how far what runs is, as it was heard by the last poll."""

    def slots_seen(self) -> Sequence[SlotSeen]:
        """Return how much every slot has worked since the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUse:
    """How much a device of a machine was used in the minute that began at `at`.

    Attributes
    ----------
    busy
        Which part of the time of its slots they worked, 0 to 1.
    gpu
        Which part of the time it computed for anybody, 0 to 1; `None` if nobody knows.
    gpu_used_bytes, gpu_bytes
        Its memory, as it was seen last; `None` where there is no GPU.
    """

    at: datetime
    machine: str
    device: str
    slots: int
    busy: float
    gpu: float | None = None
    gpu_used_bytes: int | None = None
    gpu_bytes: int | None = None


class Used(Protocol):
    """Where the use of devices is remembered."""

    def note_use(self, minute: Sequence[DeviceUse]) -> None:
        """Remember a minute of this machine in place of what was known of it; forget old ones."""

    def device_use(self, since: datetime) -> Sequence[DeviceUse]:
        """Return every minute since, by machine and device, oldest first."""
