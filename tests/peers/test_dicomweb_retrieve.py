"""Programs of others retrieve from our node by WADO-RS."""

import hashlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import httpx
import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset, FileDataset, dcmread
from pydicom.pixels import pixel_array

from dicom_ai_node import compose
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.infer.codecs import decoder_for
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.web import WebServer
from tests.peers.orthanc import Orthanc
from tests.peers.tools import find, free_port
from tests.phantoms import ct
from tests.serve.window import sample

CLIENT = ("dicomweb-client@0.11.3", "xhr2@0.2.1")
"""From the npm registry; used by this test only."""
JANE = {"PatientName": "Doe^Jane", "PatientID": "J", "AccessionNumber": "J1"}
PEER = AETitle("CT1")
EVERY_SYNTAX = {
    "Implicit VR": "MR_small_implicit.dcm",
    "Explicit VR": "MR_small.dcm",
    "big endian": "MR_small_bigendian.dcm",
    "big endian, by plane": "ExplVR_BigEnd.dcm",
    "32 bits, big endian": "rtdose_expb.dcm",
    "RLE": "MR_small_RLE.dcm",
    "RLE, frames": "SC_rgb_rle_16bit_2frame.dcm",
    "RLE, 32 bits": "rtdose_rle.dcm",
    "JPEG": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG, frames": "examples_ybr_color.dcm",
    "JPEG, 12 bits": "JPGExtended.dcm",
    "JPEG, lossless": "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG-LS, near lossless": "JPEGLSNearLossless_16.dcm",
    "JPEG 2000, lossless": "MR_small_jp2klossless.dcm",
    "JPEG 2000, lossless, colours": "examples_jpeg2k.dcm",
    "JPEG 2000": "693_J2KI.dcm",
    "a mask": "liver_1frame.dcm",
    "a mask, big endian": "liver_expb_1frame.dcm",
    "less colour, native": "SC_ybr_full_422_uncompressed.dcm",
}


@dataclass
class Window:
    """A node that answers HTTP, and what it holds."""

    url: str
    files: dict[str, bytes]

    @property
    def client(self) -> DICOMwebClient:
        """Return the Python client of others."""
        return DICOMwebClient(self.url)


def _store(settings: object, datasets: list[FileDataset]) -> dict[str, bytes]:
    blobs, ledger = compose.blobs(settings), compose.ledger(settings)  # type: ignore[arg-type]
    arrivals, files = [], {}
    for dataset in datasets:
        spooled = blobs.spool()
        dataset.save_as(spooled, enforce_file_format=True)
        files[str(dataset.SOPInstanceUID)] = spooled.read_bytes()
        instance = instance_of(spooled)
        blobs.keep(spooled)
        arrivals.append(
            Arrival(
                instance=instance, calling_ae_title=PEER, called_ae_title=PEER, address="127.0.0.1"
            )
        )
    ledger.record(arrivals, compose.now(), timedelta(seconds=1))
    return files


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """Open a node that holds a CT, and an object in every transfer syntax that it decodes."""
    folder = tmp_path_factory.mktemp("retrieve")
    port = free_port()
    path = folder / "ae_config.yaml"
    path.write_text(
        dedent(f"""\
        receive: {{ae_title: AI_NODE, accept_from: [CT1]}}
        store: {{folder: ./node, min_free_gb: 0.01}}
        routes:
          - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
        serve: {{port: {port}, login: none}}
        """)
    )
    settings = compose.settings(path)
    compose.prepare(settings)
    datasets = [*ct(slices=5, rows=32, columns=32, **JANE), *map(sample, EVERY_SYNTAX.values())]
    files = _store(settings, datasets)
    server = WebServer(settings)
    server.start()
    yield Window(f"http://127.0.0.1:{port}/dicom-web", files)
    server.close()


@pytest.fixture
def slices() -> list[FileDataset]:
    """Return the CT that the node holds."""
    return ct(slices=5, rows=32, columns=32, **JANE)


def _place(dataset: Dataset) -> tuple[str, str, str]:
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


def _expected(name: str) -> np.ndarray:
    """Return the pixels as pydicom decodes them, with the plug-ins of the node."""
    dataset = sample(name)
    _, plugin = decoder_for(dataset.file_meta.TransferSyntaxUID)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return pixel_array(stream, decoding_plugin=plugin)


def test_the_python_client_retrieves_whole_objects(
    window: Window, slices: list[FileDataset]
) -> None:
    """Studies, series and instances, as they were stored."""
    study, series, instance = _place(slices[2])
    client = window.client
    for found in (client.retrieve_study(study), client.retrieve_series(study, series)):
        assert {one.SOPInstanceUID for one in found} == {one.SOPInstanceUID for one in slices}
    stored = dcmread(io.BytesIO(window.files[instance]))
    assert client.retrieve_instance(study, series, instance) == stored
    streamed = list(client.iter_series(study, series))
    assert len(streamed) == 5


