"""Reports are read for their numbers: ours, those of other systems, and broken ones."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from pydicom import config, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.reports import Report
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.identity import tracking_uid
from dicom_ai_node.encode.write import ENCODERS, encode_job
from dicom_ai_node.infer import reports
from dicom_ai_node.infer.reports import read_report, reported
from tests import phantoms
from tests.encode import scenes
from tests.infer.reading import material

HAEMOGLOBIN = Code("718-7", "LN", "Hemoglobin")
G_PER_DL = Code("g/dL", "UCUM", "g/dL")


def _coded(code: Code) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code[:3]
    return Sequence([item])


def _item(value_type: str, name: Code | None, *children: Dataset, **values: object) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    if name is not None:
        item.ConceptNameCodeSequence = _coded(name)
    for keyword, value in values.items():
        setattr(item, keyword, value)
    if children:
        item.ContentSequence = Sequence(children)
    return item


def _is(name: Code, value: Code, *children: Dataset) -> Dataset:
    return _item("CODE", name, *children, ConceptCodeSequence=_coded(value))


def _number(
    value: object = "13.5",
    *children: Dataset,
    name: Code | None = HAEMOGLOBIN,
    unit: Code | None = G_PER_DL,
    **values: object,
) -> Dataset:
    measured = Dataset()
    measured.NumericValue = value
    if unit is not None:
        measured.MeasurementUnitsCodeSequence = _coded(unit)
    return _item("NUM", name, *children, MeasuredValueSequence=Sequence([measured]), **values)


def _not_a_number() -> Dataset:
    item = _number("")
    item.MeasuredValueSequence[0].FloatingPointValue = float("nan")
    return item


def _report(*content: Dataset) -> Dataset:
    report = Dataset()
    report.SOPClassUID = ComprehensiveSRStorage
    for level in ("SOP", "Series", "Study"):
        setattr(report, f"{level}InstanceUID", derive_uid("report", level))
    report.StudyDate, report.StudyTime, report.Modality = "20250102", "030405.678", "SR"
    report.ValueType = "CONTAINER"
    report.ContentSequence = Sequence(content)
    return report


def _written(report: Dataset, folder: Path) -> Path:
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
    report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    dcmwrite(folder / "report.dcm", report, enforce_file_format=True)
    return folder / "report.dcm"


def _values(report: Report) -> list[float]:
    return [item.value for item in report.measurements]


def test_our_own_report_gives_back_what_was_measured() -> None:
    """Each value with concept, unit, derivation, structure, side and tracking UID."""
    scene = scenes.scene(phantoms.ct())
    written = dict(encode_job(scene.findings, scene.origin, ENCODERS))["structured_report"]
    read = reported(written)
    assert read.left_out == ()
    measured = sorted((item.value, item.unit.value) for item in scene.findings.measurements)
    assert sorted((item.value, item.unit.value) for item in read.measurements) == [
        (pytest.approx(value, rel=1e-5), unit) for value, unit in measured
    ]
    kidney = next(item for item in read.measurements if item.finding == codes.SCT.Kidney)
    assert (kidney.concept, kidney.unit) == (scenes.VOLUME, scenes.CM3)
    assert (kidney.site, kidney.laterality) == (codes.SCT.Abdomen, codes.SCT.Left)
    assert kidney.tracking_uid == tracking_uid(scene.origin, scenes.KIDNEY)
    assert kidney.tracking_id == "Left kidney 2"
    mean = next(item for item in read.measurements if item.value == pytest.approx(41.25))
    assert mean.derivation == scenes.MEAN


def test_our_own_regions_name_the_image_that_they_were_measured_on() -> None:
    """Through the frame of the segmentation, which is no image itself."""
    image = phantoms.dx()
    scene = scenes.scene([image])
    written = dict(encode_job(scene.findings, scene.origin, ENCODERS))["structured_report"]
    sources = {source for item in reported(written).measurements for source in item.sources}
    assert sources == {image.SOPInstanceUID}


def test_a_report_of_dcmqi_is_read_with_its_old_codes() -> None:
    """SNOMED RT becomes SNOMED CT; the numbers of its image library are left alone."""
    read = read_report(material("dcmqi/data/sr-example/sr.dcm")[0])
    peak = next(item for item in read.measurements if item.value == pytest.approx(10.3814))
    assert peak.unit.value == "{SUVbw}g/ml"
    assert peak.derivation is not None
    assert peak.derivation.meaning == "Maximum"
    assert peak.finding == Code("86049000", "SCT", "Neoplasm, Primary")
    assert peak.finding.scheme_designator == "SCT"
    assert peak.tracking_id == "primary tumor"
    assert len(read.measurements) == 22
    assert read.studied_at == datetime(1986, 3, 11, 11, 42, 43)  # noqa: DTZ001
    assert not {"Pixel Data Rows", "Pixel Data Columns"} & {
        item.concept.meaning for item in read.measurements
    }


def test_reports_made_by_highdicom_are_read() -> None:
    """Groups of several templates, with a measurement that has a tracking UID of its own."""
    one, several = (
        read_report(path)
        for path in material("highdicom/sr_document.dcm", "highdicom/sr_document_with*.dcm")
    )
    assert [item.unit.value for item in several.measurements] == ["[hnsf'U]", "mm", "mm", "mm3"]
    assert several.measurements[1].site == codes.SCT.Lung
    assert several.measurements[2].site is None
    assert one.measurements[0].value == pytest.approx(1.7)
    assert one.measurements[0].sources


def test_a_report_of_another_time_is_read() -> None:
    """Sample of another vendor from 2001: numbers with units, and nothing around them."""
    read = read_report(material("pydicom/test_files/test-SR.dcm")[0])
    assert [(item.value, item.unit.value) for item in read.measurements] == [(3.0, "cm")] * 2
    assert all(len(item.sources) == 1 for item in read.measurements)


def test_a_laboratory_value_needs_no_group() -> None:
    """A number right under the title, and one within another number."""
    inner = _number("4.2", unit=Code("mmol/L", "UCUM", "mmol/L"))
    read = reported(_report(_number("13.5"), _number("7", inner)))
    assert _values(read) == [13.5, 7.0, 4.2]
    assert read.measurements[0].concept == HAEMOGLOBIN
    assert read.measurements[0].finding is None


def test_what_stands_nearest_holds() -> None:
    """A site inside a group replaces that around it, and takes the side of the outer one away."""
    site, side = Code("363698007", "SCT", "Finding Site"), Code("272741003", "SCT", "Laterality")
    group = _item(
        "CONTAINER",
        Code("125007", "DCM", "Measurement Group"),
        _is(site, codes.SCT.Kidney, _is(side, codes.SCT.Left)),
        _number("1"),
        _number("2", _is(site, codes.SCT.Liver)),
        _number("3", ObservationDateTime="20250607080910.5+0200"),
    )
    first, second, third = reported(_report(group, _number("4"))).measurements[:3]
    assert (first.site, first.laterality) == (codes.SCT.Kidney, codes.SCT.Left)
    assert (second.site, second.laterality) == (codes.SCT.Liver, None)
    assert third.observed_at == datetime(2025, 6, 7, 8, 9, 10)  # noqa: DTZ001
    assert reported(_report(group, _number("4"))).measurements[3].site is None


def test_twins_are_told_apart() -> None:
    """By the Subject ID of the group that a number lies in."""
    of_whom = Code("121030", "DCM", "Subject ID")
    groups = [
        _item("CONTAINER", None, _item("TEXT", of_whom, TextValue=name), _number(str(place)))
        for place, name in enumerate("AB")
    ]
    for group in groups:
        group.ContentSequence[0].RelationshipType = "HAS OBS CONTEXT"
    assert [item.subject for item in reported(_report(*groups)).measurements] == ["A", "B"]


@pytest.mark.parametrize(
    ("item", "why"),
    [
        pytest.param(_number(unit=None), "1 numbers have no unit", id="no unit"),
        pytest.param(_number(name=None), "1 numbers do not say what they measure", id="no name"),
        pytest.param(_number(["1", "2"]), "1 numbers have no value", id="two values"),
        pytest.param(_not_a_number(), "1 numbers have no value", id="not a number"),
        pytest.param(_number(""), "1 numbers have no value", id="empty"),
        pytest.param(_item("NUM", HAEMOGLOBIN), "1 numbers have no value", id="nothing at all"),
    ],
)
def test_numbers_that_are_none_are_counted(item: Dataset, why: str) -> None:
    """They are left out, the others stay, and no value is quoted."""
    read = reported(_report(item, _number("13.5")))
    assert _values(read) == [13.5]
    assert read.left_out == (why,)


def test_a_text_in_place_of_a_number_harms_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a sequence that is none; written without checks, as a broken sender does."""
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    odd = _number("1")
    odd.MeasuredValueSequence[0].add_new("NumericValue", "LO", "much")
    flat = _item("CONTAINER", None)
    flat.add_new("ContentSequence", "LO", "none")
    read = read_report(_written(_report(odd, flat, _number("13.5")), tmp_path))
    assert _values(read) == [13.5]
    assert read.left_out == ("1 numbers have no value",)


