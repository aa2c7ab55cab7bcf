"""DCMTK, Orthanc and dcmjs-dimse find and fetch what a real node holds."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

from tests.holding import VIEWER, Holding, holding
from tests.peers.archive import archive
from tests.peers.orthanc import PATIENCE_SECONDS, Orthanc
from tests.peers.tools import find, free_port
from tests.phantoms import STUDY_INSTANCE_UID, ct, mr

ACCEPT = "[CT1, {ae_title: VIEWER, may: [query]}, {ae_title: ORTHANC, may: [store, query]}]"
DCMJS_DIMSE = "dcmjs-dimse@0.3.3"
NAME = "Doe^Jane"


def images() -> list[Dataset]:
    """Return a CT of four slices, one of them compressed, and an MR of two."""
    slices = [*ct(slices=4, PatientName=NAME), *mr(slices=2, PatientName=NAME)]
    slices[3].compress(JPEGLSLossless, generate_instance_uid=False)
    return slices


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    """Return where the destinations listen."""
    return {"PACS": free_port(), "ORTHANC": free_port()}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Holding]:
    """Run a node that holds one study."""
    folder = tmp_path_factory.mktemp("node")
    with holding(folder, accept_from=ACCEPT, destinations=ports) as running:
        running.take(images())
        yield running


def dcmtk(tool: str, node: Holding, *arguments: object) -> str:
    """Run a tool of DCMTK against the node and return all that it says."""
    said = subprocess.run(
        [find(tool), "-v", "-S", "-aet", VIEWER, "-aec", "AI_NODE",
         *map(str, arguments), "127.0.0.1", str(node.port)],
        capture_output=True, text=True, timeout=60, check=False, errors="replace",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return said.stdout + said.stderr


def test_findscu_finds_a_study_by_the_name_of_the_patient(node: Holding, tmp_path: Path) -> None:
    """With wildcards; another name finds nothing."""
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID")
    numbers = ("-k", "NumberOfStudyRelatedInstances", "-k", "ModalitiesInStudy")
    dcmtk("findscu", node, *keys, *numbers, "-k", "PatientName=doe*", "-X", "-od", tmp_path)
    [answer] = map(dcmread, tmp_path.glob("rsp*.dcm"))
    assert (answer.StudyInstanceUID, answer.PatientName) == (STUDY_INSTANCE_UID, NAME)
    assert answer.NumberOfStudyRelatedInstances == 6
    assert sorted(answer.ModalitiesInStudy) == ["CT", "MR"]
    said = dcmtk("findscu", node, *keys, "-k", "PatientName=roe*")
    assert "Received Final Find Response (Success)" in said
    assert "Find Response: 1" not in said


def test_findscu_goes_down_to_the_instances(node: Holding, tmp_path: Path) -> None:
    """With attributes that only the whole header of an instance knows."""
    study = ("-k", f"StudyInstanceUID={STUDY_INSTANCE_UID}")
    dcmtk("findscu", node, "-k", "QueryRetrieveLevel=SERIES", *study, "-k", "SeriesInstanceUID",
          "-k", "Modality=CT", "-X", "-od", tmp_path)  # fmt: skip
    [series] = map(dcmread, tmp_path.glob("rsp*.dcm"))
    (tmp_path / "images").mkdir()
    dcmtk("findscu", node, "-k", "QueryRetrieveLevel=IMAGE", *study,
          "-k", f"SeriesInstanceUID={series.SeriesInstanceUID}", "-k", "SOPInstanceUID",
          "-k", "ImagePositionPatient", "-X", "-od", tmp_path / "images")  # fmt: skip
    found = [dcmread(path) for path in sorted((tmp_path / "images").glob("rsp*.dcm"))]
    sent = images()[:4]
    assert [one.SOPInstanceUID for one in found] == [one.SOPInstanceUID for one in sent]
    assert [one.ImagePositionPatient for one in found] == [one.ImagePositionPatient for one in sent]


def test_getscu_gets_a_study(node: Holding, tmp_path: Path) -> None:
    """On its own association, what was compressed without: that is what it prefers."""
    said = dcmtk("getscu", node, "-k", "QueryRetrieveLevel=STUDY",
                 "-k", f"StudyInstanceUID={STUDY_INSTANCE_UID}", "-od", tmp_path)  # fmt: skip
    got = {one.SOPInstanceUID: one for one in map(dcmread, tmp_path.iterdir())}
    assert "Number of Failed Suboperations    : 0" in said
    for sent in images():
        here = got.pop(sent.SOPInstanceUID)
        assert here.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert (here.pixel_array == sent.pixel_array).all()
    assert not got


def test_movescu_moves_a_series_to_a_destination(node: Holding, ports: dict[str, int]) -> None:
    """The node connects to where its configuration says."""
    takes = [(images()[0].SOPClassUID, [ExplicitVRLittleEndian])]
    with archive(takes, port=ports["PACS"]) as pacs:
        said = dcmtk("movescu", node, "-aem", "PACS", "-k", "QueryRetrieveLevel=SERIES",
                     "-k", f"StudyInstanceUID={STUDY_INSTANCE_UID}",
                     "-k", f"SeriesInstanceUID={images()[0].SeriesInstanceUID}")  # fmt: skip
    assert "Received Final Move Response (Success)" in said
    assert set(pacs.uids) == {one.SOPInstanceUID for one in images()[:4]}


def test_orthanc_finds_a_study_and_has_it_sent(
    node: Holding, ports: dict[str, int], tmp_path: Path
) -> None:
    """By C-FIND and C-MOVE to itself, as from any archive; what it gets is what was sent."""
    settings = {
        "DicomPort": ports["ORTHANC"],
        "DicomModalities": {"node": ["AI_NODE", "127.0.0.1", node.port]},
    }
    with Orthanc(tmp_path, **settings) as orthanc:

        def post(path: str, body: object) -> dict[str, str]:
            answer = httpx.post(
                orthanc.url + path, json=body, trust_env=False, timeout=PATIENCE_SECONDS
            )
            answer.raise_for_status()
            return dict(answer.json() or {})

        asked = {"Level": "Study", "Query": {"PatientName": "Doe*", "StudyDate": "20250101-"}}
        query = post("/modalities/node/query", asked)["Path"]
        [number] = orthanc.get(f"{query}/answers")
        content = orthanc.get(f"{query}/answers/{number}/content?simplify")
        assert (content["StudyInstanceUID"], content["PatientName"]) == (STUDY_INSTANCE_UID, NAME)
        post(f"{query}/answers/{number}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
        assert orthanc.instances().keys() == {one.SOPInstanceUID for one in images()}
        sent = images()[3]
        assert (orthanc.dataset(sent.SOPInstanceUID).pixel_array == sent.pixel_array).all()


@pytest.fixture(scope="module")
def dcmjs_dimse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with dcmjs-dimse from the npm registry, installed without its scripts."""
    npm, folder = find("npm"), tmp_path_factory.mktemp("npm")
    installed = subprocess.run(
        [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund",
         DCMJS_DIMSE],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip("the npm registry cannot be reached")
    return folder


def test_dcmjs_dimse_echoes_finds_and_gets(node: Holding, dcmjs_dimse: Path) -> None:
    """Three requests on one association, from JavaScript."""
    script = dcmjs_dimse / "dimse.js"
    script.write_text((Path(__file__).parent / "dimse.js").read_text())
    said = subprocess.run(
        [find("node"), str(script), str(node.port), STUDY_INSTANCE_UID],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout.splitlines()[-1])
    assert (told["echo"], told["find"]) == ([0x0000], [0xFF00, 0x0000])
    assert NAME in told["names"][0]
    assert set(told["instances"]) == {one.SOPInstanceUID for one in images()}
    assert told["get"][-1] == 0x0000
