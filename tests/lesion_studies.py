"""Made studies of one patient with balls in the body, and a model that finds them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.uids import JobKey, derive_uid
from dicom_ai_node.encode.headers import read_sources
from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.worker import Worker
from tests import phantoms
from tests.encode import scenes

Ball = tuple[float, float, float, float]
"""(x, y, z, radius) in mm, in a body whose middle is the origin."""
SHAPE, SPACING_MM = (40, 64, 64), (2.5, 2.0, 2.0)
SEGMENT = {
    "number": 1,
    "label": "Nodule",
    "category": ["49755003", "SCT", "Morphologically Abnormal Structure"],
    "type": ["27925004", "SCT", "Nodule"],
    "site": ["39607008", "SCT", "Lung"],
    "colour_rgb": [255, 96, 64],
}


def body(balls: Sequence[Ball], to_body: NDArray[np.float64] | None = None) -> NDArray[np.int16]:
    """Return Hounsfield units: a body with a spine, an organ on one side, and balls of 220.

    `to_body` (4, 4) is where a place of the scanner is in the body, if that does not lie straight.
    """
    middle = (np.array(SHAPE) - 1) / 2
    z, y, x = np.meshgrid(
        *[
            (np.arange(size) - half) * step
            for size, half, step in zip(SHAPE, middle, SPACING_MM, strict=True)
        ],
        indexing="ij",
    )
    if to_body is not None:
        places = np.stack([x, y, z, np.ones_like(x)], axis=-1) @ to_body.T
        x, y, z = places[..., 0], places[..., 1], places[..., 2]
    values = np.full(SHAPE, -1000, np.int16)
    values[(x / 55) ** 2 + (y / 42) ** 2 < 1] = -60
    values[(x - 24) ** 2 + (y + 8) ** 2 + ((z + 15) / 1.4) ** 2 < 17**2] = 40
    values[(x + 26) ** 2 + (y - 10) ** 2 + (z - 22) ** 2 < 12**2] = 20
    values[(x**2 + (y - 30) ** 2 < 7**2) & (np.abs(z % 12 - 6) > 1.5)] = 60
    for across, down, up, radius in balls:
        values[(x - across) ** 2 + (y - down) ** 2 + (z - up) ** 2 < radius**2] = 220
    return values


def images(date: str, balls: Sequence[Ball], *, frame: str = "", **moved: object) -> list[Dataset]:
    """Return the CT of a study at `date`; with `frame` in a frame of reference of its own."""
    series: list[Dataset] = []
    changes: dict[str, object] = {
        "StudyDate": date,
        "StudyInstanceUID": derive_uid("lesions", date),
        "SeriesInstanceUID": derive_uid("lesions", date, "series"),
    }
    if frame:
        changes["FrameOfReferenceUID"] = derive_uid("lesions", frame)
    values = body(balls, **moved)  # type: ignore[arg-type]
    for ds, hu in zip(phantoms.ct(*SHAPE, SPACING_MM, **changes), values, strict=True):
        ds.PixelData = (hu + 1024).astype(np.uint16).tobytes()
        series.append(ds)
    return series


class Clinic:
    """A worker that looks at one study after the other and is given all earlier reports."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.catalog = Catalog([model.parent])
        self.facts = self.catalog.facts(model.name)
        self.reports: list[Path] = []
        self.images: list[tuple[Path, ...]] = []
        self._worker = Worker(self.catalog, "cpu")

    def sees(self, date: str, *balls: Ball, frame: str = "", **moved: object) -> Findings:
        """Return what is found at a study, and keep its report for the next."""
        key = JobKey(date * 8)
        made = images(date, balls, frame=frame, **moved)
        paths = tuple(phantoms.write(made, self.folder / date))
        order = InferenceOrder(
            kind="segment",
            model=self.facts.name,
            model_digest=self.facts.digest,
            inputs={"image": paths},
            options={"compare_earlier": True},
            earlier=tuple(self.reports),
            earlier_inputs=tuple({"image": paths} for paths in reversed(self.images)),
        )
        attempt = Attempt(job=key, fence=1, folder=self.folder, order=order, limit_seconds=60)
        found = self._worker(attempt)
        origin = scenes.origin(read_sources(paths), job=key, model=self.facts)
        wanted = {kind: ENCODERS[kind] for kind in ("segmentation", "structured_report")}
        objects = encode_job(found, origin, wanted)
        for path in write_objects(self.folder / f"results-{date}", objects):
            if path.stem.endswith("structured_report"):
                self.reports.append(path)
        self.images.append(paths)
        return found