def _nested(depth: int) -> Dataset:
    item = _number()
    for _ in range(depth):
        item = _item("CONTAINER", None, item)
    return _report(item)


def _without(keyword: str) -> Callable[[], Dataset]:
    report = _report(_number())
    delattr(report, keyword)
    return lambda: report


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: _nested(reports.MAX_DEPTH), id="nested too deep"),
        pytest.param(_without("SOPInstanceUID"), id="without its UID"),
        pytest.param(_without("SOPClassUID"), id="without its class"),
        pytest.param(lambda: phantoms.ct()[0], id="an image"),
    ],
)
def test_what_is_no_report_is_refused(made: Callable[[], Dataset]) -> None:
    """With a code that asks the sender."""
    with pytest.raises(Rejected) as refusal:
        reported(made())
    assert refusal.value.code is RejectCode.SR_UNREADABLE


def test_nesting_up_to_the_limit_is_read() -> None:
    """The last level that the node receives."""
    assert _values(reported(_nested(reports.MAX_DEPTH - 1))) == [13.5]


def test_a_report_of_too_many_items_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are looked at."""
    monkeypatch.setattr(reports, "MAX_ITEMS", 100)
    with pytest.raises(Rejected, match="more than 100 items"):
        reported(_report(*(_number() for _ in range(101))))


def test_a_file_that_ends_in_its_header_is_refused(tmp_path: Path) -> None:
    """One that ends later never gets as far: whether all has come is asked when it is received."""
    path = _written(_report(_number()), tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Rejected) as refusal:
        read_report(path)
    assert refusal.value.code is RejectCode.SR_UNREADABLE


def test_a_file_nested_beyond_reason_is_refused(tmp_path: Path) -> None:
    """Although no list of ours, but the library that decodes it, runs out of stack."""
    start = bytes.fromhex("40003 0a7".replace(" ", "")) + b"SQ\0\0" + b"\xff" * 4
    item = bytes.fromhex("feff00e0") + b"\xff" * 4
    path = _written(_report(_number()), tmp_path)
    path.write_bytes(path.read_bytes()[:-20] + (start + item) * 20_000)
    with pytest.raises(Rejected) as refusal:
        read_report(path)
    assert refusal.value.code is RejectCode.SR_UNREADABLE


def test_a_file_that_is_too_large_or_absent_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without being read."""
    path = _written(_report(_number()), tmp_path)
    monkeypatch.setattr(reports, "MAX_REPORT_BYTES", 10)
    for wrong in (path, tmp_path / "absent.dcm"):
        with pytest.raises(Rejected) as refusal:
            read_report(wrong)
        assert refusal.value.code is RejectCode.SR_UNREADABLE
