"""The command that shows everything: a node on loopback, the sample studies, every result."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from pydicom import dcmread
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from dicom_ai_node import compose
from dicom_ai_node.cli.files import dicom_files
from dicom_ai_node.cli.reach import sender_to
from dicom_ai_node.cli.show import Row, table, wide_console
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.job import ENDED, Job, Result, Stage
from dicom_ai_node.domain.ports import Ledger
from dicom_ai_node.domain.rule import SIMILAR
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.samples.studies import write_samples
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.supervise import this_program

MISSING = "MISSING"
DEMO = Path(__file__).with_name("demo.yaml")
COLOUR_FRAMES_NDIM = 4
EXPECTED: tuple[tuple[str, str], ...] = (
    ("ct-head", "head-ct"),
    ("ct-head", "bleeding"),
    ("ct-head", "less-noise"),
    ("mr-hippocampus", "hippocampus"),
    ("us-fetal-head-2nd", "fetal-head"),
    ("us-fetal-head-3rd", "fetal-head"),
    ("us-fetal-head-grown", "fetal-head"),
    ("us-cine", "fetal-head"),
    ("us-cine", "motion"),
    ("cr-chest", "chest-x-ray"),
    ("cr-chest", "pneumonia"),
    ("cr-chest", "lungs"),
    ("cr-chest", "less-scatter"),
    ("sm-nuclei", "nuclei"),
    ("petct-lung", "lung-lesion"),
    ("petct-lung", "lung-understood"),
    ("pet-brain", "less-noise-pet"),
)
"""Each sample, and a route that has to take it."""
ASKED_ABOUT = "us-fetal-head-3rd"
"""The sample whose neighbours are shown."""
READY_SECONDS = 240.0
DONE_SECONDS = 600.0


def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("demo"),
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the node running.")] = False,
) -> None:
    """Try it: a node on loopback, sample studies, their results."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _configuration(folder.resolve())
    settings = compose.settings(config)
    console = wide_console()
    with _node(config, folder / "node.log", keep=keep) as node, _progress(console) as progress:
        step = progress.add_task("making the sample studies", total=None)
        samples = sorted({path.parent for path in write_samples(folder / "samples")})
        progress.update(step, description="starting the node: the models prove themselves")
        _wait_until_ready(folder / "node.log", node)
        for index, sample in enumerate(samples, start=1):
            progress.update(step, description=f"sending study {index} of {len(samples)}")
            _send(settings, sample)
        ledger = compose.ledger(settings)
        jobs = _follow(ledger, node, progress, step)
    written = {route.name: route.write for route in settings.routes}
    found = _results(ledger, jobs, written, folder)
    console.print(table(found))
    if near := _neighbours(settings, ledger, folder):
        console.print(table(near, title=f"\nwhat {ASKED_ABOUT} looks like"))
    console.print(f"\npictures: {folder / 'pictures'}    DICOM objects: {folder / 'results'}")
    if keep:
        console.print(
            f"console: http://127.0.0.1:{settings.serve.port if settings.serve else 0}/\n"
            f"{settings.receive.ae_title} listens on 127.0.0.1:{settings.receive.port}; "
            f"look around with `dicom-ai-node jobs -c {config}`; "
            f"stop it with `kill {node.pid}`"
        )
    missing = [row for row in found if str(row["result"]).startswith(MISSING)]
    if missing:
        raise NeedsAttention(
            f"{len(missing)} expected result(s) are missing; see {folder}/node.log"
        )


def _configuration(folder: Path) -> Path:
    """Write the configuration of the demo, the shipped example on loopback, and return its path."""
    config = folder / "ae_config.yaml"
    said = DEMO.read_text(encoding="utf-8")
    with socket.socket() as one, socket.socket() as other:  # both held, so that they differ
        for name, probe in (("PORT", one), ("WINDOW", other)):
            probe.bind(("127.0.0.1", 0))
            said = said.replace(name, str(probe.getsockname()[1]))
    config.write_text(said, encoding="utf-8")
    return config


@contextmanager
def _node(config: Path, log: Path, *, keep: bool) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        node = subprocess.Popen(  # noqa: S603 - our own command line, no shell
            this_program("serve", str(config)), stdout=file, stderr=file, start_new_session=True
        )
    finished = False
    try:
        yield node
        finished = True
    finally:
        if not (keep and finished):
            node.terminate()
            node.wait()


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        yield progress


