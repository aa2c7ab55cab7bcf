"""A node with a console and everything that it can show: studies, jobs in every state, odd bytes.

Everything goes the way of the product: the real application, its own ledger, its own archive. Only
the workers are left out; what they would have entered in the ledger is entered here.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import httpx
from pydicom import FileDataset, dcmread
from pydicom.data import get_testdata_file

from dicom_ai_node import compose
from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import models
from dicom_ai_node.domain.commitment import Asked
from dicom_ai_node.domain.devices import DeviceUse
from dicom_ai_node.domain.job import Job, Result, Stage
from dicom_ai_node.domain.progress import HowFar, Phase, Progress
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    derive_uid,
)
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.route.plan import plan
from dicom_ai_node.serve.console.use import first_minute
from dicom_ai_node.web import served
from tests.peers.tools import free_port

EVIL = "<script>alert(1)</script>"
"""What nobody may bring onto a page."""
PEER = AETitle("CT1")
HTML = "text/html,application/xhtml+xml"


def ct(study: str = "one", **changes: object) -> FileDataset:
    """Return a CT image with UIDs of its own."""
    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    dataset.StudyInstanceUID = derive_uid("study", study)
    dataset.SeriesInstanceUID = derive_uid("series", study)
    dataset.SOPInstanceUID = derive_uid("instance", study)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


class ConsoleNode:
    """A node whose console is asked without a socket."""

    def __init__(self, folder: Path, login: str = "none", proof: str = "none") -> None:
        self.port = free_port()
        path = folder / "ae_config.yaml"
        path.write_text(
            dedent(f"""\
            receive: {{ae_title: AI_NODE, accept_from: [CT1]}}
            store: {{folder: ./node, min_free_gb: 0, keep_days: 3}}
            routes:
              - {{name: tissue, when: {{Modality: CT}}, run: segment, model: ct_tissue, write: segmentation, to: [pacs]}}
              - {{name: chest, when: {{Modality: [CR, DX]}}, run: segment, model: lung_fields_cxr, write: segmentation, to: [pacs]}}
            similar: {{model: image_encoder}}
            destinations:
              pacs: {{ae_title: PACS, host: 127.0.0.1, port: {free_port()}, proof: {proof}}}
            serve: {{port: {self.port}, login: {login}}}
            """)
        )
        self.config = compose.settings(path)
        compose.prepare(self.config)
        self.app = served(self.config)
        self.ledger = compose.ledger(self.config)
        self.blobs = compose.blobs(self.config)
        self._reception = compose.reception(self.config)

    def put(self, dataset: FileDataset) -> Arrival:
        """Let an instance in as if CT1 had sent it."""
        spooled = self.blobs.spool()
        dataset.save_as(spooled, enforce_file_format=True)
        instance = instance_of(spooled)
        self.blobs.keep(spooled)
        arrival = Arrival(
            instance=instance, calling_ae_title=PEER, called_ae_title=PEER, address="127.0.0.1"
        )
        self._reception.record([arrival])
        return arrival

    def routed(self, dataset: FileDataset) -> Job:
        """Let an instance in, close its series, route it, and return the job of `tissue`."""
        self.put(dataset)
        study = self.ledger.study(StudyInstanceUID(dataset.StudyInstanceUID))
        (series,) = [
            one for one in study.series if one.series_instance_uid == dataset.SeriesInstanceUID
        ]
        now = compose.now()
        planned = plan(study, series, configuration.routes(self.config), models(self.config), now)
        (job,) = [one for one in planned.jobs if one.route == "tissue"]
        assert self.ledger.complete(series, "told so", [job], planned.notes, now)
        return job

    def claimed(self, job: Job, stage: Stage = Stage.READY) -> Job:
        """Claim this job, the only one that is due."""
        (held,) = self.ledger.claim(stage, compose.now(), self._lease)
        assert held.key == job.key
        return held

    def says(self, held: Job, phase: Phase, part: float) -> None:
        """Let the worker of a claimed job say how far it is."""
        self.ledger.note_progress([HowFar(held.key, held.fence, Progress(phase, part))])

    def worked(self, *devices: DeviceUse) -> None:
        """Let devices have been so busy in every minute of the last hour, more and more."""
        first = first_minute(compose.now())
        for minute in range(60):
            at = first + timedelta(minutes=minute)
            self.ledger.note_use([
                replace(one, at=at, busy=one.busy * (minute + 1) / 60) for one in devices
            ])  # fmt: skip

    def parked(self, job: Job, note: str = "the model fell over") -> None:
        """Let a job stop for a person."""
        held = self.claimed(job)
        assert self.ledger.move(held, Stage.PARKED, compose.now(), note=note, who=Who.PERSON)

    def encoded(self, job: Job) -> Result:
        """Bring a job so far that its object is on its way to the PACS; return the object."""
        held = self.claimed(job)
        assert self.ledger.move(held, Stage.INFERRED, compose.now())
        made = ct(f"result of {job.name}", StudyInstanceUID=job.study_instance_uid)
        spooled = self.blobs.spool()
        made.save_as(spooled, enforce_file_format=True)
        result = Result(
            job=job.key,
            kind="segmentation",
            sop_instance_uid=SOPInstanceUID(made.SOPInstanceUID),
            sop_class_uid=SOPClassUID(made.SOPClassUID),
            series_instance_uid=SeriesInstanceUID(made.SeriesInstanceUID),
            transfer_syntax_uid=made.file_meta.TransferSyntaxUID,
            sha256=self.blobs.keep(spooled),
        )
        encoding = self.claimed(job, Stage.INFERRED)
        assert self.ledger.commit_results(encoding, [result], ["pacs"], compose.now())
        return result

    def sent(self, note: str | None = None) -> None:
        """Let the PACS take what waits for it, or refuse it with a note."""
        for delivery in self.ledger.claim_deliveries("pacs", compose.now(), self._lease):
            if note is None:
                assert self.ledger.delivered(delivery, compose.now())
            else:
                assert self.ledger.not_delivered(delivery, compose.now(), note, None)

    def doubted(self, note: str) -> None:
        """Let the PACS take no request about what it keeps."""
        now, hour = compose.now(), timedelta(hours=1)
        assert self.ledger.claim_unproven("pacs", "1.2.9", now, hour, timedelta(0))
        self.ledger.refused("1.2.9", now, note, now + hour)

    def committed(self, dataset: FileDataset) -> None:
        """Let a modality be promised that an instance is kept."""
        asked = Asked(SOPClassUID(dataset.SOPClassUID), SOPInstanceUID(dataset.SOPInstanceUID))
        compose.commitments(self.config).promise(
            "1.2.8", [asked], PEER, compose.now(), compose.now()
        )

    def aside(self, content: bytes, reason: str = "the data set is cut off") -> int:
        """Put bytes aside and return the number of the entry."""
        spooled = self.blobs.spool()
        spooled.write_bytes(content)
        return self.ledger.quarantine(self.blobs.keep(spooled), reason, PEER, compose.now())

    @property
    def _lease(self) -> timedelta:
        return compose.limits(self.config).lease

    def ask(
        self,
        path: str,
        method: str = "GET",
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Ask once, as a browser does."""

        async def once() -> httpx.Response:
            way = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=way, base_url="http://127.0.0.1") as client:
                told = {"Accept": HTML, **(headers or {})}
                return await client.request(method, path, headers=told, content=content)

        return asyncio.run(once())
