"""From volumes in memory to labels, on the CPU: the node beside MONAI's own windows.

The same network, weights, windows and thread for each processor, and the labels have to be the
same but for rounding. Each in a process that keeps the network, as the workers of the node do.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.forking import Server, ordering
from bench.inferring import MONAI, OURS, WAYS
from bench.results import Kind, Row
from bench.session import Contender, Session
from bench.units import DIFFERENT, SECONDS, Unit
from tests import phantoms

_UNLABELLED = 0.0


def run(session: Session) -> None:
    """Measure each model that looks through windows."""
    shapes = session.choose(
        {"hippocampus_mr": (40, 56, 40)},
        {"hippocampus_mr": (48, 64, 48), "petct_lesion": (48, 72, 72)},
        {"hippocampus_mr": (80, 80, 80), "petct_lesion": (80, 120, 120)},
    )
    with ExitStack() as stack:
        servers = {
            Contender(name, kind): stack.enter_context(
                ordering("bench.inferring", name, log=session.folder / f"{name}.log")
            )
            for name, (kind, _) in WAYS.items()
            if session.wants(name, kind)
        }
        for model, shape in shapes.items():
            folder = session.folder / model
            folder.mkdir()
            for name, values in _inputs(model, shape):
                np.save(folder / f"{name}.npy", values)
            work = f"{model}, {' x '.join(map(str, shape))}"
            session.measure(work, list(servers), partial(_timed, servers, model, folder))
            session.rows += _compared(work, folder)


def _timed(
    servers: Mapping[Contender, Server], model: str, folder: Path, contender: Contender
) -> Mapping[Unit, float]:
    found = servers[contender].order(model=model, folder=str(folder))
    if found["labelled"] == _UNLABELLED:
        raise RuntimeError("it has found nothing, so that nothing can be compared")
    return {SECONDS: found["seconds"]}


def _inputs(model: str, shape: tuple[int, int, int]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield what a model looks at: made up, with structures and with noise."""
    noise = gaussian_filter(np.random.default_rng(1).normal(0, 1, shape), 1)
    noise /= noise.std()
    if model == "petct_lesion":
        yield "pet", (phantoms.pet_values(*shape) / 1000 + 0.2 * noise).astype(np.float32)
        yield "ct", (phantoms.ct_values(*shape) + 20 * noise).astype(np.float32)
    else:
        yield "image", (phantoms.mr_values(*shape) + 30 * noise).astype(np.float32)


def _compared(work: str, folder: Path) -> Iterator[Row]:
    """Yield in how many pixels the labels of the node are others than those of MONAI."""
    ours, monai = folder / f"{OURS}.npy", folder / f"{MONAI}.npy"
    if ours.exists() and monai.exists():
        part = 100 * float((np.load(ours) != np.load(monai)).mean())
        yield Row("inference", work, DIFFERENT, OURS, Kind.OURS, (part,))
