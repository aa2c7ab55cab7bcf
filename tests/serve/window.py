"""A window on a store of one's own: put objects in, ask by HTTP, without a socket."""

import asyncio
import email.parser
import email.policy
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from fastapi import FastAPI
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file

from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle, derive_uid
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.darkroom import ChildProcesses
from dicom_ai_node.serve.dicomweb.capabilities import capabilities_router
from dicom_ai_node.serve.dicomweb.retrieve import retrieve_routers
from dicom_ai_node.serve.dicomweb.search import search_router
from dicom_ai_node.serve.doors import OpenDoor
from dicom_ai_node.serve.openapi import openapi_router
from dicom_ai_node.serve.pictures import pictures_router
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from dicom_ai_node.workers import darkroom

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEER = AETitle("CT1")


def sample(name: str) -> FileDataset:
    """Return one of pydicom's test files, with UIDs of its own: some of them share theirs."""
    dataset = dcmread(get_testdata_file(name))
    dataset.StudyInstanceUID = derive_uid("study", name)
    dataset.SeriesInstanceUID = derive_uid("series", name)
    dataset.SOPInstanceUID = derive_uid("instance", name)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def place(dataset: Dataset) -> str:
    """Return where an instance is found."""
    return (
        f"/dicom-web/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}"
    )


class Window:
    """A store with a window; `close` it."""

    def __init__(self, folder: Path, seconds: float = 60.0, waiting: int = 16) -> None:
        self.blobs = FolderBlobs(folder / "store")
        # Not `node.db`: an index of patients has to know their names.
        self._database = open_database(f"sqlite:///{folder}/held.db")
        migrate(self._database)
        self.ledger = SqlLedger(self._database)
        self.archive = SqlArchive(self._database, self.blobs)
        self.darkroom = ChildProcesses(
            darkroom, folder / "store" / "spool", size=1, seconds=seconds, waiting=waiting
        )
        stands_on = self.archive, self.blobs.path, self.darkroom
        routers = [*retrieve_routers(*stands_on), pictures_router(*stands_on)]
        about = [openapi_router(), capabilities_router()]
        self.app = application(OpenDoor(), [*about, search_router(self.archive), *routers])

    def close(self) -> None:
        """End it."""
        self.darkroom.close()
        self._database.close()

    def put(self, source: FileDataset | str) -> FileDataset:
        """Store an object, or one of pydicom's test files; return it."""
        dataset = sample(source) if isinstance(source, str) else source
        spooled = self.blobs.spool()
        dataset.save_as(spooled, enforce_file_format=True)
        instance = instance_of(spooled)
        self.blobs.keep(spooled)
        arrival = Arrival(
            instance=instance, calling_ae_title=PEER, called_ae_title=PEER, address="127.0.0.1"
        )
        self.ledger.record([arrival], NOW, timedelta(seconds=1))
        return dataset

    def stored(self, dataset: Dataset) -> bytes:
        """Return the bytes that lie in the store."""
        (held,) = self.archive.instances([dataset.SOPInstanceUID])
        return self.blobs.path(held.sha256).read_bytes()

    def ask(
        self,
        path: str,
        accept: str = "*/*",
        method: str = "GET",
        app: FastAPI | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Ask once."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def once() -> httpx.Response:
            way = httpx.ASGITransport(app or self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=way, base_url="http://node:8042") as client:
                asked = {"Accept": accept, "Accept-Encoding": "identity", **named}
                return await client.request(method, path, headers=asked)

        return asyncio.run(once())


def parts(answer: httpx.Response) -> Sequence[tuple[str, bytes]]:
    """Return the Content-Type and the bytes of every part of a multipart answer."""
    kind = answer.headers["content-type"]
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.content
    )
    assert message.is_multipart()
    boundary = message.get_param("boundary")
    # Line ends in the bytes are no business of a mail parser: it only says what the parts are.
    raw = answer.content.split(f"--{boundary}".encode())[1:-1]
    found = []
    for part in raw:
        head, _, body = part.partition(b"\r\n\r\n")
        kind = next(
            line.split(b":", 1)[1].strip().decode()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-type:")
        )
        found.append((kind, body[:-2]))
    return found
