"""Reports, read back by highdicom."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from highdicom import sr
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings, Measurement
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.headers import normalised
from dicom_ai_node.encode.identity import tracking_uid
from dicom_ai_node.encode.structured_report import encode
from dicom_ai_node.encode.write import ENCODERS, encode_job
from tests import phantoms
from tests.encode import scenes
from tests.peers import air


def _report(scene: scenes.Scene, *kinds: str) -> Dataset:
    wanted = {kind: ENCODERS[kind] for kind in (*kinds, "structured_report")}
    return dict(encode_job(scene.findings, scene.origin, wanted))["structured_report"]


def _groups(report: Dataset) -> list[Dataset]:
    return list(report.ContentSequence[-1].ContentSequence)


def _said(group: Dataset, meaning: str) -> list[Dataset]:
    return [
        item
        for item in group.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]


def _presence(group: Dataset) -> list[str]:
    return [
        item.ConceptCodeSequence[0].CodeMeaning for item in _said(group, "Presence of property")
    ]


@pytest.mark.parametrize("source", scenes.SOURCES)
@pytest.mark.parametrize("kinds", [("segmentation",), ("segmentation_labelmap",), ()])
def test_every_report_follows_the_rules_of_ai_results(source: str, kinds: tuple[str, ...]) -> None:
    """Whether it refers to a segmentation, to a label map or to none."""
    report = _report(scenes.scene(scenes.SOURCES[source]()), *kinds)
    assert air.objections(report) == []
    assert report.CompletionFlag == "COMPLETE"
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.VerificationFlag == "UNVERIFIED"


def test_volumes_are_measured_in_groups_that_refer_to_their_segment() -> None:
    """With the UIDs of the segmentation, its tracking UID, and all values to six digits."""
    scene = scenes.scene(phantoms.ct())
    made = dict(encode_job(scene.findings, scene.origin, ENCODERS))
    read = sr.Comprehensive3DSR.from_dataset(made["structured_report"])
    groups = read.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_uid for group in groups] == [
        tracking_uid(scene.origin, scenes.LIVER),
        tracking_uid(scene.origin, scenes.KIDNEY),
    ]
    segment = groups[0].referenced_segment
    assert segment.referenced_sop_instance_uid == made["segmentation"].SOPInstanceUID
    assert segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == 1
    volume = groups[0].get_measurements(name=scenes.VOLUME)[0]
    assert volume.value == pytest.approx(scene.findings.measurements[0].value, rel=1e-6)
    mean = groups[0].get_measurements()[1]
    assert mean.derivation == scenes.MEAN


def test_values_stand_apart_from_each_other_in_every_container() -> None:
    """So that a viewer writes "Volume: 1.7 cm3", not "1.7 cm3" in the middle of a line."""

    def continuities(item: Dataset) -> list[str]:
        below = [each for part in item.get("ContentSequence", ()) for each in continuities(part)]
        return [*([item.ContinuityOfContent] if item.ValueType == "CONTAINER" else ()), *below]

    found = continuities(_report(scenes.scene(phantoms.ct()), "segmentation"))
    assert len(found) > 3
    assert set(found) == {"SEPARATE"}


def test_a_measurement_of_one_slice_names_its_slice() -> None:
    """Inside the group of a volume."""
    scene = scenes.scene(phantoms.ct())
    group = _groups(_report(scene, "segmentation"))[0]
    area = _said(group, "Area")[0]
    sop = area.ContentSequence[-1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    named = {item.frame.sop_instance_uid for item in scene.findings.measurements if item.frame}
    assert sop in named


def test_frames_of_a_cine_are_measured_one_by_one() -> None:
    """One group per measured frame, and one for what holds for the whole cine."""
    scene = scenes.scene([phantoms.us_cine()])
    made = dict(encode_job(scene.findings, scene.origin, ENCODERS))
    report, seg = made["structured_report"], made["segmentation"]
    read = sr.Comprehensive3DSR.from_dataset(report)
    liver = tracking_uid(scene.origin, scenes.LIVER)
    areas = [item for item in scene.findings.measurements if item.frame is not None]
    groups = read.content.get_planar_roi_measurement_groups(tracking_uid=liver)
    assert len(groups) == len(areas) == 3
    for group, area in zip(groups, areas, strict=True):
        image = _said(group[0], "Referenced Segmentation Frame")[0].ReferencedSOPSequence[0]
        assert "ReferencedSegmentNumber" not in image
        shown = seg.PerFrameFunctionalGroupsSequence[image.ReferencedFrameNumber - 1]
        assert area.frame is not None
        source = shown.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedFrameNumber == area.frame.number
    whole = read.content.get_image_measurement_groups(tracking_uid=liver)
    assert len(whole) == 1
    assert whole[0].get_measurements()[0].name == scenes.VOLUME


def test_what_was_looked_for_in_vain_is_reported_as_absent() -> None:
    """The reader can tell that the model has run and found nothing."""
    some = _groups(_report(scenes.scene(phantoms.ct()), "segmentation"))
    assert _presence(some[-1]) == ["Absent"]
    assert _said(some[-1], "Finding")[0].ConceptCodeSequence[0].CodeMeaning == "Spleen"
    none = _groups(_report(scenes.nothing(phantoms.ct()), "segmentation"))
    assert [_presence(group) for group in none] == [["Absent"]] * 3


def test_without_a_segmentation_the_group_shows_the_image() -> None:
    """A site that takes no SEG still gets every value, and the image where most was found."""
    scene = scenes.scene(phantoms.ct())
    group = _groups(_report(scene))[0]
    assert _presence(group) == ["Present"]
    assert len(_said(group, "Source")) == 1 or any(
        item.ValueType == "IMAGE" for item in group.ContentSequence
    )


def test_a_task_without_labels_reports_its_numbers() -> None:
    """And one that says nothing at all says that all is normal."""
    scene = scenes.scene([phantoms.dx()])
    measured = Findings(
        measurements=(
            Measurement(concept=scenes.AREA, value=3.5, unit=scenes.MM2, of=1),
            Measurement(concept=scenes.AREA, value=9.5, unit=scenes.MM2),
        )
    )
    groups = _groups(_report(replace(scene, findings=measured)))
    assert len(_said(groups[0], "Area")) == 1
    assert len(_said(groups[-1], "Area")) == 1
    model = replace(scene.origin.model, segments=())
    silent = replace(scene.origin, model=model)
    (group,) = _groups(encode(Findings(), silent)[0])
    assert _said(group, "Finding")[0].ConceptCodeSequence[0].CodeMeaning == "Normal"
    assert air.objections(encode(Findings(), silent)[0]) == []


@pytest.mark.parametrize(
    ("source", "code"),
    [("CT", "25045-6"), ("PET", "44136-0"), ("MR", "25056-3"), ("US", "363679005")],
)
def test_the_procedure_is_that_of_the_scanner_not_of_the_model(source: str, code: str) -> None:
    """From CID 100, by modality."""
    report = _report(scenes.scene(scenes.SOURCES[source]()))
    reported = _said(report, "Procedure reported")
    assert [item.ConceptCodeSequence[0].CodeValue for item in reported] == [code]


def test_pet_and_ct_together_are_one_procedure_and_two_entries_of_the_library() -> None:
    """Every input series is shown."""
    scene = scenes.scene(phantoms.pet())
    ct = [normalised(image) for image in phantoms.ct()]
    both = replace(scene, origin=replace(scene.origin, sources=[*scene.origin.sources, *ct]))
    report = _report(both)
    (reported,) = _said(report, "Procedure reported")
    assert reported.ConceptCodeSequence[0].CodeValue == "44136-0"
    library = _said(report, "Image Library")[0]
    images = [item for group in library.ContentSequence for item in group.ContentSequence]
    assert sum(item.ValueType == "IMAGE" for item in images) == 2


def test_the_algorithm_tells_its_weights_and_thresholds() -> None:
    """Who reads the number can find out what made it."""
    group = _groups(_report(scenes.scene(phantoms.ct())))[0]
    parameters = [item.TextValue for item in _said(group, "Algorithm Parameters")]
    assert f"model digest={scenes.MODEL.digest}" in parameters
    assert "threshold=0.5" in parameters
    assert "intensity=window -160 240" in parameters


def test_notes_of_the_task_are_in_the_report() -> None:
    """Which repair was allowed, why there are no millimetres."""
    group = _groups(_report(scenes.scene(phantoms.ct())))[0]
    assert _said(group, "Comment")[0].TextValue == "Measured on the source pixels."


def test_everything_that_was_used_or_made_is_evidence() -> None:
    """Inputs and segmentation under this study, a prior under its own."""
    scene = scenes.scene(phantoms.ct(slices=3))
    prior = normalised(phantoms.cr(StudyInstanceUID=derive_uid("prior")))
    origin = replace(scene.origin, sources=[*scene.origin.sources, prior])
    report = _report(replace(scene, origin=origin), "segmentation")
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert [len(series.ReferencedSOPSequence) for series in study.ReferencedSeriesSequence] == [
        3,
        1,
    ]
    (other,) = report.PertinentOtherEvidenceSequence
    assert other.StudyInstanceUID == prior.StudyInstanceUID


def test_a_report_names_those_that_it_replaces() -> None:
    """Late images make a new report; the reader must see which one is out of date."""
    scene = scenes.scene(phantoms.ct())
    old = _report(scene)
    again = replace(scene.origin, predecessors=[old], job=scenes.JobKey("77" * 32))
    report = _report(replace(scene, origin=again))
    (study,) = report.PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == old.SOPInstanceUID != report.SOPInstanceUID


def test_the_request_behind_the_images_is_repeated() -> None:
    """So that the report finds its way to the order."""
    request = Dataset()
    request.RequestedProcedureID, request.ScheduledProcedureStepID = "R1", "S1"
    report = _report(scenes.scene([phantoms.dx(RequestAttributesSequence=[request])]))
    assert report.ReferencedRequestSequence[0].RequestedProcedureID == "R1"
    assert report.ReferencedRequestSequence[0].AccessionNumber == "ZZCANARY-A"


@pytest.mark.parametrize(
    "measurement",
    [
        pytest.param(
            Measurement(concept=scenes.AREA, value=float("nan"), unit=scenes.MM2), id="nan"
        ),
        pytest.param(
            Measurement(concept=scenes.AREA, value=1, unit=scenes.MM2, of=9), id="of what?"
        ),
    ],
)
def test_numbers_that_mean_nothing_are_no_report(measurement: Measurement) -> None:
    """A fault of the task, not a finding."""
    scene = scenes.scene([phantoms.dx()])
    with pytest.raises(TaskFailed):
        encode(replace(scene.findings, measurements=(measurement,)), scene.origin)


def test_the_time_is_that_of_the_result() -> None:
    """Not that of writing it down."""
    at = datetime(2020, 5, 6, 7, 8, 9, tzinfo=UTC)
    scene = scenes.scene([phantoms.dx(TimezoneOffsetFromUTC="+0000")], created_at=at)
    report = _report(scene)
    assert report.ContentDate == "20200506"
    assert report.ContentTime == "070809"
