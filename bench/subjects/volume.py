"""From a series on the disk to a tensor of Hounsfield units in memory.

Everybody in a new process that loads the series twice; the second time counts, with warm caches.
The peak is that of the whole process, with the libraries that it needs.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from bench import contenders, objects
from bench.loading import LOADERS
from bench.objects import CODECS, RLE
from bench.results import GROWN_MB, PEAK_MB, SECONDS, Unit
from bench.session import Contender, Session
from tests import phantoms

NATIVE = "native"
_PATIENCE_SECONDS = 600
_ALIKE = 0.01
"""HU: by how much the means may differ."""


def run(session: Session) -> None:
    """Measure everybody with each transfer syntax."""
    count, side = session.choose(4, 60, 300), session.choose(64, 512, 512)
    everybody = _everybody(session)
    every = (NATIVE, *CODECS, RLE)
    for codec in session.choose(("JPEG-LS",), every, every):
        folder = session.folder / codec.replace(" ", "-")
        written(folder, codec, count, side)
        means: dict[str, float] = {}
        work = f"{count} x {side} x {side}, {codec}"
        session.measure(work, everybody, partial(_loaded, folder, means))
        if means and max(means.values()) - min(means.values()) > _ALIKE:
            session.note(f"{work}: not everybody sees the same: {means}")


def _everybody(session: Session) -> list[Contender]:
    found = []
    for name, loader in LOADERS.items():
        if not session.wants(name, loader.kind):
            continue
        if find_spec(loader.module) is None:
            session.note(f"missing: {name}: {loader.module} is not installed")
        else:
            found.append(Contender(name, loader.kind))
    return found


def written(folder: Path, codec: str, count: int, side: int) -> None:
    """Write a series."""
    made = objects.ct_images(count, side)
    if codec != NATIVE:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda ds: objects.compressed(ds, codec), made))
    phantoms.write(made, folder)


def _loaded(folder: Path, means: dict[str, float], contender: Contender) -> Mapping[Unit, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.loading", contender.name, folder],
        cwd=contenders.ROOT, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr.rpartition("Error: ")[2])
    found = json.loads(done.stdout.splitlines()[-1])
    means[contender.name] = found["mean"]
    return {SECONDS: found["seconds"], PEAK_MB: found["peak_mb"], GROWN_MB: found["grown_mb"]}
