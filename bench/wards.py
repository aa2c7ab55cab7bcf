"""Patients to be examined, on a node that has models for them, beside a PACS that takes everything."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import FileDataset

from bench import contenders, objects
from bench.contenders import AE_TITLE, SENDER, Node
from dicom_ai_node import compose
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.job import ENDED, Job, Stage
from dicom_ai_node.domain.uids import AETitle, derive_uid
from dicom_ai_node.store.ledger import SqlLedger
from tests import phantoms

QUIET_SECONDS = 1.0
"""How long the node waits after an association has ended in good order."""
LARGEST_PX = 64
_PATIENCE_SECONDS = 300
_SECTIONS = """\
    complete: {{quiet_seconds: 5, released_quiet_seconds: {quiet}}}
    infer: {{devices: [cpu]}}
    routes:
      - {{name: tissue, when: {{Modality: CT}}, run: segment, model: ct_tissue,
          write: [segmentation, structured_report, secondary_capture], to: [pacs]}}
      - {{name: hippocampus, when: {{Modality: MR}}, run: segment, model: hippocampus_mr,
          write: [segmentation, structured_report], to: [pacs]}}
      - {{name: lungs, when: {{Modality: DX}}, run: segment, model: lung_fields_cxr,
          write: [segmentation, secondary_capture], to: [pacs]}}
    destinations:
      pacs: {{ae_title: PACS, host: 127.0.0.1, port: {port}}}
    """


@dataclass(frozen=True, slots=True)
class Ward:
    """A node that is up, and what it has done."""

    node: Node
    port: int
    pid: int

    @property
    def ledger(self) -> SqlLedger:
        """The ledger, as another process sees it."""
        return compose.ledger(compose.settings(self.node.config))

    def send(self, paths: Sequence[Path]) -> None:
        """Bring a series over one association.

        Raises
        ------
        NodeError
            If the node does not take an instance.
        """
        peer = DimsePeer(
            ae_title=AETitle(AE_TITLE), host="127.0.0.1", port=self.port,
            calling_ae_title=AETitle(SENDER),
        )  # fmt: skip
        for entry in compose.sender(peer).send(paths):
            if not isinstance(entry, str):
                raise entry

    def ended(self, count: int) -> Sequence[Job]:
        """Wait until so many jobs have ended and return them.

        Raises
        ------
        RuntimeError
            If one has not been delivered, or they do not end.
        """
        ledger, until = self.ledger, time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            jobs = ledger.jobs((), 1000)
            if len(jobs) >= count and all(job.stage in ENDED for job in jobs):
                if bad := [job.note for job in jobs if job.stage is not Stage.DELIVERED]:
                    raise RuntimeError(f"{len(bad)} jobs were not delivered: {bad[0]}")
                return jobs
            time.sleep(0.1)
        raise RuntimeError(f"{count} jobs have not ended within {_PATIENCE_SECONDS} s")


@contextmanager
def opened(folder: Path) -> Iterator[Ward]:
    """Start a PACS and a node, the whole tree, and end them."""
    with contenders.limit(folder / "pacs", throws_away=True) as (pacs, _):
        sections = _SECTIONS.format(quiet=QUIET_SECONDS, port=pacs)
        node = Node.at(folder / "node", sections=sections)
        with node.tree() as (port, pid):
            yield Ward(node, port, pid)


Make = Callable[[str], Sequence[FileDataset]]


def small_ct(name: str) -> Sequence[FileDataset]:
    """Return a CT of 12 slices of 64 by 48 pixels."""
    return phantoms.ct(SeriesInstanceUID=derive_uid("ward", name))


def patient(folder: Path, number: int, make: Make) -> list[Path]:
    """Write a study of one series of somebody who has not been here."""
    made = make(f"{number}")
    for place, ds in enumerate(made):
        ds.StudyInstanceUID = derive_uid("ward", "study", str(number))
        ds.PatientID, ds.PatientName = f"W{number}", f"WARD^{number}"
        ds.SOPInstanceUID = derive_uid("ward", str(number), str(place))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return phantoms.write(made, folder / f"{number}")


def mixed(slices: int, side: int) -> Sequence[tuple[str, Make]]:
    """Return what a hospital examines, in the order in which it comes, again and again."""

    def ct(name: str) -> Sequence[FileDataset]:
        uid = derive_uid("ward", name)
        made = phantoms.ct(slices, side, side, SeriesInstanceUID=uid)
        return [objects.noisy(ds, seed) for seed, ds in enumerate(made)]

    def mr(name: str) -> Sequence[FileDataset]:
        uid = derive_uid("ward", name)
        made = phantoms.mr(40, LARGEST_PX, LARGEST_PX, (1.0, 1.0, 1.0), SeriesInstanceUID=uid)
        return [objects.noisy(ds, seed) for seed, ds in enumerate(made)]

    def dx(name: str) -> Sequence[FileDataset]:
        return [phantoms.dx(side * 2, side * 2, SeriesInstanceUID=derive_uid("ward", name))]

    return ("CT", ct), ("DX", dx), ("MR", mr), ("DX", dx)
