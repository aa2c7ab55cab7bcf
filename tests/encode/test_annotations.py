"""Objects on a slide as annotations that another library reads back."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from highdicom.ann import annread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom_ai_node.domain.slide import slide_of
from dicom_ai_node.encode.annotations import encode
from dicom_ai_node.encode.headers import unvalidated
from tests import phantoms
from tests.encode import scenes


def written(scene: scenes.Scene) -> BytesIO:
    """Return the one object of a scene as a file."""
    (ann,) = encode(scene.findings, scene.origin)
    file = BytesIO()
    with unvalidated():
        dcmwrite(file, ann, enforce_file_format=True)
    file.seek(0)
    return file


@pytest.mark.parametrize("source", ["whole slide", "sparse slide"])
def test_outlines_and_areas_come_back_as_they_were(source: str) -> None:
    """highdicom reads every polygon in millimetres on the glass, and every area."""
    scene = scenes.counted(scenes.COUNTED[source]())
    found = scene.findings.instances
    assert found is not None
    (group,) = annread(written(scene)).get_annotation_groups()
    polygons = group.get_graphic_data(coordinate_type="3D")
    slide = slide_of(scene.origin.sources[0])
    assert len(polygons) == len(found)
    for polygon, outline in zip(polygons, found.outlines(), strict=True):
        assert np.allclose(polygon, slide.to_mm(outline), atol=1e-5)
    names, values, units = group.get_measurements()
    assert [(name.value, unit.value) for name, unit in zip(names, units, strict=True)] == [
        ("42798000", "um2")
    ]
    assert np.allclose(values[:, 0], found.areas_px * 0.25)


def test_what_they_are_and_who_found_them_is_coded() -> None:
    """Nuclei, automatically, by this model with these weights, on this slide."""
    scene = scenes.counted(scenes.COUNTED["whole slide"]())
    (ann,) = encode(scene.findings, scene.origin)
    (group,) = ann.AnnotationGroupSequence
    assert group.AnnotationPropertyTypeCodeSequence[0].CodeValue == "84640000"
    assert group.AnnotationGroupGenerationType == "AUTOMATIC"
    (algorithm,) = group.AnnotationGroupAlgorithmIdentificationSequence
    assert algorithm.AlgorithmName == "counted_nuclei"
    assert scene.origin.model.digest in algorithm.AlgorithmParameters
    source = scene.origin.sources[0]
    assert ann.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert ann.ReferencedImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert ann.Modality == "ANN"
    assert ann.ContainerIdentifier == source.ContainerIdentifier


def _unplaced() -> Dataset:
    return phantoms.sm(FrameOfReferenceUID=None)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(phantoms.vl_microscopic, id="no whole slide"),
        pytest.param(_unplaced, id="no frame of reference"),
    ],
)
def test_an_image_without_a_place_on_the_glass_gets_none(make: object) -> None:
    """There is no millimetre to write; the segmentation shows the pixels."""
    scene = scenes.counted([make()])  # type: ignore[operator]
    assert encode(scene.findings, scene.origin) == []


def test_nothing_found_writes_nothing() -> None:
    """An object without annotations is not allowed."""
    scene = scenes.counted(scenes.COUNTED["whole slide"]())
    found = scene.findings.instances
    assert found is not None
    empty = replace(
        found, points=found.points[:0], starts=found.starts[:1], numbers=found.numbers[:0]
    )
    assert encode(replace(scene.findings, instances=empty), scene.origin) == []
    assert encode(replace(scene.findings, instances=None), scene.origin) == []
