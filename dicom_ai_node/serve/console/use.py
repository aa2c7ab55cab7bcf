"""How busy devices were in the last hour, as numbers for inline SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from dicom_ai_node.domain.devices import REMEMBERED, DeviceUse

MINUTE = timedelta(minutes=1)
WIDTH, HEIGHT = 720, 56
_BASE, _TOP = 54, 4
_MINUTES = REMEMBERED // MINUTE
_STEP = WIDTH / _MINUTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One minute of the chart, in the units of its view box."""

    x: float
    y: float
    width: float
    height: float
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHour:
    """One device: bars for its workers, lines for its GPU, and what it does now.

    Attributes
    ----------
    bars
        A bar for every minute in which a worker worked.
    gpu, memory
        Lines as SVG has their points; several where nothing was measured in between.
    busy
        Percent of the time that was measured in which its workers worked.
    newest
        The last minute that was measured.
    """

    name: str
    bars: tuple[Minute, ...]
    gpu: tuple[str, ...]
    memory: tuple[str, ...]
    busy: int
    newest: DeviceUse
    base: float = _BASE
    top: float = _TOP


def first_minute(now: datetime) -> datetime:
    """Return the first minute of a chart that ends with that of `now`."""
    return now.replace(second=0, microsecond=0) - (_MINUTES - 1) * MINUTE


def hour_of(use: Sequence[DeviceUse], now: datetime) -> list[DeviceHour]:
    """Return the devices of every machine; `use` is by machine and device, oldest first."""
    first = first_minute(now)
    machines = {one.machine for one in use}
    found = []
    for (machine, device), group in groupby(use, key=lambda one: (one.machine, one.device)):
        minutes = [one for one in group if first <= one.at <= now]
        if not minutes:
            continue
        found.append(
            DeviceHour(
                name=device if len(machines) == 1 else f"{machine} {device}",
                bars=tuple(_bar(one, first) for one in minutes if one.busy > 0),
                gpu=_lines(minutes, first, lambda one: one.gpu),
                memory=_lines(minutes, first, filled),
                busy=round(100 * sum(one.busy for one in minutes) / len(minutes)),
                newest=minutes[-1],
            )
        )
    return found


def filled(one: DeviceUse) -> float | None:
    """Return which part of the memory of a GPU is in use; `None` where there is no GPU."""
    if one.gpu_used_bytes is None or not one.gpu_bytes:
        return None
    return one.gpu_used_bytes / one.gpu_bytes


def _bar(one: DeviceUse, first: datetime) -> Minute:
    height = max(1.0, one.busy * (_BASE - _TOP))
    return Minute(
        x=round((one.at - first) / MINUTE * _STEP + 1, 1),
        y=round(_BASE - height, 1),
        width=round(_STEP - 2, 1),
        height=round(height, 1),
        percent=round(100 * one.busy),
    )


def _lines(
    minutes: Sequence[DeviceUse], first: datetime, value: Callable[[DeviceUse], float | None]
) -> tuple[str, ...]:
    lines: list[list[str]] = []
    before: datetime | None = None
    for one in minutes:
        part = value(one)
        if part is None:
            continue
        if before is None or one.at - before > MINUTE:
            lines.append([])
        before = one.at
        x, y = ((one.at - first) / MINUTE + 0.5) * _STEP, _BASE - part * (_BASE - _TOP)
        lines[-1].append(f"{x:.1f},{y:.1f}")
    # A line of one point shows nothing: it is drawn as wide as its minute.
    return tuple(" ".join(line if len(line) > 1 else _widened(line[0])) for line in lines)


def _widened(point: str) -> list[str]:
    x, _, y = point.partition(",")
    return [f"{float(x) - _STEP / 2:.1f},{y}", f"{float(x) + _STEP / 2:.1f},{y}"]
