"""The Python client of others searches the window of a real node over a socket."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import Dataset, FileDataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.web import WebServer
from tests.peers.tools import free_port

# What pydicom writes is read here as others read it.
NAMES = {
    "ISO_IR 192": "Wang^XiaoDong=王^小東",
    "GB18030": "Zhang^XiaoNan=张^小南",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 149": "Hong^Gildong=洪^吉洞=홍^길동",
    "ISO_IR 100": "Müller^Jörg",
}


def people() -> Iterator[FileDataset]:
    """Yield one instance of each person, in the character set of their country."""
    for number, (character_set, name) in enumerate(NAMES.items(), 1):
        dataset = dcmread(str(get_testdata_file("MR_small.dcm")))
        dataset.SpecificCharacterSet = character_set.split("\\")
        dataset.PatientName = name
        dataset.PatientID = f"P{number}"
        dataset.StudyInstanceUID = f"1.2.826.{number}"
        dataset.SeriesInstanceUID = f"1.2.826.{number}.1"
        dataset.SOPInstanceUID = f"1.2.826.{number}.1.1"
        dataset.StudyDate = f"2026010{number}"
        dataset.file_meta = FileMetaDataset(dataset.file_meta)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        yield dataset


def settings_in(folder: Path) -> NodeConfig:
    """Return a node with a window that asks nobody who they are."""
    path = folder / "ae_config.yaml"
    path.write_text(
        dedent(f"""\
        receive: {{ae_title: AI_NODE, accept_from: [CT1]}}
        store: {{folder: ./node}}
        routes:
          - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
        serve: {{port: {free_port()}, login: none}}
        """)
    )
    settings = compose.settings(path)
    compose.prepare(settings)
    return settings


def received(settings: NodeConfig, dataset: FileDataset) -> None:
    """Store and record an instance as a receiver does."""
    blobs, reception = compose.blobs(settings), compose.reception(settings)
    spooled = blobs.spool()
    dataset.save_as(spooled, enforce_file_format=True)
    instance = instance_of(spooled)
    blobs.keep(spooled)
    peer = AETitle("CT1")
    reception.record([
        Arrival(instance=instance, calling_ae_title=peer, called_ae_title=peer, address="127.0.0.1")
    ])  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DICOMwebClient]:
    """Return a client of a node that holds one study of each person."""
    settings = settings_in(tmp_path_factory.mktemp("node"))
    assert settings.serve is not None
    for dataset in people():
        received(settings, dataset)
    server = WebServer(settings)
    server.start()
    yield DICOMwebClient(f"http://127.0.0.1:{settings.serve.port}/dicom-web")
    server.close()


def names(found: list[dict[str, dict[str, object]]]) -> list[str]:
    """Return the names in an answer, read by pydicom."""
    return [str(Dataset.from_json(one).PatientName) for one in found]


@pytest.mark.parametrize("name", NAMES.values())
def test_a_name_is_found_as_it_is_written(client: DICOMwebClient, name: str) -> None:
    """All of it, one way of writing it, or its beginning; it comes back as it was."""
    groups = name.split("=")
    for asked in (name, *groups, *(f"{group.split('^')[0]}^*" for group in groups)):
        found = client.search_for_studies(search_filters={"PatientName": asked})
        assert names(found) == [name], asked


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        pytest.param("xiaodong wang", "Wang^XiaoDong=王^小東", id="words in any order"),
        pytest.param("王小東", "Wang^XiaoDong=王^小東", id="ideographs without a caret"),
        pytest.param("小南", "Zhang^XiaoNan=张^小南", id="a given name from GB18030"),
        pytest.param("太郎", "Yamada^Tarou=山田^太郎=やまだ^たろう", id="from ISO 2022 IR 87"),
        pytest.param("たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう", id="by its sound"),
        pytest.param("길동", "Hong^Gildong=洪^吉洞=홍^길동", id="from ISO 2022 IR 149"),
        pytest.param("jorg mull", "Müller^Jörg", id="without accents"),
    ],
)
def test_a_fuzzy_name_is_found(client: DICOMwebClient, asked: str, name: str) -> None:
    """By the beginnings of its words, in any script."""
    found = client.search_for_studies(fuzzymatching=True, search_filters={"PatientName": asked})
    assert names(found) == [name]
    assert names(client.search_for_studies(search_filters={"PatientName": asked})) == []


def test_all_levels_are_searched(client: DICOMwebClient) -> None:
    """With limits, offsets and fields; every answer is a data set for pydicom."""
    studies = client.search_for_studies(limit=3, fields=["StudyDescription", "PatientWeight"])
    assert [Dataset.from_json(one).StudyDate for one in studies] == [
        "20260105",
        "20260104",
        "20260103",
    ]
    assert Dataset.from_json(studies[0]).PatientWeight is not None
    rest = client.search_for_studies(limit=3, offset=3)
    assert len(rest) == 2
    (series,) = client.search_for_series("1.2.826.2", search_filters={"Modality": "MR"})
    assert Dataset.from_json(series).NumberOfSeriesRelatedInstances == 1
    (instance,) = client.search_for_instances("1.2.826.2", "1.2.826.2.1")
    assert Dataset.from_json(instance).Rows == 64
    assert len(client.search_for_series()) == len(client.search_for_instances()) == 5
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_a_client_that_wants_the_rest_gets_it(client: DICOMwebClient) -> None:
    """It asks again with another offset until nothing is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = client.search_for_studies(limit=2, get_remaining=True)
    assert len({Dataset.from_json(one).StudyInstanceUID for one in found}) == 5


def test_what_was_found_can_be_retrieved(client: DICOMwebClient) -> None:
    """From where the answer says."""
    (line,) = client.search_for_instances("1.2.826.3")
    instance = Dataset.from_json(line)
    # This client leaves the port out of its Host header, so that the address lacks it, too.
    place = instance.RetrieveURL.partition("/dicom-web/")[2]
    assert place == "studies/1.2.826.3/series/1.2.826.3.1/instances/1.2.826.3.1.1"
    (header,) = client.retrieve_series_metadata("1.2.826.3", "1.2.826.3.1")
    assert Dataset.from_json(header, bulk_data_uri_handler=lambda _: b"").PatientID == "P3"
