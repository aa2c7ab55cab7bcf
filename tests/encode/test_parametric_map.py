"""Heat maps as parametric maps: numbers on the planes of their source."""

from dataclasses import replace

import numpy as np
import pytest
from highdicom.pm import ParametricMap
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.pictures import Explained, HeatMap
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.encode.parametric_map import encode
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.write import ENCODERS, encode_job
from tests import phantoms
from tests.encode import scenes
from tests.encode.test_report_classes import explanations

PLACED = ("CT", "CT tilted, uneven", "MR", "enhanced MR", "no Type 2", "one MR slice")


def _heat(scene: scenes.Scene) -> HeatMap:
    heat = scene.findings.heat_map
    assert heat is not None
    return heat


def _map(scene: scenes.Scene) -> Dataset:
    (found,) = encode(scene.findings, scene.origin)
    return found


@pytest.mark.parametrize("source", PLACED)
def test_another_library_reads_every_number_where_the_model_put_it(source: str) -> None:
    """Highdicom finds the heat of each frame beside the source frame that it explains."""
    scene = scenes.classified(scenes.CLASSIFIED[source]())
    heat = _heat(scene)
    read = ParametricMap.from_dataset(_map(scene))
    frames = read.get_frames(apply_real_world_transform=True)
    assert np.array_equal(frames, heat.array.astype(np.float32))
    for group, plane in zip(
        read.PerFrameFunctionalGroupsSequence,
        planes(heat.sources, scene.origin.sources),
        strict=True,
    ):
        (image,) = group.DerivationImageSequence[0].SourceImageSequence
        assert image.ReferencedSOPInstanceUID == plane.frame.sop_instance_uid
        assert image.get("ReferencedFrameNumber", 1) == plane.frame.number
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert [str(value) for value in position] == list(plane.position or ())


@pytest.mark.parametrize("by", list(Explained))
def test_a_map_says_what_its_numbers_are(by: Explained) -> None:
    """From 0 to 1, without a unit, and by which method."""
    scene = scenes.classified(phantoms.mr())
    heat = replace(_heat(scene), by=by)
    found = _map(replace(scene, findings=replace(scene.findings, heat_map=heat)))
    (meaning,) = found.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    quantity = meaning.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue
    assert quantity == {Explained.GRAD_CAM: "130403"}.get(by, "130404")
    assert meaning.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert meaning.LUTExplanation.startswith(by.words)
    assert found.ContentDescription.startswith(by.words)
    assert found.ContentQualification == "RESEARCH"


@pytest.mark.parametrize("source", ["CR", "DX", "US", "US cine", "two CR"])
def test_images_without_a_place_in_the_patient_get_no_map(source: str) -> None:
    """A parametric map has a frame of reference, PS3.3 A.75, and these have none to give."""
    scene = scenes.classified(scenes.CLASSIFIED[source]())
    assert encode(scene.findings, scene.origin) == []


def test_without_heat_there_is_no_map() -> None:
    """A route that asks for one gets nothing of the kind, and no error."""
    scene = scenes.scene(phantoms.ct())
    assert encode(scene.findings, scene.origin) == []


def test_the_report_refers_to_the_map_beside_the_picture() -> None:
    """Both are visual explanations of the class that is reported."""
    scene = scenes.classified(phantoms.mr())
    wanted = ("parametric_map", "secondary_capture", "structured_report")
    made = encode_job(scene.findings, scene.origin, {kind: ENCODERS[kind] for kind in wanted})
    by_kind = {kind: str(item.SOPInstanceUID) for kind, item in made}
    report = next(item for kind, item in made if kind == "structured_report")
    shown = [by_kind["secondary_capture"], by_kind["parametric_map"]]
    assert explanations(report) == [shown, [], []]


def test_a_map_of_some_slices_holds_these() -> None:
    """A task may explain the slice that decided and no other."""
    scene = scenes.classified(phantoms.mr())
    heat = _heat(scene)
    few = replace(heat, array=heat.array[2:4], sources=heat.sources[2:4])
    found = _map(replace(scene, findings=replace(scene.findings, heat_map=few)))
    assert found.NumberOfFrames == 2
    assert [
        group.FrameContentSequence[0].DimensionIndexValues
        for group in found.PerFrameFunctionalGroupsSequence
    ] == [1, 2]


def test_a_frame_that_is_none_of_the_sources_is_a_mistake_of_the_task() -> None:
    """A map never lies on an image that was not sent for it."""
    scene = scenes.classified(phantoms.mr(slices=1))
    other = replace(_heat(scene), sources=(SourceFrame(SOPInstanceUID("1.2.3")),))
    with pytest.raises(TaskFailed, match="none of the job's inputs"):
        encode(replace(scene.findings, heat_map=other), scene.origin)
