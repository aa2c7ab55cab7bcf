"""How busy the devices of this machine are: measured every few seconds, kept minute by minute."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from dicom_ai_node.domain.devices import DeviceUse, GpuSeen, SlotSeen, Watched
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.infer.gpu import LookUp

SAMPLE_SECONDS = 10.0


@dataclass(slots=True)
class _Minute:
    """What was measured of one device in the present minute."""

    slots: int = 0
    seconds: float = 0.0
    busy_seconds: float = 0.0
    uses: list[float] = field(default_factory=list)
    gpu: GpuSeen | None = None


@dataclass(slots=True, kw_only=True)
class Sampler:
    """Adds up what slots have worked, and asks their GPUs.

    Parameters
    ----------
    machine
        What this machine is called.
    executors
        Whose slots are measured.
    look_up
        Returns what is known of a GPU now; asked once per GPU and sample.
    keep
        `DevicesUsed.note_use` of a ledger: called with the present minute, again and again.
    now
        The present time, UTC; no sample is longer than it says.
    """

    machine: str
    executors: Sequence[Watched]
    look_up: LookUp
    keep: Callable[[Sequence[DeviceUse]], None]
    now: Callable[[], datetime]
    _last_at: datetime | None = None
    _last: Mapping[tuple[int, int], float] = field(default_factory=dict)
    _minute_at: datetime | None = None
    _minute: dict[str, _Minute] = field(default_factory=dict)

    def sample(self) -> None:
        """Measure what was done since the last sample; a ledger that is busy hears it later."""
        now = self.now()
        if now.replace(second=0, microsecond=0) != self._minute_at:
            self._minute_at = now.replace(second=0, microsecond=0)
            self._minute = {}
        slots = {
            (number, place): slot
            for number, executor in enumerate(self.executors)
            for place, slot in enumerate(executor.slots_seen())
        }
        self._add(slots, 0.0 if self._last_at is None else (now - self._last_at).total_seconds())
        self._last_at = now
        self._last = {key: slot.busy_seconds for key, slot in slots.items()}
        with suppress(OutOfResources):
            self.keep(list(self._rows(self._minute_at)))

    def _add(self, slots: Mapping[tuple[int, int], SlotSeen], seconds: float) -> None:
        seen: dict[str, GpuSeen] = {}
        on_device: dict[str, list[tuple[tuple[int, int], SlotSeen]]] = defaultdict(list)
        for key, slot in slots.items():
            on_device[slot.device].append((key, slot))
        for device, each in on_device.items():
            minute = self._minute.setdefault(device, _Minute())
            minute.slots = len(each)
            if seconds > 0:
                minute.seconds += seconds
                minute.busy_seconds += sum(
                    slot.busy_seconds - self._last.get(key, slot.busy_seconds) for key, slot in each
                )
            for gpu in (slot.gpu for _, slot in each):
                if gpu is not None:
                    if gpu.uuid not in seen:
                        seen[gpu.uuid] = self.look_up(gpu)
                    minute.gpu = seen[gpu.uuid]
            if minute.gpu is not None and minute.gpu.use is not None:
                minute.uses.append(minute.gpu.use)

    def _rows(self, at: datetime) -> Iterator[DeviceUse]:
        for device, minute in self._minute.items():
            whole = minute.slots * minute.seconds
            gpu = minute.gpu
            yield DeviceUse(
                at=at,
                machine=self.machine,
                device=device,
                slots=minute.slots,
                busy=min(1.0, max(0.0, minute.busy_seconds / whole)) if whole else 0.0,
                gpu=sum(minute.uses) / len(minute.uses) if minute.uses else None,
                gpu_used_bytes=None if gpu is None else gpu.used_bytes,
                gpu_bytes=None if gpu is None else gpu.bytes,
            )
