"""The whole node under a mixed load: how many studies an hour, and where the time goes.

CT, MR and X-rays arrive faster than they can be looked at, by two senders at once; all have a
route, a model that runs on the CPU, and objects that a PACS takes at once. Measured is from the first
instance to the last result, without the quiet time, and what each process of the tree has needed.
Nobody stands beside: no peer does the same work with the same models.
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from statistics import median

from bench.processes import cpu_seconds, family
from bench.results import Kind, Row
from bench.session import TROUBLE, Session
from bench.units import CPU_S, PER_HOUR
from bench.wards import QUIET_SECONDS, Ward, mixed, opened, patient
from dicom_ai_node import compose
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.overview import SqlOverview

OURS = "dicom_ai_node"
_SENDERS = 2


def run(session: Session) -> None:
    """Send, wait, and tell."""
    count, slices, side = session.choose((2, 8, 64), (8, 30, 256), (24, 100, 512))
    kinds = mixed(slices, side)
    studies = [
        patient(session.folder / "studies", number, kinds[number % len(kinds)][1])
        for number in range(count)
    ]
    work = f"{count} studies: CT of {slices} x {side} x {side}, MR, X-rays"
    try:
        with opened(session.folder) as ward:
            before, began = _by_role(ward), time.monotonic()
            _sent(ward, studies)
            session.tell(f"hospital: all is sent after {time.monotonic() - began:.0f} s")
            ward.ended(count)
            seconds = time.monotonic() - began - QUIET_SECONDS
            spent = {name: now - before.get(name, 0.0) for name, now in _by_role(ward).items()}
            session.note(f"hospital: {_legs(ward)}")
    except TROUBLE as trouble:
        session.fails(OURS, Kind.OURS, trouble)
        return
    rate = 3600 * count / seconds
    session.rows.append(Row("hospital", work, PER_HOUR, OURS, Kind.OURS, (rate,)))
    for name, cpu in sorted(spent.items(), key=lambda one: -one[1]):
        values = (cpu / count,)
        session.rows.append(Row("hospital", f"CPU of {name}", CPU_S, OURS, Kind.OURS, values))


def _sent(ward: Ward, studies: Sequence[Sequence[Path]]) -> None:
    with ThreadPoolExecutor(_SENDERS) as senders:
        list(senders.map(ward.send, studies))


def _by_role(ward: Ward) -> Mapping[str, float]:
    """Return the processor time of each process of the tree by its role; alike ones together."""
    found: dict[str, float] = {}
    for pid in family(ward.pid):
        with suppress(OSError):
            name = _role(pid)
            own = cpu_seconds(pid) - sum(cpu_seconds(child) for child in _children(pid))
            found[name] = found.get(name, 0.0) + own
    return found


def _role(pid: int) -> str:
    """Return what a process is called; workers are told apart by what they have loaded."""
    name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    if not name.startswith("python"):
        return name.rstrip("0123456789-")
    if "libtorch" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8"):
        return "the models"
    return "the encoder and the root"


def _children(pid: int) -> list[int]:
    return [each for each in family(pid)[1:] if _parent(each) == pid]


def _parent(pid: int) -> int:
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(") ")[2].split()[1])
    return 0


def _legs(ward: Ward) -> str:
    """Return how long a job spends in each leg."""
    overview = SqlOverview(open_database(compose.settings(ward.node.config).store.database_url))
    return ", ".join(
        f"{leg} {median(seconds):.1f} s" for leg, seconds in overview.leg_seconds(1000).items()
    )
