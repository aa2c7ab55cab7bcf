"""Boxes as graphics over the original, which a viewer can switch off."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL.ImageCms import ImageCmsProfile, getProfileDescription
from pydicom.dataset import Dataset

from dicom_ai_node.domain.findings import Detection
from dicom_ai_node.encode.presentation_state import encode
from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from tests import phantoms
from tests.encode import scenes
from tests.peers import iod

GREY, COLOUR = "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.11.2"


def _states(scene: scenes.Scene) -> list[Dataset]:
    wanted = {"presentation_state": ENCODERS["presentation_state"]}
    return [item for _, item in encode_job(scene.findings, scene.origin, wanted)]


def _state(source: str) -> Dataset:
    (state,) = _states(scenes.detected(scenes.DETECTED[source]()))
    return state


def _detection(scene: scenes.Scene) -> Detection:
    assert scene.findings.detection is not None
    return scene.findings.detection


@pytest.mark.parametrize("source", scenes.DETECTED)
def test_every_source_gets_what_the_tables_of_the_standard_want(source: str) -> None:
    """In colour where the source is in colour, gray where it is gray, of the modality PR."""
    scene = scenes.detected(scenes.DETECTED[source]())
    for state in _states(scene):
        assert iod.objections(state) == []
        assert state.Modality == "PR"
        is_colour = source in {"US", "US cine"}
        assert state.SOPClassUID == (COLOUR if is_colour else GREY)
        assert ("ICCProfile" in state) == is_colour
        assert ("PresentationLUTShape" in state) != is_colour


def test_each_class_has_a_layer_of_its_own() -> None:
    """So that a reader can hide one; a class without boxes has none."""
    state = _state("CR")
    layers = state.GraphicLayerSequence
    assert [layer.GraphicLayer for layer in layers] == ["RIGHT_LUNG", "LEFT_LUNG"]
    assert [layer.GraphicLayerDescription for layer in layers] == ["Right lung", "Left lung"]
    colours = {tuple(layer.GraphicLayerRecommendedDisplayCIELabValue) for layer in layers}
    assert len(colours) == 2
    used = [item.GraphicLayer for item in state.GraphicAnnotationSequence]
    assert used == ["RIGHT_LUNG", "LEFT_LUNG"]


def test_a_box_is_a_closed_line_with_a_word_at_its_corner() -> None:
    """In pixels of the image, where 0 is the corner of the first one: columns before rows."""
    scene = scenes.detected([phantoms.cr()])
    at = _detection(scene).boxes[1].corners
    annotation = _states(scene)[0].GraphicAnnotationSequence[1]
    (line,), (text,) = annotation.GraphicObjectSequence, annotation.TextObjectSequence
    assert (line.GraphicType, line.GraphicAnnotationUnits, line.GraphicFilled) == (
        "POLYLINE",
        "PIXEL",
        "N",
    )
    assert line.NumberOfGraphicPoints == 5
    assert line.GraphicData[:2] == line.GraphicData[-2:]
    assert line.GraphicData[:6] == pytest.approx(
        [at.left, at.top, at.right, at.top, at.right, at.bottom], abs=0.005
    )
    assert text.UnformattedTextValue == "Left lung 61 %"
    assert text.AnchorPoint == pytest.approx([at.left, at.top], abs=0.005)


def test_graphics_of_a_cine_lie_on_their_frames() -> None:
    """Each names its frame; of a single image none needs to."""
    state = _state("US cine")
    frames = [
        item.ReferencedImageSequence[0].ReferencedFrameNumber
        for item in state.GraphicAnnotationSequence
    ]
    assert sorted(frames) == sorted([*range(1, 9)] * 2)
    assert "ReferencedImageSequence" not in _state("CR").GraphicAnnotationSequence[0]


def test_every_image_has_a_state_of_its_own() -> None:
    """In one series, and each refers to its image alone."""
    scene = scenes.detected(scenes.DETECTED["two CR"]())
    states = _states(scene)
    named = [
        image.ReferencedSOPInstanceUID
        for state in states
        for series in state.ReferencedSeriesSequence
        for image in series.ReferencedImageSequence
    ]
    assert named == [source.SOPInstanceUID for source in scene.origin.sources]
    assert len({state.SeriesInstanceUID for state in states}) == 1
    assert len({state.SOPInstanceUID for state in states}) == 2


def test_the_image_looks_as_it_does_without_us() -> None:
    """A viewer forgets the window of the image when it applies a state, so the state has it."""
    state = _state("DX")
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (2048, 4096)
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, 0, "US")
    assert state.PresentationLUTShape == "IDENTITY"
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaTopLeftHandCorner) == [1, 1]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [80, 96]
    assert list(area.PresentationPixelAspectRatio) == [1, 1]


def test_an_inverted_image_stays_as_it_is_meant() -> None:
    """MONOCHROME1 of the image is ignored under a state, which therefore inverts by itself."""
    assert _state("inverted DX").PresentationLUTShape == "INVERSE"


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        pytest.param({"WindowCenter": [40, 300], "WindowWidth": [80, 1500]}, (40, 80), id="two"),
        pytest.param({"WindowCenter": None, "WindowWidth": None}, None, id="none"),
        pytest.param({"WindowWidth": None}, None, id="half a window"),
    ],
)
def test_the_first_window_of_the_source_is_kept(
    changes: dict[str, object], window: tuple[int, int] | None
) -> None:
    """None is invented."""
    (state,) = _states(scenes.detected([phantoms.cr(**changes)]))
    found = [(w.WindowCenter, w.WindowWidth) for w in state.get("SoftcopyVOILUTSequence", [])]
    assert found == ([] if window is None else [window])


def test_pixels_that_are_not_square_stay_so() -> None:
    """Height before width."""
    (state,) = _states(scenes.detected([phantoms.cr(ImagerPixelSpacing=[0.4, 0.2])]))
    (area,) = state.DisplayedAreaSelectionSequence
    assert list(area.PresentationPixelAspectRatio) == [2000, 1000]


def test_labels_that_look_alike_in_capitals_keep_their_own_layers() -> None:
    """Names of layers are short and plain; what people read is not."""
    scene = scenes.detected([phantoms.cr()])
    found = _detection(scene)
    long = [
        scenes.replace(found.classes[0], label="Left upper lobe, seen"),
        scenes.replace(found.classes[1], label="Left upper lobe? unseen"),
        found.classes[2],
    ]
    findings = scenes.replace(scene.findings, detection=scenes.replace(found, classes=tuple(long)))
    (state,) = encode(findings, scene.origin)
    assert [layer.GraphicLayer for layer in state.GraphicLayerSequence] == [
        "LEFT_UPPER_LOBE_",
        "LEFT_UPPER_LOB_2",
    ]
    assert state.GraphicLayerSequence[1].GraphicLayerDescription == "Left upper lobe? unseen"


def test_the_side_is_told_only_of_what_there_are_two_of() -> None:
    """As of every other result."""
    assert "Laterality" not in _state("CR")
    assert _state("a pair of hands")["Laterality"].is_empty


def test_where_nothing_was_found_nothing_is_drawn() -> None:
    """The report says it."""
    assert _states(scenes.undetected([phantoms.cr()])) == []
    assert _states(scenes.scene(phantoms.ct())) == []


@pytest.mark.parametrize("source", ["US", "CR"])
def test_the_same_again_is_the_same_file(source: str, tmp_path: Path) -> None:
    """Also the colour profile, in which there would be a time."""
    files = []
    for name in ("a", "b"):
        scene = scenes.detected(scenes.DETECTED[source]())
        objects = [("presentation_state", item) for item in _states(scene)]
        files.append(write_objects(tmp_path / name, objects)[0].read_bytes())
    assert files[0] == files[1]


def test_colours_are_those_of_srgb() -> None:
    """The profile can be read by another library."""
    profile = ImageCmsProfile(BytesIO(_state("US").ICCProfile))
    assert "sRGB" in getProfileDescription(profile)
