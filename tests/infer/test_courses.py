"""What was measured now is put beside what earlier reports say, and beside nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.course import Course
from dicom_ai_node.domain.findings import Findings, Measurement
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.uids import JobKey, derive_uid
from dicom_ai_node.encode.write import ENCODERS, encode_job
from dicom_ai_node.infer.courses import compared
from tests import phantoms
from tests.encode import scenes

LIVER_CM3 = Measurement(concept=scenes.VOLUME, value=1600.0, unit=scenes.CM3, of=1)
KIDNEY_CM3 = replace(LIVER_CM3, value=150.0, of=2)


def _images(date: str) -> list[Dataset]:
    image = phantoms.dx(
        StudyDate=date,
        StudyInstanceUID=derive_uid("study", date),
        SeriesInstanceUID=derive_uid("series", date),
        SOPInstanceUID=derive_uid("image", date),
    )
    return [image]


def _report(
    date: str, *measured: Measurement, model: object = None, job: str = "", **header: object
) -> Dataset:
    """Return the report of a study at `date` that says this."""
    changes: dict[str, object] = {} if model is None else {"model": model}
    scene = scenes.scene(_images(date), job=JobKey((job or date) * 8), **changes)
    found = replace(scene.findings, measurements=measured)
    report = dict(encode_job(found, scene.origin, ENCODERS))["structured_report"]
    for keyword, value in header.items():
        setattr(report, keyword, value)
    return report


def _compared(
    folder: Path, measured: Sequence[Measurement], *reports: Dataset, **options: bool
) -> Findings:
    order = InferenceOrder(
        kind="segment",
        model=scenes.MODEL.name,
        model_digest=scenes.MODEL.digest,
        inputs={"image": tuple(phantoms.write(_images("20250601"), folder / "now"))},
        options={"compare_earlier": True, **options},
        earlier=tuple(phantoms.write(reports, folder / "earlier")),
    )
    found = Findings(measurements=tuple(measured))
    return compared(found, order, scenes.MODEL)


def _values(course: Course) -> list[float]:
    return [point.value for point in course.points]


def test_a_course_runs_from_the_first_study_to_this_one(tmp_path: Path) -> None:
    """By date, whatever the order in which the reports are given; with the report of each."""
    earlier = [
        _report("20250301", replace(LIVER_CM3, value=1500.0)),
        _report("20240301", replace(LIVER_CM3, value=1400.0), KIDNEY_CM3),
    ]
    found = _compared(tmp_path, [LIVER_CM3], *earlier)
    (course,) = found.courses
    assert _values(course) == [1400.0, 1500.0, 1600.0]
    assert [f"{point.at:%Y%m%d}" for point in course.points] == ["20240301", "20250301", "20250601"]
    assert [ref.sop_instance_uid for ref in course.reports] == [
        report.SOPInstanceUID for report in reversed(earlier)
    ]
    assert found.notes == ("compared with 2 reports of earlier studies",)


def test_nothing_is_compared_unless_the_route_asks(tmp_path: Path) -> None:
    """And a study without a predecessor says that there was none."""
    report = _report("20250301", LIVER_CM3)
    asked = _compared(tmp_path / "a", [LIVER_CM3])
    unasked = _compared(tmp_path / "b", [LIVER_CM3], report, compare_earlier=False)
    assert (asked.courses, unasked.courses, unasked.notes) == ((), (), ())
    assert asked.notes == ("compared with 0 reports of earlier studies",)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(LIVER_CM3, unit=codes.UCUM.CubicMillimeter), id="another unit"),
        pytest.param(replace(LIVER_CM3, concept=codes.SCT.Area), id="another quantity"),
        pytest.param(replace(LIVER_CM3, derivation=scenes.MEAN), id="another derivation"),
        pytest.param(replace(LIVER_CM3, of=2), id="another organ"),
        pytest.param(replace(LIVER_CM3, of=None), id="the image as a whole"),
    ],
)
def test_only_what_means_the_same_is_compared(other: Measurement, tmp_path: Path) -> None:
    """Quantity, unit, derivation and structure."""
    found = _compared(tmp_path, [LIVER_CM3], _report("20250301", other))
    assert found.courses == ()


def _right(report: Dataset) -> None:
    for group in report.ContentSequence[-1].ContentSequence:
        for item in group.ContentSequence:
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Finding Site":
                side = item.ContentSequence[0].ConceptCodeSequence[0]
                side.CodeValue, side.CodeMeaning = "24028007", "Right"


def test_sides_are_not_mixed_up(tmp_path: Path) -> None:
    """The left kidney is compared with the left one only."""
    left, right = (_report(date, KIDNEY_CM3) for date in ("20250301", "20240301"))
    _right(right)
    (course,) = _compared(tmp_path, [KIDNEY_CM3], left, right).courses
    assert len(course.points) == 2
    assert course.reports[0].sop_instance_uid == left.SOPInstanceUID


@pytest.mark.parametrize(
    "date",
    [
        pytest.param("20250601", id="this study"),
        pytest.param("20260101", id="a later study"),
    ],
)
def test_earlier_means_earlier(date: str, tmp_path: Path) -> None:
    """A prior that is sent after its successor is not compared with what came after it."""
    assert _compared(tmp_path, [LIVER_CM3], _report(date, LIVER_CM3)).courses == ()


def _replacing(old: Dataset) -> Callable[[Dataset], None]:
    def work(new: Dataset) -> None:
        reference, series, study = Dataset(), Dataset(), Dataset()
        reference.ReferencedSOPClassUID = old.SOPClassUID
        reference.ReferencedSOPInstanceUID = old.SOPInstanceUID
        series.SeriesInstanceUID, series.ReferencedSOPSequence = old.SeriesInstanceUID, [reference]
        study.StudyInstanceUID, study.ReferencedSeriesSequence = old.StudyInstanceUID, [series]
        new.PredecessorDocumentsSequence = [study]

    return work


def test_every_study_counts_once(tmp_path: Path) -> None:
    """The same report twice, one that was replaced, and the older of two that were not."""
    first = _report("20250301", replace(LIVER_CM3, value=1.0), job="00000001", ContentTime="110000")
    newer = _report("20250301", replace(LIVER_CM3, value=2.0), job="00000002", ContentTime="120000")
    old = _report("20240301", replace(LIVER_CM3, value=3.0), job="00000003", ContentTime="130000")
    instead = _report("20240301", replace(LIVER_CM3, value=4.0), job="00000004", ContentTime="1")
    _replacing(old)(instead)
    (course,) = _compared(tmp_path, [LIVER_CM3], first, newer, newer, old, instead).courses
    assert _values(course) == [4.0, 2.0, 1600.0]


def test_the_same_model_goes_before_others(tmp_path: Path) -> None:
    """Even if the report of the other one is newer; where only that is there, the note says so."""
    other = replace(scenes.MODEL, version="9.9.9")
    ours = _report("20250301", replace(LIVER_CM3, value=1.0))
    theirs = _report("20250301", replace(LIVER_CM3, value=2.0), model=other, job="00000001",
                     ContentDate="20250401")  # fmt: skip
    (course,) = _compared(tmp_path / "both", [LIVER_CM3], ours, theirs).courses
    assert _values(course) == [1.0, 1600.0]
    alone = _compared(tmp_path / "alone", [LIVER_CM3], theirs)
    assert _values(alone.courses[0]) == [2.0, 1600.0]
    assert "another model, version or system" in alone.notes[0]


def test_of_many_frames_the_median_is_compared(tmp_path: Path) -> None:
    """And the course tells from where to where they reach."""
    cine = [replace(LIVER_CM3, value=value) for value in (10.0, 12.0, 30.0)]
    (course,) = _compared(tmp_path, cine, _report("20250301", *cine, LIVER_CM3)).courses
    assert [(point.value, point.low, point.high) for point in course.points] == [
        (21.0, 10.0, 1600.0),
        (12.0, 10.0, 30.0),
    ]


def _as_two_lesions(report: Dataset) -> None:
    """Let a report tell of the same quantity of two things without our names."""
    groups = report.ContentSequence[-1].ContentSequence
    for number, group in enumerate(groups):
        for item in group.ContentSequence:
            name = item.ConceptNameCodeSequence[0].CodeMeaning
            if name == "Tracking Identifier":
                item.TextValue = f"thing {number}"
            if name == "Finding":
                item.ConceptCodeSequence[0].CodeValue = codes.SCT.Liver.value


def test_of_several_alike_none_is_guessed(tmp_path: Path) -> None:
    """The note says that it was not clear which is which."""
    report = _report("20250301", LIVER_CM3, replace(LIVER_CM3, of=3))
    _as_two_lesions(report)
    found = _compared(tmp_path, [LIVER_CM3], report)
    assert found.courses == ()
    assert found.notes[-1] == ("Liver: an earlier report tells of several and not which is which")


def test_an_annotated_unit_is_the_same_wherever_its_annotation_stands(tmp_path: Path) -> None:
    """Others write {SUVbw}g/ml where we write g/ml{SUVbw}."""
    suv = replace(LIVER_CM3, unit=scenes.Code("g/ml{SUVbw}", "UCUM", "SUV"), value=3.0)
    theirs = replace(suv, unit=scenes.Code("{SUVbw}g/ml", "UCUM", "SUV"), value=2.0)
    (course,) = _compared(tmp_path, [suv], _report("20250301", theirs)).courses
    assert _values(course) == [2.0, 3.0]


def test_a_report_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """Also one that retention has taken meanwhile; the others count."""
    good, image = _report("20250301", LIVER_CM3), phantoms.cr()
    found = _compared(tmp_path, [LIVER_CM3], good, image)
    assert len(found.courses) == 1
    assert found.notes[-1] == "1 earlier reports could not be read"


def test_a_study_without_a_date_has_no_before(tmp_path: Path) -> None:
    """It says so and goes on."""
    order = InferenceOrder(
        kind="segment",
        model="organs",
        model_digest=scenes.MODEL.digest,
        inputs={"image": tuple(phantoms.write(phantoms.dx(StudyDate=""), tmp_path))},
        options={"compare_earlier": True},
    )
    found = compared(Findings(measurements=(LIVER_CM3,)), order, scenes.MODEL)
    assert found.notes == ("not compared with earlier studies: this study has no date",)
