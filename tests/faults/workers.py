"""Workers of the small node: no network, but every way to end that a real one has."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.orders import Attempt, EncodingOrder, InferenceOrder
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.store.blobs import verify


def _flood(name: str) -> None:
    for _ in range(10):
        sys.stdout.write(name * 90_000)
    sys.stdout.flush()


def _raise(name: str) -> None:
    raise TaskFailed("the network gave NaN")


def _quote(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _poison(_: str) -> None:
    """Kill the worker until somebody has put a file beside the clock of the node."""
    if not Path(os.environ["DAN_CLOCK"]).with_name("mended").exists():
        ctypes.string_at(0)


DEEDS: Mapping[str, Callable[[str], object]] = {
    "SEGFAULT": lambda _: ctypes.string_at(0),
    "KILL": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "HANG": lambda _: time.sleep(600),
    "EXIT": lambda _: os._exit(0),
    "RAISE": _raise,
    "QUOTE": _quote,
    "FLOOD": _flood,
    "POISON": _poison,
    "SLOW": lambda _: time.sleep(2.0),
}
"""What a worker does with a series that asks for it in its description."""


class Inference:
    """Looks at the headers of a series and finds nothing."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __call__(self, attempt: Attempt) -> None:
        """Run one attempt."""
        order = attempt.order
        assert isinstance(order, InferenceOrder)
        for path in order.inputs["image"]:
            verify(path)
            dataset = dcmread(path)
            assert len(dataset.PixelData)
        if deed := DEEDS.get(str(dataset.get("SeriesDescription", ""))):
            deed(str(dataset.PatientName))
        (attempt.folder / "findings.json").write_text("{}")


class Encoding:
    """Makes one object of each kind, the same bytes for the same job."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __call__(self, attempt: Attempt) -> None:
        """Run one attempt."""
        order = attempt.order
        assert isinstance(order, EncodingOrder)
        source = dcmread(order.sources[0], stop_before_pixels=True)
        for number, kind in enumerate(order.write):
            path = attempt.folder / f"{number}-{kind}.dcm"
            _object(source, attempt.job, kind).save_as(path, enforce_file_format=True)


def _object(source: FileDataset, job: str, kind: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = derive_uid(job, kind)
    made = FileDataset(Path(kind), {}, file_meta=meta, preamble=bytes(128))
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.SeriesInstanceUID = derive_uid(job, "series")
    made.StudyInstanceUID = source.StudyInstanceUID
    made.PatientName, made.PatientID = source.PatientName, source.PatientID
    made.Modality = "OT"
    return made
