"""QIDO-RS: what is found, what is told of it, and what is refused."""

import json
from typing import Any

import pytest
from pydicom import FileDataset

from dicom_ai_node.domain.levels import TOLD, Level, path_of
from dicom_ai_node.domain.native_model_read import header_of
from dicom_ai_node.serve.dicomweb import search
from tests.serve.window import Window, parts, sample

CT, MR, SR = "CT_small.dcm", "MR_small.dcm", "reportsi.dcm"


@pytest.fixture
def full(window: Window) -> Window:
    """Return a window on three studies, of which one has two series."""
    for name in (CT, MR, SR):
        window.put(name)
    second = sample(CT)
    second.SeriesInstanceUID += ".2"
    second.Modality, second.SeriesNumber = "SR", 99
    put(window, second, 2)
    return window


def put(window: Window, dataset: FileDataset, number: int) -> None:
    """Store a dataset as another instance."""
    dataset.SOPInstanceUID = f"{dataset.StudyInstanceUID[:50]}.9.{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = number
    window.put(dataset)


def found(window: Window, path: str) -> list[dict[str, Any]]:
    """Return the lines of an answer."""
    answer = window.ask(f"/dicom-web{path}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/dicom+json"
    lines: list[dict[str, Any]] = json.loads(answer.content)
    return lines


def value(line: dict[str, Any], keyword: str) -> Any:  # noqa: ANN401 - JSON
    """Return the first value of an attribute."""
    (tag,) = path_of(keyword)
    return line[tag]["Value"][0]


def test_a_study_is_told_with_what_belongs_to_it(full: Window) -> None:
    """The attributes of PS3.18 10.6.3.3 that it has, and where to retrieve it."""
    (line,) = found(full, "/studies?PatientID=1CT1")
    dataset = sample(CT)
    assert line["00080061"]["Value"] == ["CT", "SR"]
    assert value(line, "NumberOfStudyRelatedSeries") == 2
    assert value(line, "NumberOfStudyRelatedInstances") == 2
    assert value(line, "InstanceAvailability") == "ONLINE"
    assert value(line, "SpecificCharacterSet") == "ISO_IR 192"
    url = f"http://node:8042/dicom-web/studies/{dataset.StudyInstanceUID}"
    assert value(line, "RetrieveURL") == url
    assert set(line) <= {*TOLD[Level.STUDY], "00080005"}
    assert list(line) == sorted(line)


def test_series_and_instances_are_found_in_a_study_and_in_all(full: Window) -> None:
    """In all of them what is above is told, too."""
    study = sample(CT).StudyInstanceUID
    assert len(found(full, "/series")) == 4
    inside = found(full, f"/studies/{study}/series")
    assert [value(line, "SeriesNumber") for line in inside] == [1, 99]
    assert all("00100010" not in line for line in inside)
    assert "00100010" in found(full, "/series?Modality=MR")[0]
    first = value(inside[0], "SeriesInstanceUID")
    (line,) = found(full, f"/studies/{study}/series/{first}/instances")
    assert value(line, "Rows") == 128
    assert value(line, "RetrieveURL").endswith(
        f"/series/{first}/instances/{value(line, 'SOPInstanceUID')}"
    )
    assert "00080060" not in line
    assert len(found(full, f"/studies/{study}/instances")) == 2
    (report,) = found(full, f"/instances?SOPClassUID={sample(SR).SOPClassUID}")
    assert value(report, "Modality") == "SR"
    assert found(full, f"/studies/{study}/series/1.2.3/instances") == []


@pytest.mark.parametrize(
    ("query", "count"),
    [
        pytest.param("PatientName=compressedsamples*", 2, id="a name without its case"),
        pytest.param("PatientName=ct1&fuzzymatching=true", 1, id="a fuzzy name"),
        pytest.param("PatientName=ct1", 0, id="not fuzzy"),
        pytest.param("00100020=4MR1", 1, id="a tag"),
        pytest.param("ModalitiesInStudy=SR", 2, id="a modality in the study"),
        pytest.param("Modality=SR&SeriesNumber=99", 1, id="keys of a series"),
        pytest.param("KVP=120", 1, id="a key of its instances"),
        pytest.param("StudyDate=20040101-20041231", 2, id="a range"),
        pytest.param("StudyInstanceUID=1.2.3,1.2.4", 0, id="a list of UIDs"),
        pytest.param("PatientID=", 3, id="an empty value"),
        pytest.param('AccessionNumber=""', 3, id="what is empty"),
        pytest.param("ConceptNameCodeSequence.CodeValue=?*", 1, id="a key in a sequence"),
        pytest.param("limit=2", 2, id="so many"),
        pytest.param("limit=2&offset=2", 1, id="the rest"),
        pytest.param("offset=7", 0, id="after the end"),
        pytest.param("limit=0", 0, id="none"),
        pytest.param("accept=application/json&charset=utf-8", 3, id="how to answer"),
    ],
)
def test_a_query_finds(full: Window, query: str, count: int) -> None:
    """Studies, by keys of every level."""
    answer = full.ask(f"/dicom-web/studies?{query}")
    assert answer.status_code == 200, answer.text
    assert len(answer.json()) == count


def test_what_is_asked_for_is_told(full: Window) -> None:
    """By includefield and by keys; whole headers without what lies elsewhere."""
    (study,) = found(
        full, "/studies?PatientID=4MR1&PatientWeight=&includefield=PatientAge,Modality"
    )
    assert "00101030" in study
    assert "00101010" not in study, "the file does not say it"
    (line,) = found(full, "/instances?Modality=MR&includefield=EchoTime&includefield=00180080")
    assert value(line, "EchoTime") == 240.0
    assert value(line, "RepetitionTime") == 4000.0
    assert "00180080" in line
    assert "00180050" not in line
    (whole,) = found(full, "/instances?Modality=MR&includefield=all")
    assert value(whole, "SliceThickness") == 0.8
    assert "7FE00010" not in whole
    assert len(whole) > 60


def test_more_than_the_limit_is_announced(full: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    """With where to go on; not if that was all. Page by page it is the same."""
    all_of_them = found(full, "/instances")
    for at_once in (1000, 2, 1):
        monkeypatch.setattr(search, "AT_ONCE", at_once)
        some = full.ask("/dicom-web/instances?limit=3")
        assert some.headers["warning"].startswith("299 dicom-ai-node")
        assert "offset=3" in some.headers["warning"]
        rest = full.ask("/dicom-web/instances?limit=3&offset=3")
        assert "warning" not in rest.headers
        assert some.json() + rest.json() == all_of_them
        exact = full.ask("/dicom-web/instances?limit=4")
        assert "warning" not in exact.headers
        assert exact.json() == all_of_them


@pytest.mark.parametrize(
    ("query", "why"),
    [
        pytest.param("NoSuchThing=1", "neither an attribute nor one of limit", id="unknown"),
        pytest.param("limit=-1", "limit is a whole number", id="a limit below none"),
        pytest.param("limit=1e3", "limit is a whole number", id="a limit that is no number"),
        pytest.param("offset=99999999999999", "offset is a whole number", id="too far"),
        pytest.param("limit=1&limit=2", "limit is given twice", id="twice"),
        pytest.param("PatientID=1&00100020=2", "PatientID is given twice", id="a key twice"),
        pytest.param("fuzzymatching=maybe", "fuzzymatching is true or false", id="perhaps"),
        pytest.param("StudyDate=2004*", "StudyDate cannot be matched: a date is", id="a date"),
        pytest.param("StudyInstanceUID=1.*", "StudyInstanceUID cannot be matched", id="a UID"),
        pytest.param("includefield=NoSuchThing", "named by its keyword", id="a field"),
        pytest.param("ProcedureCodeSequence=1", "is a sequence", id="a sequence"),
    ],
)
def test_what_cannot_be_understood_is_refused(full: Window, query: str, why: str) -> None:
    """With a sentence for whoever wrote the query."""
    answer = full.ask(f"/dicom-web/studies?{query}")
    assert (answer.status_code, why in answer.json()["detail"]) == (400, True), answer.text


def test_the_media_type_is_negotiated(full: Window) -> None:
    """DICOM JSON, JSON or XML in parts, and nothing else."""
    path = "/dicom-web/studies"
    assert full.ask(path, "application/json").headers["content-type"] == "application/json"
    either = "application/json;q=0.5, application/dicom+json"
    assert full.ask(path, either).headers["content-type"] == "application/dicom+json"
    for other in ("text/html", 'multipart/related; type="application/dicom"'):
        none = full.ask(path, other)
        assert (none.status_code, "application/dicom+json" in none.json()["detail"]) == (406, True)


def test_xml_is_a_part_for_each_line(full: Window) -> None:
    """The same lines; nothing is 204, since there is no message without a part."""
    asked = 'multipart/related; type="application/dicom+xml"'
    found = [header_of(body) for _, body in parts(full.ask("/dicom-web/series", asked))]
    assert found == full.ask("/dicom-web/series").json()
    assert len(found) > 1
    for query in ("PatientID=nobody", "limit=0"):
        assert full.ask(f"/dicom-web/studies?{query}", asked).status_code == 204


def test_a_path_that_is_no_uid_is_refused(full: Window) -> None:
    """Before anything is looked for."""
    assert full.ask("/dicom-web/studies/..%2F1/series").status_code in (404, 422)
    assert full.ask("/dicom-web/studies/abc/series").status_code == 422


def test_names_in_any_script_are_found(window: Window) -> None:
    """The characters of a URL are UTF-8, whatever those of the file were."""
    dataset = sample(CT)
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.1"
    put(window, dataset, 1)
    for name in ("山田^太郎", "山田*", "yamada*", "やまだ^たろう"):
        (line,) = found(window, f"/studies?PatientName={name}")
        assert line["00100010"]["Value"][0]["Ideographic"] == "山田^太郎"
    assert len(found(window, "/studies?PatientName=太郎&fuzzymatching=true")) == 1
    assert found(window, "/studies?PatientName=太郎") == []
