"""A classification in a report: every class with its probability, and which one is reported."""

from dataclasses import replace

import pytest
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Classification, Findings
from dicom_ai_node.encode.report_classes import percents_of
from dicom_ai_node.encode.write import ENCODERS, encode_job
from tests import phantoms
from tests.encode import scenes
from tests.peers import air

PROBABILITY = Code("122157", "DCM", "Probability")
PRESENCE = Code("121052", "DCM", "Presence of property")


def _made(scene: scenes.Scene, *kinds: str) -> dict[str, list[Dataset]]:
    wanted = {kind: ENCODERS[kind] for kind in kinds or tuple(ENCODERS)}
    made: dict[str, list[Dataset]] = {kind: [] for kind in wanted}
    for kind, item in encode_job(scene.findings, scene.origin, wanted):
        made[kind].append(item)
    return made


def _report(scene: scenes.Scene, *kinds: str) -> Dataset:
    (report,) = _made(scene, *kinds, "structured_report")["structured_report"]
    return report


def _groups(report: Dataset) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    read = sr.Comprehensive3DSR.from_dataset(report)
    return list(read.content.get_image_measurement_groups())


def _texts(report: Dataset, meaning: str) -> list[list[str]]:
    return [
        [
            str(item.get("TextValue"))
            for item in group.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeMeaning == meaning
        ]
        for group in report.ContentSequence[-1].ContentSequence
    ]


def explanations(report: Dataset) -> list[list[str]]:
    """Return what each measurement group refers to as its visual explanation, by UID."""
    return [
        [
            str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
            for item in group.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue == "130401"
        ]
        for group in report.ContentSequence[-1].ContentSequence
    ]