def test_the_python_client_retrieves_headers(window: Window, slices: list[FileDataset]) -> None:
    """Of a study, a series and an instance; its bulk data by the address in them."""
    study, series, instance = _place(slices[2])
    client = window.client
    assert len(client.retrieve_study_metadata(study)) == 5
    assert len(client.retrieve_series_metadata(study, series)) == 5
    header = client.retrieve_instance_metadata(study, series, instance)
    assert Dataset.from_json(header, lambda _: b"").PatientName == "Doe^Jane"
    # This client leaves the port out of its Host header, so that nobody can tell it the way back.
    uri = f"{window.url}/studies{header['7FE00010']['BulkDataURI'].partition('/studies')[2]}"
    (value,) = client.retrieve_bulkdata(uri)
    assert value == slices[2].PixelData


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_the_python_client_retrieves_every_transfer_syntax(window: Window, syntax: str) -> None:
    """As it is stored, and in Explicit VR Little Endian with the same pixels."""
    name = EVERY_SYNTAX[syntax]
    place = _place(sample(name))
    client = window.client
    stored = client.retrieve_instance(*place)
    assert stored.file_meta.TransferSyntaxUID == sample(name).file_meta.TransferSyntaxUID
    native = client.retrieve_instance(*place, media_types=(("application/dicom",),))  # type: ignore[arg-type]
    assert native.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert native.SOPInstanceUID == stored.SOPInstanceUID
    assert native.PixelData[-1:] is not None
    assert np.array_equal(native.pixel_array, _expected(name))


@pytest.mark.parametrize("syntax", EVERY_SYNTAX)
def test_the_python_client_retrieves_every_frame(window: Window, syntax: str) -> None:
    """Decoded, whatever they are stored as."""
    name = EVERY_SYNTAX[syntax]
    dataset = sample(name)
    expected = _expected(name)
    count = int(dataset.get("NumberOfFrames") or 1)
    frames = window.client.retrieve_instance_frames(*_place(dataset), list(range(1, count + 1)))
    assert len(frames) == count
    stack = expected if count > 1 else expected[None]
    for found, frame in zip(frames, stack, strict=True):
        if name.startswith("liver"):
            assert found == np.packbits(frame.ravel(), bitorder="little").tobytes()
        elif name.startswith("SC_ybr"):  # native frames are not touched
            assert found == dataset.PixelData
        else:
            assert found == frame.astype(frame.dtype.newbyteorder("<")).tobytes()


def test_the_python_client_sees_pictures(window: Window, slices: list[FileDataset]) -> None:
    """Rendered, as large as the image."""
    answer = window.client.retrieve_instance_rendered(
        *_place(slices[2]), media_types=("image/png",)
    )
    assert Image.open(io.BytesIO(answer)).size == (32, 32)


def test_the_javascript_client_retrieves(
    window: Window, slices: list[FileDataset], tmp_path: Path
) -> None:
    """dicomweb-client, by which OHIF and others ask."""
    node, npm = find("node"), find("npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *CLIENT]
    fetched = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    if fetched.returncode:
        pytest.skip("the npm registry does not answer")
    script = tmp_path / "retrieve.mjs"
    shutil.copyfile(Path(__file__).parent / "retrieve.mjs", script)
    place = _place(slices[2])
    done = subprocess.run(
        [node, str(script), str(tmp_path), window.url, *place],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    files = {_sha256(window.files[one.SOPInstanceUID]) for one in slices}
    pixels = _sha256(slices[2].PixelData)
    assert set(found["studies"]) == set(found["series"]) == files
    assert found["instance"] == _sha256(window.files[place[2]])
    assert found["rows"] == [32] * 5
    assert found["one"] == place[2]
    assert found["frames"] == [pixels]
    assert found["rendered"] == "ffd8"
    assert len(found["bulk"]) == 1


def test_orthanc_pulls_a_study(window: Window, slices: list[FileDataset], tmp_path: Path) -> None:
    """Its DICOMweb plug-in is a client, too: it asks for the headers, then for the instances."""
    study = slices[0].StudyInstanceUID
    compressed = sample("MR_small_RLE.dcm")
    with Orthanc(
        tmp_path,
        DicomWeb={"Enable": True, "Root": "/dicom-web/", "Servers": {"node": [f"{window.url}/"]}},
    ) as orthanc:
        for uid in (study, compressed.StudyInstanceUID):
            answer = httpx.post(
                f"{orthanc.dicomweb_url}/servers/node/retrieve",
                json={"Resources": [{"Study": uid}], "Synchronous": True},
                trust_env=False,
                timeout=60,
            )
            assert answer.status_code == 200, answer.text
        uids = {one.SOPInstanceUID for one in slices} | {compressed.SOPInstanceUID}
        assert set(orthanc.instances()) == uids
        pulled = orthanc.dataset(slices[1].SOPInstanceUID)
        assert np.array_equal(pulled.pixel_array, slices[1].pixel_array)
        assert np.array_equal(
            orthanc.dataset(compressed.SOPInstanceUID).pixel_array,
            sample("MR_small.dcm").pixel_array,
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