def _wait_until_ready(log: Path, node: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while b"node_ready" not in log.read_bytes():
        if node.poll() is not None or time.monotonic() > deadline:
            raise NeedsAttention("the node did not start; its log says why")
        time.sleep(0.2)


def _send(settings: NodeConfig, study: Path) -> None:
    answers = sender_to(settings, "", "").send(dicom_files(study))
    for answer in answers:
        if not isinstance(answer, str):
            raise answer


def _follow(
    ledger: Ledger, node: subprocess.Popen[bytes], progress: Progress, step: TaskID
) -> Sequence[Job]:
    """Show how far the jobs are until all have ended and no series is open any more."""
    deadline = time.monotonic() + DONE_SECONDS
    while time.monotonic() < deadline and node.poll() is None:
        jobs, counts = ledger.jobs(limit=1000), ledger.counts()
        done = sum(job.stage in ENDED for job in jobs)
        open_series = counts.get("series.open", 0)
        progress.update(
            step,
            description=f"{done} of {len(jobs)} jobs done, {open_series} series still arriving",
        )
        if jobs and done == len(jobs) and not open_series:
            progress.update(step, description=f"{done} jobs done")
            return jobs
        time.sleep(0.5)
    raise NeedsAttention("the jobs did not end in time; the log of the node says why")


def _results(
    ledger: Ledger, jobs: Sequence[Job], written: Mapping[str, Sequence[str]], folder: Path
) -> list[Row]:
    """Return one row per sample study: its route, its model, its objects and a picture of them."""
    of_study = {(job.study_instance_uid, job.route): job for job in jobs if job.route != SIMILAR}
    found: list[Row] = []
    for sample, route in EXPECTED:
        study = _study(folder, sample)
        job = of_study.get((study, route))
        row = {"study": sample, "route": route}
        if job is None:
            found.append({**row, "model": "", "result": MISSING, "picture": ""})
            continue
        places = _places(job, ledger.results(job.key), folder / "results")
        lacking = [kind for kind in written[route] if not all(places.get(kind, [None]))]
        told = f"{MISSING}: {', '.join(lacking)} ({job.stage} {job.note})"
        result = told if lacking else ", ".join(written[route])
        pictures: list[str] = []
        for capture in filter(None, places.get("secondary_capture", [])):
            name = f"{sample}-{route}" + (f"-{len(pictures) + 1}" if pictures else "")
            _picture(capture, folder / "pictures" / f"{name}.png")
            pictures.append(f"{name}.png")
        shown = pictures[0] if pictures else ""
        found.append({**row, "model": job.model, "result": result, "picture": shown})
    return found


def _study(folder: Path, sample: str) -> StudyInstanceUID:
    first = next((folder / "samples" / sample).iterdir())
    return StudyInstanceUID(str(dcmread(first, stop_before_pixels=True).StudyInstanceUID))


def _neighbours(settings: NodeConfig, ledger: SqlLedger, folder: Path) -> list[Row]:
    """Return what looks like one of the samples, best first."""
    names = {_study(folder, one.name): one.name for one in sorted((folder / "samples").iterdir())}
    model = compose.similar_model(settings).digest
    near = ledger.similar(_study(folder, ASKED_ABOUT), model, len(names))
    return [
        {
            "study": names[one.study_instance_uid],
            "modality": one.modality,
            "similarity": round(one.score, 2),
        }
        for one in near
    ]


def _places(job: Job, results: Sequence[Result], folder: Path) -> Mapping[str, list[Path | None]]:
    """Return by kind where its objects have been delivered to; `None` for one that is not there."""
    places: dict[str, list[Path | None]] = {}
    for result in results:
        series = folder / job.study_instance_uid / result.series_instance_uid
        where = series / f"{result.sop_instance_uid}.dcm"
        is_there = job.stage is Stage.DELIVERED and where.is_file()
        places.setdefault(result.kind, []).append(where if is_there else None)
    return places


def _picture(capture: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = dcmread(capture).pixel_array
    frames = pixels if pixels.ndim == COLOUR_FRAMES_NDIM else pixels[None]
    Image.fromarray(frames[len(frames) // 2]).save(path)
