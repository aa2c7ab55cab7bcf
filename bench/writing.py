"""Writes DICOM objects: `python -m bench.writing NAME FOLDER` waits for orders.

Each order is done by a child: it reads the headers of a series and what was found on it from the
disk, and leaves objects on the disk. FOLDER is a small one of the kind of `bench.found`, written
once before the first order, so that every program is warm.
"""

import pickle
import resource
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import forking
from bench.processes import own_mb
from bench.results import Kind

SEG, LABELMAP, SR, SC, DERIVED = (
    "segmentation", "segmentation_labelmap", "structured_report", "secondary_capture",
    "derived_image",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """Which object is wanted of how many structures, from where to where."""

    kind: str
    count: int
    folder: Path
    out: Path

    @property
    def series(self) -> list[Path]:
        """The files of the series, in their order."""
        return sorted((self.folder / "series").iterdir())

    @property
    def labels(self) -> Path:
        """The labels, without their suffix."""
        return self.folder / f"labels-{self.count}"


ENCODER = "encoder.pickle"
"""In FOLDER: what makes the encoder of a node, and the digest of its model."""

Write = Callable[[Asked], float | None]
"""Writes, and may return the MB that another process has needed for it."""


def ours() -> Write:
    """Write as the encoder of the node does, from what its workers leave."""
    from dicom_ai_node.domain.orders import Attempt, EncodingOrder  # noqa: PLC0415
    from dicom_ai_node.domain.uids import JobKey  # noqa: PLC0415 - each needs its own only

    # As the node hands it to its encoder, so that no more is loaded than there.
    made, digest = pickle.loads((Path(sys.argv[2]) / ENCODER).read_bytes())  # noqa: S301
    worker = made("encoder")

    def write(asked: Asked) -> None:
        what = "derived" if asked.kind == DERIVED else str(asked.count)
        order = EncodingOrder(
            findings=asked.folder / f"findings-{what}", model="ct_tissue", model_digest=digest,
            sources=tuple(asked.series), write=(asked.kind,), created_at=datetime.now(UTC),
        )  # fmt: skip
        worker(
            Attempt(
                job=JobKey("be" * 32), fence=1, folder=asked.out, order=order, limit_seconds=900.0
            )
        )

    return write


def highdicom_plainly() -> Write:
    """Write as highdicom's documentation says."""
    from bench.plainly import WRITERS  # noqa: PLC0415

    return lambda asked: WRITERS[asked.kind](asked)


def pydicom_loop() -> Write:
    """Write a derived series as most scripts do: read, replace the pixels, save."""
    import numpy as np  # noqa: PLC0415
    from pydicom import dcmread  # noqa: PLC0415
    from pydicom.uid import generate_uid  # noqa: PLC0415

    def write(asked: Asked) -> None:
        pixels = np.load(asked.folder / "derived.npy")
        series = generate_uid()
        for path, frame in zip(asked.series, pixels, strict=True):
            ds = dcmread(path)
            ds.SeriesInstanceUID, ds.SOPInstanceUID = series, generate_uid()
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.ImageType = ["DERIVED", *list(ds.ImageType)[1:]]
            ds.SeriesDescription, ds.DerivationDescription = "Bench", "Bench"
            ds.PixelData = frame.tobytes()
            ds.save_as(asked.out / path.name)

    return write


def dcmqi() -> Write:
    """Write with dcmqi's itkimage2segimage, its start included."""
    program = Path(sysconfig.get_path("scripts")) / "itkimage2segimage"
    if not program.exists():
        raise FileNotFoundError("dcmqi is not installed")

    def write(asked: Asked) -> float:
        command = [
            program, "--skip", "1",
            "--segmentationType", "labelmap" if asked.kind == LABELMAP else "binary",
            "--inputImageList", f"{asked.labels}.nrrd", "--inputMetadata", f"{asked.labels}.json",
            "--inputDICOMDirectory", asked.folder / "series",
            "--outputDICOM", asked.out / "seg.dcm",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not (asked.out / "seg.dcm").exists():
            raise RuntimeError((done.stdout + done.stderr)[-300:])
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6

    return write


@dataclass(frozen=True, slots=True)
class Writer:
    """A program and what it can write."""

    kind: Kind
    prepare: Callable[[], Write]
    writes: tuple[str, ...]


OURS = "dicom_ai_node"
WRITERS: Mapping[str, Writer] = {
    OURS: Writer(Kind.OURS, ours, (SEG, LABELMAP, SR, SC, DERIVED)),
    "highdicom": Writer(Kind.PEER, highdicom_plainly, (SEG, LABELMAP, SR, SC)),
    "dcmqi itkimage2segimage": Writer(Kind.PEER, dcmqi, (SEG, LABELMAP)),
    "pydicom loop": Writer(Kind.PEER, pydicom_loop, (DERIVED,)),
}


def measured(write: Write, asked: Asked) -> Mapping[str, float | None]:
    """Write and return what it took."""
    asked.out.mkdir(parents=True)
    before_mb = own_mb("VmRSS")
    began = time.perf_counter()
    elsewhere_mb = write(asked)
    seconds = time.perf_counter() - began
    peak_mb = own_mb("VmHWM")
    if elsewhere_mb is not None:
        return {"seconds": seconds, "peak_mb": elsewhere_mb, "grown_mb": None}
    return {"seconds": seconds, "peak_mb": peak_mb, "grown_mb": peak_mb - before_mb}


def main(name: str, small: Path) -> None:
    """Warm up, then serve."""
    chosen = WRITERS[name]
    write = chosen.prepare()
    for kind in chosen.writes:
        out = small / name / kind
        out.mkdir(parents=True)
        write(Asked(kind, 1, small, out))
    forking.serve(
        lambda said: measured(
            write, Asked(said["kind"], said["count"], Path(said["folder"]), Path(said["out"]))
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
