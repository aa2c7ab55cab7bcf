"""From a series on the disk to a tensor of Hounsfield units in memory.

Everybody in a process of its own that has its libraries and has loaded a few files of the series.
The peak is that of the whole process, with the libraries that it needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from pydicom.dataset import Dataset

from bench import objects
from bench.forking import Server, ordering
from bench.loading import LOADERS
from bench.objects import CODECS, RLE
from bench.session import Contender, Session
from bench.units import BEYOND_MB, GROWN_MB, PEAK_MB, SECONDS, Unit
from tests import phantoms

NATIVE = "native"
_ALIKE = 0.01
"""HU: by how much the means may differ."""
_WARM_FILES = 6
_ROUNDS: Mapping[str, int] = {"JPEG lossless": 1, **dict.fromkeys(("JPEG-LS", "JPEG 2000", RLE), 2)}
"""Of compressed series: decoding takes long, and as long each time."""


def run(session: Session) -> None:
    """Measure everybody with each transfer syntax."""
    count, side = session.choose(4, 60, 300), session.choose(64, 512, 512)
    made = objects.ct_images(count, side)
    every = (NATIVE, *CODECS, RLE)
    with ExitStack() as stack:
        servers = {
            each: stack.enter_context(
                ordering("bench.loading", each.name, log=session.folder / f"{each.name}.log")
            )
            for each in _everybody(session)
        }
        for codec in session.choose(("JPEG-LS",), every, every):
            folder = session.folder / codec.replace(" ", "-")
            written(folder, codec, made)
            at_most = _ROUNDS.get(codec, session.rounds)
            _measure(session, servers, folder, f"{count} x {side} x {side}, {codec}", at_most)


def _measure(
    session: Session,
    servers: Mapping[Contender, Server],
    folder: Path,
    work: str,
    at_most: int,
) -> None:
    warm = folder.with_name(f"{folder.name}-warm")
    warm.mkdir()
    for path in sorted(folder.iterdir())[:_WARM_FILES]:
        (warm / path.name).symlink_to(path)
    means: dict[str, float] = {}
    task = partial(_loaded, servers, folder, warm, means)
    session.measure(work, list(servers), task, at_most=at_most, is_cold=False)
    if means and max(means.values()) - min(means.values()) > _ALIKE:
        session.note(f"{work}: not everybody sees the same: {means}")


def _everybody(session: Session) -> Iterator[Contender]:
    for name, loader in LOADERS.items():
        if not session.wants(name, loader.kind):
            continue
        if find_spec(loader.module) is None:
            session.note(f"missing: {name}: {loader.module} is not installed")
        else:
            yield Contender(name, loader.kind)


def written(folder: Path, codec: str, made: Sequence[Dataset]) -> None:
    """Write a series."""
    if codec != NATIVE:
        with ThreadPoolExecutor() as pool:
            made = list(pool.map(lambda ds: objects.compressed(deepcopy(ds), codec), made))
    phantoms.write(made, folder)


def _loaded(
    servers: Mapping[Contender, Server],
    folder: Path,
    warm: Path,
    means: dict[str, float],
    contender: Contender,
) -> Mapping[Unit, float]:
    found = servers[contender].order(folder=str(folder), warm=str(warm))
    means[contender.name] = found["mean"]
    return {
        SECONDS: found["seconds"],
        PEAK_MB: found["peak_mb"],
        GROWN_MB: found["grown_mb"],
        BEYOND_MB: found["beyond_mb"],
    }
