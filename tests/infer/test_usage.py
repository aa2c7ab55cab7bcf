"""How busy devices are: seconds of work by seconds of time, and what a GPU says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from dicom_ai_node.domain.devices import DeviceUse, GpuSeen, SlotSeen
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.progress import HowFar
from dicom_ai_node.infer.usage import Sampler
from tests.store.made import MINUTE, NOON, SECOND

GPU = GpuSeen(uuid="GPU-1", used_bytes=1, bytes=4)


@dataclass
class Slots:
    """An executor whose slots have worked as long as a test says."""

    seen: list[SlotSeen] = field(default_factory=list)

    def progress(self) -> Sequence[HowFar]:
        """Return nothing."""
        return []

    def slots_seen(self) -> Sequence[SlotSeen]:
        """Return the slots."""
        return self.seen


@dataclass
class Clock:
    """A clock that a test moves."""

    now: object = NOON

    def __call__(self) -> object:
        """Return the time."""
        return self.now


def _cpu(seconds: float) -> SlotSeen:
    return SlotSeen(device="cpu", busy_seconds=seconds)


def _sampler(slots: Slots, clock: Clock, **more: object) -> tuple[Sampler, list[list[DeviceUse]]]:
    kept: list[list[DeviceUse]] = []
    known = {"look_up": lambda gpu: gpu, "keep": kept.append, **more}
    return Sampler(machine="box", executors=(slots,), now=clock, **known), kept  # type: ignore[arg-type]


def test_busy_is_the_part_of_their_time_that_workers_worked() -> None:
    """Two workers, one of which worked for 6 of 10 seconds: 30 % of what there was."""
    slots, clock = Slots([_cpu(100), _cpu(7)]), Clock(NOON + SECOND)
    sampler, kept = _sampler(slots, clock)
    sampler.sample()
    assert [(one.device, one.slots, one.busy) for one in kept[-1]] == [("cpu", 2, 0.0)]
    clock.now = NOON + 11 * SECOND
    slots.seen = [_cpu(106), _cpu(7)]
    sampler.sample()
    (row,) = kept[-1]
    assert row.busy == pytest.approx(0.3)
    assert (row.at, row.machine, row.gpu, row.gpu_bytes) == (NOON, "box", None, None)


def test_a_minute_is_told_until_it_is_over() -> None:
    """Each sample tells the whole minute again; the next minute begins from nothing."""
    slots, clock = Slots([_cpu(0)]), Clock(NOON)
    sampler, kept = _sampler(slots, clock)
    for seconds in range(0, 61, 10):
        clock.now = NOON + seconds * SECOND
        slots.seen = [_cpu(min(seconds, 30))]
        sampler.sample()
    assert [row.at for (row,) in kept] == [NOON] * 6 + [NOON + MINUTE]
    assert [round(row.busy, 2) for (row,) in kept] == [0.0, 1.0, 1.0, 1.0, 0.75, 0.6, 0.0]


def test_a_gpu_is_asked_once_for_all_its_workers() -> None:
    """Its use is the mean over the minute, its memory what was seen last."""
    asked: list[str] = []
    uses = iter((0.2, 0.6))

    def look_up(gpu: GpuSeen) -> GpuSeen:
        asked.append(gpu.uuid)
        return replace(gpu, use=next(uses), used_bytes=len(asked))

    one = SlotSeen(device="cuda:0", busy_seconds=0, gpu=GPU)
    clock = Clock(NOON)
    sampler, kept = _sampler(Slots([one, one]), clock, look_up=look_up)
    sampler.sample()
    clock.now = NOON + 10 * SECOND
    sampler.sample()
    (row,) = kept[-1]
    assert asked == ["GPU-1", "GPU-1"]
    assert (row.gpu, row.gpu_used_bytes, row.gpu_bytes) == (pytest.approx(0.4), 2, 4)


def test_a_busy_ledger_and_a_clock_that_jumps_do_no_harm() -> None:
    """Nothing is raised, and no part is more than all."""
    slots, clock = Slots([_cpu(0)]), Clock(NOON)
    kept: list[Sequence[DeviceUse]] = []
    is_busy = True

    def keep(rows: Sequence[DeviceUse]) -> None:
        if is_busy:
            raise OutOfResources("the ledger cannot answer now")
        kept.append(rows)

    sampler, _ = _sampler(slots, clock, keep=keep)
    sampler.sample()
    is_busy = False
    clock.now = NOON - timedelta(hours=1)
    slots.seen = [_cpu(10)]
    sampler.sample()
    clock.now = NOON - timedelta(hours=1) + SECOND
    slots.seen = [_cpu(20)]
    sampler.sample()
    assert [row.busy for (row,) in kept] == [0.0, 1.0]
