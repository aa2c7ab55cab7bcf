"""What a person reads below a picture."""

from dataclasses import replace

from dicom_ai_node.encode.legend import MOST_ENTRIES, legend_of
from dicom_ai_node.encode.marks import colour_of
from tests import phantoms
from tests.encode import scenes


def _texts(scene: scenes.Scene, **changes: object) -> list[str]:
    findings = scene.findings
    assert findings.backdrop is not None
    model = replace(scene.origin.model, **changes)  # type: ignore[arg-type]
    frame = findings.backdrop.sources[0]
    return [entry.text for entry in legend_of(findings, model, frame, "Image 1")]


def test_the_reported_class_comes_first_then_the_likeliest() -> None:
    """With all probabilities, and why a class is present that is not the likeliest."""
    assert _texts(scenes.classified([phantoms.cr()])) == [
        "Pneumonia: present, probability 45.4 % (present from 41 %)",
        "Nodule: absent, probability 46.5 %",
        "Normal: absent, probability 8.0 %",
        "what speaks for Pneumonia (Grad-CAM), from least to most",
        "Findings in chest images (chest_findings 1.2.0) - Image 1",
    ]


def test_without_a_heat_map_there_is_no_scale() -> None:
    """Colours that are not in the picture are not explained."""
    scene = scenes.classified([phantoms.cr()])
    plain = replace(scene, findings=replace(scene.findings, heat_map=None))
    assert not any("speaks for" in text for text in _texts(plain))


def test_of_many_classes_the_likeliest_are_named() -> None:
    """A legend has no room for a hundred, and says how many there are."""
    scene = scenes.classified([phantoms.cr()])
    found = scene.findings.classification
    assert found is not None
    many = replace(
        found,
        classes=tuple(replace(scenes.NORMAL, label=f"class {n}") for n in range(20)),
        probabilities=tuple(n / 190 for n in range(20)),
        present=19,
    )
    texts = _texts(
        replace(scene, findings=replace(scene.findings, classification=many, heat_map=None))
    )
    assert [text.split(":")[0] for text in texts[:MOST_ENTRIES]] == [
        f"class {n}" for n in range(19, 19 - MOST_ENTRIES, -1)
    ]
    assert texts[MOST_ENTRIES] == f"and {20 - MOST_ENTRIES} more"


def test_segments_are_named_with_what_was_measured() -> None:
    """What was looked for in vain stands there, too."""
    texts = _texts(scenes.scene([phantoms.dx()]))
    assert texts[0].startswith("Liver: Volume")
    assert "Spleen: not found" in texts


def test_boxes_are_told_by_class_with_what_was_not_found() -> None:
    """On this frame, with their probabilities, and from which probability on there are boxes."""
    assert _texts(scenes.detected([phantoms.cr()])) == [
        "Right lung: 99 %",
        "Left lung: 61 %",
        "Nodule: not found here",
        "boxes are shown from 40 % on",
        "Boxes in chest images (chest_boxes 1.2.0) - Image 1",
    ]


def test_a_class_has_the_colour_of_its_boxes() -> None:
    """What was not found has none."""
    scene = scenes.detected([phantoms.cr()])
    found = legend_of(scene.findings, scene.origin.model, scene.findings.detection.sources[0], "")  # type: ignore[union-attr]
    assert [entry.colour_rgb for entry in found[:3]] == [colour_of(0), colour_of(1), None]


def test_of_two_pictures_each_scale_says_to_which_it_belongs() -> None:
    """With the values that its ends stand for, where there are any."""
    texts = _texts(scenes.fused(phantoms.ct(), phantoms.pet()))
    assert "left: PET 0 to 8 g/ml" in texts
    assert "right: what speaks for Pneumonia (Grad-CAM), from least to most" in texts
