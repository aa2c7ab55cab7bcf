"""A detection in a report: every box where it lies, and what was looked for in vain."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.pictures import HeatMap
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.encode.write import ENCODERS, encode_job
from tests import phantoms
from tests.encode import scenes
from tests.peers import air

if TYPE_CHECKING:
    from dicom_ai_node.domain.findings import Box

PROBABILITY = Code("122157", "DCM", "Probability")
PRESENCE = Code("121052", "DCM", "Presence of property")


def _report(scene: scenes.Scene, *kinds: str) -> Dataset:
    wanted = {kind: ENCODERS[kind] for kind in (*kinds, "structured_report")}
    return encode_job(scene.findings, scene.origin, wanted)[-1][1]


def _groups(report: Dataset) -> list[sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    read = sr.Comprehensive3DSR.from_dataset(report)
    return list(read.content.get_planar_roi_measurement_groups())


def _absent(report: Dataset) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    read = sr.Comprehensive3DSR.from_dataset(report)
    return list(read.content.get_image_measurement_groups())


@pytest.mark.parametrize("source", scenes.DETECTED)
def test_every_box_is_a_region_on_its_frame(source: str) -> None:
    """A closed line of five points, column before row, from border to border."""
    scene = scenes.detected(scenes.DETECTED[source]())
    found = scene.findings.detection
    assert found is not None
    report = _report(scene)
    assert air.objections(report) == []
    groups = _groups(report)
    assert len(groups) == len(found.boxes)
    for group, box in zip(groups, found.boxes, strict=True):
        region = group.roi
        assert isinstance(region, sr.ImageRegion)
        at = box.corners
        assert region.graphic_type is sr.GraphicTypeValues.POLYLINE
        assert np.allclose(
            region.value,
            [
                [at.left, at.top],
                [at.right, at.top],
                [at.right, at.bottom],
                [at.left, at.bottom],
                [at.left, at.top],
            ],
            atol=0.005,
        )
        (image,) = region.ContentSequence
        referenced = image.ReferencedSOPSequence[0]
        assert referenced.ReferencedSOPInstanceUID == box.source.sop_instance_uid
        frame = referenced.get("ReferencedFrameNumber")
        assert frame == (box.source.number if source == "US cine" else None)


def test_a_box_says_what_it_is_how_sure_and_on_which_side() -> None:
    """The code of the finding, its site with the side, and a probability in percent."""
    first, second = _groups(_report(scenes.detected([phantoms.cr()])))
    assert first.finding_type == scenes.LUNG
    assert [site.value for site in first.finding_sites or ()] == [scenes.LUNG]
    sides = [(group.finding_sites or [])[0].laterality for group in (first, second)]
    assert [side.meaning for side in sides if side] == ["Right", "Left"]
    numbers = [group.get_measurements(name=PROBABILITY)[0] for group in (first, second)]
    assert [number.value for number in numbers] == [98.77, 61.0]
    assert {number.unit.value for number in numbers} == {"%"}


def test_boxes_can_be_told_apart_and_followed() -> None:
    """Each has a name that a person can say and a UID that graphics use, too."""
    scene = scenes.detected([phantoms.us_cine()])
    kinds = {kind: ENCODERS[kind] for kind in ("presentation_state", "structured_report")}
    made = dict(encode_job(scene.findings, scene.origin, kinds))
    groups = _groups(made["structured_report"])
    names = [group.tracking_identifier for group in groups]
    assert names[:3] == ["Right lung 1", "Left lung 1", "Right lung 2"]
    assert len(set(names)) == len(names)
    drawn = [
        item.TrackingUID
        for annotation in made["presentation_state"].GraphicAnnotationSequence
        for item in annotation.GraphicObjectSequence
    ]
    assert sorted(drawn) == sorted(group.tracking_uid for group in groups)


@pytest.mark.parametrize("source", ["CR", "US cine", "two CR"])
def test_what_was_looked_for_in_vain_is_absent(source: str) -> None:
    """One group a class, with all the images that were looked at."""
    scene = scenes.undetected(scenes.DETECTED[source]())
    report = _report(scene)
    assert air.objections(report) == []
    assert _groups(report) == []
    absent = _absent(report)
    assert [group.finding_type for group in absent] == [c.type for c in scenes.DETECTOR.classes]
    for group in absent:
        said = [item.value.meaning for item in group.get_qualitative_evaluations(name=PRESENCE)]
        assert said == ["Absent"]
        assert group.get_measurements() == []
        named = {image.referenced_sop_instance_uid for image in group.source_images}
        assert named == {source.SOPInstanceUID for source in scene.origin.sources}


def test_a_class_is_absent_only_if_there_is_no_box_of_it() -> None:
    """Here the nodule, though the lungs were found."""
    (group,) = _absent(_report(scenes.detected([phantoms.cr()])))
    assert group.finding_type == scenes.NODULE.type


def test_the_operating_point_stands_beside_every_probability() -> None:
    """With the calibration and the digest of the weights."""
    for group in _groups(_report(scenes.detected([phantoms.cr()]))):
        said = {
            str(item.get("TextValue"))
            for item in group[0].ContentSequence
            if item.ConceptNameCodeSequence[0].CodeMeaning == "Algorithm Parameters"
        }
        assert {"threshold=0.4", "slope=0.9", "offset=-0.25"} <= said


def test_the_picture_of_an_explanation_belongs_to_the_surest_box() -> None:
    """The report refers from there to the picture that shows the heat."""
    scene = scenes.detected([phantoms.cr()])
    heat = scenes.classified([phantoms.cr()]).findings.heat_map
    assert heat is not None
    warm = replace(scene.findings, heat_map=HeatMap(array=heat.array, sources=heat.sources, of=1))
    report = _report(replace(scene, findings=warm), "secondary_capture")
    assert air.objections(report) == []
    explained = [
        any(item.ConceptNameCodeSequence[0].CodeValue == "130401" for item in group.ContentSequence)
        for group in report.ContentSequence[-1].ContentSequence
    ]
    assert explained == [False, True, False]


def _harmed(scene: scenes.Scene, **changes: object) -> scenes.Scene:
    found = scene.findings.detection
    assert found is not None
    box: Box = replace(found.boxes[0], **changes)  # type: ignore[arg-type]
    harmed = replace(found, boxes=(box, *found.boxes[1:]))
    return replace(scene, findings=replace(scene.findings, detection=harmed))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"corners": Corners(0, 0, 97, 10)}, id="below the image"),
        pytest.param({"corners": Corners(0, -1, 10, 10)}, id="left of the image"),
        pytest.param({"corners": Corners(10, 0, 10, 10)}, id="no inside"),
        pytest.param({"corners": Corners(0, 0, float("nan"), 10)}, id="no number"),
        pytest.param({"probability": 1.01}, id="more than sure"),
        pytest.param({"probability": float("nan")}, id="no probability"),
        pytest.param({"of": 3}, id="no class"),
        pytest.param({"source": SourceFrame(SOPInstanceUID("1.2.3"))}, id="no image of the job"),
    ],
)
@pytest.mark.parametrize("kind", ["structured_report", "presentation_state", "secondary_capture"])
def test_a_box_that_cannot_be_is_never_written(kind: str, changes: dict[str, object]) -> None:
    """Into no object of any kind."""
    scene = _harmed(scenes.detected([phantoms.cr()]), **changes)
    with pytest.raises(TaskFailed):
        encode_job(scene.findings, scene.origin, {kind: ENCODERS[kind]})