def _evidence(report: Dataset) -> set[str]:
    return {
        str(instance.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }


@pytest.mark.parametrize("source", scenes.CLASSIFIED)
def test_every_class_has_its_group(source: str) -> None:
    """With its finding, its site and a probability in percent; together they are 100."""
    scene = scenes.classified(scenes.CLASSIFIED[source]())
    report = _report(scene)
    assert air.objections(report) == []
    groups = _groups(report)
    assert [group.finding_type for group in groups] == [
        item.type for item in scenes.CLASSIFIER.classes
    ]
    sites = [[site.value for site in group.finding_sites or ()] for group in groups]
    assert sites == [[scenes.LUNG], [scenes.LUNG], []]
    measured = [group.get_measurements(name=PROBABILITY) for group in groups]
    assert [[item.value for item in items] for items in measured] == [[45.43], [46.54], [8.03]]
    assert {item.unit.value for items in measured for item in items} == {"%"}
    assert sum(items[0].value for items in measured) == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("present", [0, 1, 2])
def test_only_the_reported_class_is_present(present: int) -> None:
    """The others are absent, and not just left out; it need not be the likeliest."""
    report = _report(scenes.classified([phantoms.cr()], present=present))
    said = [
        group.get_qualitative_evaluations(name=PRESENCE)[0].value.meaning
        for group in _groups(report)
    ]
    assert said == ["Present" if place == present else "Absent" for place in range(3)]


def test_a_group_names_the_images_that_were_looked_at() -> None:
    """All of them, as the probabilities are the mean over all."""
    scene = scenes.classified(scenes.SOURCES["two CR"]())
    for group in _groups(_report(scene)):
        named = {item.referenced_sop_instance_uid for item in group.source_images}
        assert named == {source.SOPInstanceUID for source in scene.origin.sources}


def test_a_slice_that_spoke_for_the_stack_is_the_one_that_is_named() -> None:
    """The others were looked at, and are in the evidence; the probabilities are not theirs."""
    scene = scenes.classified(phantoms.mr())
    found = scene.findings.classification
    assert found is not None
    findings = replace(scene.findings, classification=replace(found, decided_by=found.sources[3]))
    report = _report(replace(scene, findings=findings))
    for group in _groups(report):
        (named,) = group.source_images
        assert named.referenced_sop_instance_uid == found.sources[3].sop_instance_uid
    assert {source.sop_instance_uid for source in found.sources} <= _evidence(report)


def test_the_algorithm_tells_how_it_decides() -> None:
    """Threshold, temperature and the digest of the weights stand beside every probability."""
    for said in _texts(_report(scenes.classified([phantoms.cr()])), "Algorithm Parameters"):
        assert {
            f"model digest={scenes.MODEL.digest}",
            "temperature=1.37",
            "operating point=label Pneumonia, threshold 0.41",
            "explain layer=layer4",
        } <= set(said)
        assert not any("largest part" in text for text in said)


def test_two_classes_never_share_a_tracking_uid() -> None:
    """A viewer would show them as one."""
    groups = _groups(_report(scenes.classified([phantoms.cr()])))
    assert len({group.tracking_uid for group in groups}) == 3
    assert [group.tracking_identifier for group in groups] == ["Pneumonia", "Nodule", "Normal"]


@pytest.mark.parametrize("source", ["CR", "two CR", "US cine", "MR"])
def test_the_reported_class_shows_what_spoke_for_it(source: str) -> None:
    """Its group refers to the pictures with the heat map, and so does the evidence."""
    made = _made(scenes.classified(scenes.CLASSIFIED[source]()))
    shown = [*made["secondary_capture"], *made["parametric_map"]]
    pictures = [str(item.SOPInstanceUID) for item in shown]
    assert pictures
    (report,) = made["structured_report"]
    assert explanations(report) == [pictures, [], []]
    assert set(pictures) <= _evidence(report)
    assert air.objections(report) == []


def test_a_report_refers_to_no_picture_that_is_not_written() -> None:
    """A route may ask for the report alone, and a picture may explain nothing."""
    scene = scenes.classified([phantoms.cr()])
    assert explanations(_report(scene)) == [[], [], []]
    plain = replace(scene, findings=replace(scene.findings, heat_map=None))
    made = _made(plain)
    (report,) = made["structured_report"]
    assert len(made["secondary_capture"]) == 1
    assert explanations(report) == [[], [], []]
    assert str(made["secondary_capture"][0].SOPInstanceUID) not in _evidence(report)


def test_a_classification_makes_no_segmentation() -> None:
    """A route that asks for one gets nothing of the kind, and no error."""
    made = _made(scenes.classified([phantoms.cr()]))
    assert {kind: len(items) for kind, items in made.items() if items} == {
        "secondary_capture": 1,
        "structured_report": 1,
    }


def test_measurements_of_the_whole_image_stand_beside_the_classes() -> None:
    """A task may both classify and measure."""
    scene = scenes.classified([phantoms.cr()])
    whole = replace(
        scenes.measurements_on(scenes.scene([phantoms.cr()]).findings.segmentation)[0], of=None
    )  # type: ignore[arg-type]
    report = _report(replace(scene, findings=replace(scene.findings, measurements=(whole,))))
    assert air.objections(report) == []
    assert len(_groups(report)) == 4


@pytest.mark.parametrize(
    ("probabilities", "why"),
    [
        pytest.param((0.5, 0.6, 0.0), "do not add up", id="more than all"),
        pytest.param((0.2, 0.3, 0.4), "do not add up", id="less than all"),
        pytest.param((-0.1, 0.5, 0.6), "do not add up", id="less than nothing"),
        pytest.param((float("nan"), 0.5, 0.5), "not a number", id="no number"),
        pytest.param((0.5, 0.5), "one probability per class", id="one too few"),
    ],
)
def test_probabilities_that_are_none_are_never_written(
    probabilities: tuple[float, ...], why: str
) -> None:
    """They are a mistake of the task, not a finding."""
    with pytest.raises(TaskFailed, match=why):
        _report(scenes.classified([phantoms.cr()], probabilities))


def test_a_hundred_rounded_classes_are_still_a_hundred_percent() -> None:
    """Rounding never moves the sum by more than half a percent."""
    found = Classification(
        classes=(scenes.NORMAL,) * 100,
        probabilities=(*[0.0099494949] * 99, 1 - 99 * 0.0099494949),
        present=0,
        sources=(),
    )
    assert sum(percents_of(found)) == pytest.approx(100, abs=0.5)


def test_a_frame_that_is_none_of_the_sources_is_a_mistake_of_the_task() -> None:
    """A report never refers to an image that was not sent for it."""
    scene = scenes.classified([phantoms.cr()])
    other = scenes.classified([phantoms.dx()]).findings.classification
    with pytest.raises(TaskFailed, match="none of the job's inputs"):
        _report(replace(scene, findings=Findings(classification=other)))
