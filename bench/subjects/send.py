"""C-STORE and STOW-RS send: files on the disk, to a receiver that throws everything away.

The node, pynetdicom and dicomweb-client send from a process that is warm; of DCMTK's programs the
start is a part. As installed these, and pynetdicom, wait some 25 ms for each object: the kernel holds
back what does not fill a packet. So they are given few.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import contenders, objects
from bench.contenders import AE_TITLE, NODELAY, SENDER
from bench.forking import Server, ordering
from bench.objects import Template
from bench.processes import running
from bench.results import Kind
from bench.session import Contender, Session
from bench.units import MB_PER_S, OBJECTS_PER_S, Unit
from tests.peers.tools import find, free_port, listens

OURS, BY_STOW = "dicom_ai_node", "dicom_ai_node by STOW-RS"
WEB, SCU = "dicomweb-client", "pynetdicom SCU"
_FEW = 40
_PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Parcels:
    """Files in a folder, and the first few of them in another."""

    name: str
    whole: Path
    few: Path
    unit: Unit = OBJECTS_PER_S


Send = Callable[[Parcels], tuple[Path, float]]
"""Sends a folder, and returns which, and the seconds."""


def run(session: Session) -> None:
    """Measure everybody with each kind of object, by C-STORE and by STOW-RS."""
    parcels = list(_parcels(session))
    with ExitStack() as stack:
        dimse, web = _sinks(session, stack)
        senders = {
            **{name: _warm(session, stack, name, dimse) for name in (OURS, SCU)},
            **{name: _warm(session, stack, name, web) for name in (BY_STOW, WEB)},
            "storescu, TCP_NODELAY=1": partial(_dcmtk, "storescu", NODELAY, dimse),
            "dcmsend, TCP_NODELAY=1": partial(_dcmtk, "dcmsend", NODELAY, dimse),
            "storescu": partial(_dcmtk, "storescu", {}, dimse),
            "dcmsend": partial(_dcmtk, "dcmsend", {}, dimse),
        }
        for some in parcels:
            by_c_store = [OURS, *(name for name in senders if name not in (BY_STOW, OURS, WEB))]
            _measure(session, some, "C-STORE", {name: senders[name] for name in by_c_store})
            beside = (BY_STOW, WEB, "storescu, TCP_NODELAY=1", SCU)
            _measure(session, some, "STOW-RS", {name: senders[name] for name in beside})


def _measure(session: Session, some: Parcels, how: str, senders: Mapping[str, Send]) -> None:
    everybody = []
    for place, name in enumerate(senders):
        kind = Kind.PEER if place else Kind.OURS
        if session.wants(name, kind):
            everybody.append(Contender(OURS if kind is Kind.OURS else name, kind))
    mine = {OURS: next(iter(senders.values()))}

    def timed(contender: Contender) -> Mapping[Unit, float]:
        send = {**senders, **mine}[contender.name]
        folder, seconds = send(some)
        sizes = [path.stat().st_size for path in folder.iterdir()]
        much = len(sizes) if some.unit is OBJECTS_PER_S else sum(sizes) / 1e6
        return {some.unit: much / seconds}

    session.measure(f"{some.name}, {how}", everybody, timed)


def _parcels(session: Session) -> Iterator[Parcels]:
    slices, small = session.choose(4, 100, 300), session.choose(4, 200, 1000)
    megabytes = session.choose(2, 50, 500)
    folder = session.folder
    for name, template, count, unit in (
        (f"CT of {slices} x 0.5 MB", objects.ct_slice(folder), slices, OBJECTS_PER_S),
        (f"{small} objects of 20 KB", objects.small_image(folder), small, OBJECTS_PER_S),
        (f"cine of {megabytes} MB", objects.cine(folder, megabytes), 1, MB_PER_S),
    ):
        whole, few = folder / name / "all", folder / name / "few"
        _write(template, whole, count)
        few.mkdir()
        for path in sorted(whole.iterdir())[:_FEW]:
            (few / path.name).hardlink_to(path)
        yield Parcels(name, whole, few, unit)


def _write(template: Template, folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    payload = template.payload.read_bytes()
    for number in range(count):
        with (folder / f"{number:06d}.dcm").open("wb") as file:
            file.write(template.new_file_head())
            file.write(payload)


def _sinks(session: Session, stack: ExitStack) -> tuple[int, int]:
    """Start the two that throw away; return their ports."""
    dimse, _ = stack.enter_context(contenders.limit(session.folder / "sink", throws_away=True))
    return dimse, stack.enter_context(_web_sink(session.folder))


@contextmanager
def _web_sink(folder: Path) -> Iterator[int]:
    port = free_port()
    command = ["python3", "-S", "-m", "bench.web_sink", str(port)]
    with running(command, folder / "sink.log", lambda: listens(port)):
        yield port


def _warm(session: Session, stack: ExitStack, name: str, port: int) -> Send:
    kind = Kind.OURS if name in (OURS, BY_STOW) else Kind.PEER
    if not session.wants(name, kind):
        return partial(_unwanted, name)
    server = stack.enter_context(
        ordering("bench.sending", name, log=session.folder / f"{name}.log")
    )
    return partial(_ordered, server, port, name)


def _unwanted(name: str, _: Parcels) -> tuple[Path, float]:
    raise RuntimeError(f"{name} is not to be measured")


def _ordered(server: Server, port: int, name: str, some: Parcels) -> tuple[Path, float]:
    if name != SCU:
        return some.whole, server.order(port=port, folder=str(some.whole))["seconds"]
    said = {"port": port, "folder": str(some.few)}
    try:
        return some.few, server.order(**said)["seconds"]
    except RuntimeError:  # it drops an answer once in a while, and waits for it in vain
        return some.few, server.order(**said)["seconds"]


def _dcmtk(
    program: str, environment: Mapping[str, str], port: int, some: Parcels
) -> tuple[Path, float]:
    folder = some.whole if environment else some.few
    command = [find(program), "-aet", SENDER, "-aec", AE_TITLE, "+sd"]
    command += ["-R"] if program == "storescu" else []
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "127.0.0.1", str(port), str(folder)],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        timeout=_PATIENCE_SECONDS,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(done.stderr[-300:])
    return folder, seconds
