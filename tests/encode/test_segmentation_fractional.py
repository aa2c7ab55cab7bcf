"""Fractional segmentations."""

from dataclasses import replace

import numpy as np
import pytest

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.encode.segmentation_fractional import encode
from tests import phantoms
from tests.encode import scenes
from tests.encode.test_segmentation import pixels_by_source, read_back


@pytest.mark.parametrize("source", scenes.SOURCES)
def test_every_probability_is_found_again_within_half_a_step(source: str) -> None:
    """255 steps from 0 to 1, on every kind of source."""
    scene = scenes.scene(scenes.SOURCES[source]())
    found = scene.findings.segmentation
    assert found is not None
    assert found.probabilities is not None
    seg = read_back(encode(scene.findings, scene.origin)[0])
    pixels = pixels_by_source(seg, scene)
    for index in range(2):
        difference = np.abs(pixels[..., index] - found.probabilities[index].astype(np.float32))
        assert difference.max() <= 0.5 / 255 + 1e-3


def test_probabilities_are_shown_even_where_nothing_is_labelled() -> None:
    """Doubt is what this object is for: a frame below the threshold is in it."""
    scene = scenes.scene(phantoms.ct())
    seg = encode(scene.findings, scene.origin)[0]
    assert seg.NumberOfFrames == 2 * 12
    assert seg.SegmentationFractionalType == "PROBABILITY"


def test_nothing_found_is_no_segmentation() -> None:
    """As with the binary form."""
    scene = scenes.nothing(phantoms.ct())
    assert encode(scene.findings, scene.origin) == []


def test_labels_alone_are_not_enough() -> None:
    """A route that asks for probabilities of a task that has none is told so."""
    scene = scenes.scene(phantoms.ct())
    found = scene.findings.segmentation
    assert found is not None
    findings = replace(scene.findings, segmentation=replace(found, probabilities=None))
    with pytest.raises(TaskFailed, match="probabilities"):
        encode(findings, scene.origin)


def test_what_is_no_number_is_no_probability() -> None:
    """And what is above one is certain."""
    scene = scenes.scene([phantoms.dx()])
    found = scene.findings.segmentation
    assert found is not None
    assert found.probabilities is not None
    odd = found.probabilities.copy()
    odd[0, 0, 0, :3] = np.nan, 1.5, -1
    findings = replace(scene.findings, segmentation=replace(found, probabilities=odd))
    pixels = pixels_by_source(read_back(encode(findings, scene.origin)[0]), scene)
    assert pixels[0, 0, :3, 0].tolist() == [0.0, 1.0, 0.0]
