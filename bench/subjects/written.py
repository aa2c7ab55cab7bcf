"""SEG, SR, SC and derived series: from what was found to objects on the disk, time and memory.

Everybody has the same series and the same labels on the disk, in the format that it likes, and
works in a process of its own that is warm; of dcmqi the start of the program is a part. The node
checks and inflates the findings that its worker has left, repairs headers, and says where everything
comes from.
"""

import pickle
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from pydicom import dcmread

from bench.contenders import Node
from bench.forking import Server, ordering
from bench.found import MEASURED, lay_out
from bench.session import Contender, Session
from bench.units import GROWN_MB, PEAK_MB, SECONDS, Unit
from bench.writing import DERIVED, ENCODER, LABELMAP, SC, SEG, SR, WRITERS
from dicom_ai_node import compose
from dicom_ai_node.workers import encoding_worker

_NAMES: Mapping[str, str] = {
    SEG: "SEG, BINARY", LABELMAP: "SEG, LABELMAP", SR: "SR", SC: "SC", DERIVED: "derived series",
}  # fmt: skip

_ROUNDS = 2


def run(session: Session) -> None:
    """Measure everybody with each object that it writes."""
    slices, side = session.choose(8, 100, 300), session.choose(64, 256, 512)
    structures = session.choose((3,), (1, 10), (1, 10, 100))
    folder = session.folder / "full"
    lay_out(folder, slices, side, structures)
    with ExitStack() as stack:
        servers = _started(session, stack)
        frames: dict[tuple[str, str], int] = {}
        for kind, count in (
            *((kind, count) for kind in (SEG, LABELMAP) for count in structures),
            (SR, MEASURED), (SC, MEASURED), (DERIVED, 1),
        ):  # fmt: skip
            work = f"{_NAMES[kind]} of {slices} x {side} x {side}"
            if kind != DERIVED:
                work += f", {count} structure{'s' if count > 1 else ''}"
            able = [one for one in servers if kind in WRITERS[one.name].writes]
            task = partial(_timed, servers, folder, (kind, count), frames)
            session.measure(work, able, task, at_most=_ROUNDS, is_cold=False)
            _compare(session, work, frames)


def _started(session: Session, stack: ExitStack) -> Mapping[Contender, Server]:
    found = {}
    for name, writer in WRITERS.items():
        if not session.wants(name, writer.kind):
            continue
        small = session.folder / f"{name} warm"
        lay_out(small, 4, 32, (1,))
        (small / ENCODER).write_bytes(_encoder(small / "node"))
        log = session.folder / f"{name}.log"
        found[Contender(name, writer.kind)] = stack.enter_context(
            ordering("bench.writing", name, str(small), log=log)
        )
    return found


def _encoder(folder: Path) -> bytes:
    config = compose.settings(Node.at(folder).config)
    make = partial(encoding_worker, config, compose.model_folders(config), "bench")
    return pickle.dumps((make, compose.catalog(config).facts("ct_tissue").digest))


def _timed(
    servers: Mapping[Contender, Server],
    folder: Path,
    what: tuple[str, int],
    frames: dict[tuple[str, str], int],
    contender: Contender,
) -> Mapping[Unit, float]:
    out = folder / "out"
    kind, count = what
    try:
        found = servers[contender].order(kind=kind, count=count, folder=str(folder), out=str(out))
        names = ["NumberOfFrames", "SegmentSequence"]
        made = [dcmread(path, specific_tags=names) for path in out.glob("*.dcm")]
        frames[kind, contender.name] = sum(int(ds.get("NumberOfFrames") or 1) for ds in made)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    units = {SECONDS: found["seconds"], PEAK_MB: found["peak_mb"], GROWN_MB: found["grown_mb"]}
    return {unit: value for unit, value in units.items() if value is not None}


def _compare(session: Session, work: str, frames: dict[tuple[str, str], int]) -> None:
    """Say if not everybody has written as many frames."""
    if len(set(frames.values())) > 1:
        told = ", ".join(f"{name} {count}" for (_, name), count in frames.items())
        session.note(f"{work}: not everybody has written as many frames: {told}")
    frames.clear()
