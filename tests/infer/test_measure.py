"""Numbers in a report have a meaning, a unit and a truth that can be computed otherwise."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Measurement, Segment, Segmentation
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer import measure
from dicom_ai_node.infer.ellipse import ellipse_around
from dicom_ai_node.infer.measure import MEASURES, measurements

HEAD = Segment(number=1, label="Head", category=codes.SCT.AnatomicalStructure, type=codes.SCT.Head)


def _sources(count: int) -> tuple[SourceFrame, ...]:
    return tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(count))


def _frames(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float] | None,
    thickness_mm: tuple[float, ...] | None = None,
) -> Frames:
    return Frames(
        array=np.zeros(shape, np.float32),
        unit="1",
        sources=_sources(shape[0]),
        spacing_mm=spacing_mm,
        region=(0, shape[1], 0, shape[2]),
        thickness_mm=thickness_mm,
    )


def _volume(
    array: NDArray[np.float32], spacing_mm: tuple[float, float, float], unit: str = "1"
) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing_mm)[:, ::-1]
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * spacing_mm
    slices, rows, columns = array.shape
    geometry = Geometry(affine, (slices, rows, columns), "1.2")
    return Volume(array=array, geometry=geometry, unit=unit, sources=_sources(slices))


def _labels(masks: NDArray[np.bool_]) -> Segmentation:
    return Segmentation(
        labels=masks.astype(np.uint8), sources=_sources(len(masks)), segments=(HEAD,)
    )


def _ellipse(
    shape: tuple[int, int],
    axes: tuple[float, float],
    degrees: float = 0.0,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> NDArray[np.bool_]:
    """Return pixels whose centre lies in an ellipse with these full axes."""
    rows, columns = np.indices(shape)
    y = (rows - shape[0] / 2 + 0.3) * spacing[0]
    x = (columns - shape[1] / 2 - 0.2) * spacing[1]
    angle = math.radians(degrees)
    along, across = (
        x * math.cos(angle) + y * math.sin(angle),
        y * math.cos(angle) - x * math.sin(angle),
    )
    inside: NDArray[np.bool_] = (2 * along / axes[0]) ** 2 + (2 * across / axes[1]) ** 2 <= 1
    return inside


def _measured(image: Image, masks: NDArray[np.bool_], *names: str) -> dict[str, Measurement]:
    found, _ = measurements(_labels(masks), image, names)
    return {m.concept.meaning: m for m in found}


def _perimeter(long_axis: float, short_axis: float) -> float:
    """Integrate the arc length of an ellipse, slowly and without any formula."""
    t = np.linspace(0, 2 * np.pi, 200_001)
    return float(
        np.hypot(np.diff(np.cos(t)) * long_axis / 2, np.diff(np.sin(t)) * short_axis / 2).sum()
    )


@pytest.mark.parametrize("degrees", [0, 30, 45, 77, 90])
@pytest.mark.parametrize(
    "spacing_mm", [pytest.param((0.4, 0.4), id="square"), pytest.param((0.6, 0.3), id="oblong")]
)
def test_head_circumference_is_the_perimeter_of_the_ellipse(
    degrees: float, spacing_mm: tuple[float, float]
) -> None:
    """Within a part in a thousand, however the head lies and whatever shape the pixels have."""
    mask = _ellipse((400, 600), (110.0, 85.0), degrees, spacing_mm)
    found = _measured(_frames((1, 400, 600), spacing_mm), mask[None], "head_circumference")
    assert found["Head Circumference"].value == pytest.approx(_perimeter(110, 85), rel=1e-3)
    assert found["Biparietal Diameter"].value == pytest.approx(85, rel=2e-3)
    assert found["Occipital-Frontal Diameter"].value == pytest.approx(110, rel=2e-3)
    assert found["Cephalic Index"].value == pytest.approx(100 * 85 / 110, rel=2e-3)
    assert found["Head Circumference"].concept == Code("11984-2", "LN", "Head Circumference")
    assert found["Head Circumference"].unit == codes.UCUM.Millimeter
    assert found["Head Circumference"].frame == _sources(1)[0]


def test_holes_and_islands_do_not_bend_the_ellipse() -> None:
    """Only the outline of the largest part counts."""
    mask = _ellipse((200, 260), (180.0, 140.0))
    clean = ellipse_around(mask, (1.0, 1.0))
    mask[90:110, 120:140] = False
    mask[2:6, 2:6] = True
    assert ellipse_around(mask, (1.0, 1.0)) == clean


@pytest.mark.parametrize("cut", [pytest.param(150, id="a third"), pytest.param(120, id="half")])
def test_a_head_that_the_image_cuts_off_is_completed(cut: int) -> None:
    """The edge of the image is no outline; the ellipse goes on behind it."""
    mask = _ellipse((200, 260), (180.0, 140.0))[:, :cut]
    fitted = ellipse_around(mask, (1.0, 1.0))
    assert fitted is not None
    assert fitted.perimeter == pytest.approx(_perimeter(180, 140), rel=0.01)


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.zeros((8, 8), bool), id="nothing"),
        pytest.param(np.eye(8, dtype=bool)[:1].repeat(8, 0), id="a line along the border"),
        pytest.param(np.ones((8, 8), bool), id="everything"),
        pytest.param(np.arange(64).reshape(8, 8) == 27, id="a pixel"),
    ],
)
def test_what_is_no_ellipse_is_not_measured_as_one(mask: NDArray[np.bool_]) -> None:
    """Rather nothing than a number without meaning."""
    assert ellipse_around(mask, (1.0, 1.0)) is None


def test_too_small_for_an_ellipse_is_said() -> None:
    """The report tells why there is no number."""
    mask = np.zeros((1, 8, 8), bool)
    mask[0, 3, 3] = True
    found, notes = measurements(_labels(mask), _frames(mask.shape, (1, 1)), ["ellipse"])
    assert found == ()
    assert notes == ("Head: too small for an ellipse",)


def test_without_calibration_there_are_no_millimetres() -> None:
    """Pixels and ratios only, and a note; never a head circumference."""
    mask = _ellipse((200, 260), (180.0, 140.0))[None]
    found, notes = measurements(
        _labels(mask), _frames(mask.shape, None), ["area", "ellipse", "head_circumference"]
    )
    assert {m.concept.meaning: m.unit.value for m in found} == {
        "Area": "{pixels}",
        "Long axis": "{pixels}",
        "Short axis": "{pixels}",
        "Cephalic Index": "%",
    }
    assert notes == (measure.NO_CALIBRATION,)


def test_area_is_measured_on_every_frame_of_a_cine() -> None:
    """One number per frame that shows the segment, each naming its frame."""
    masks = np.zeros((4, 8, 8), bool)
    masks[1, :2, :3] = True
    masks[3, :4, :5] = True
    found, _ = measurements(_labels(masks), _frames(masks.shape, (0.5, 2.0)), ["area"])
    assert [(m.value, m.frame and m.frame.number) for m in found] == [(6.0, 2), (20.0, 4)]
    assert {m.unit for m in found} == {codes.UCUM.SquareMillimeter}
    assert found[0].concept == codes.SCT.Area


def test_area_of_a_stack_is_that_of_its_largest_section() -> None:
    """A hundred slices do not make a hundred rows in a report."""
    masks = np.zeros((3, 8, 8), bool)
    masks[0, :2, :2] = masks[1, :4, :4] = True
    volume = _volume(np.zeros((3, 8, 8), np.float32), (5.0, 0.5, 0.5))
    (found,), _ = measurements(_labels(masks), volume, ["area"])
    assert found.value == 16 * 0.25
    assert found.frame == _sources(3)[1]
    assert found.derivation == codes.SCT.Maximum


def test_volume_of_a_volume_is_voxels_in_cm3() -> None:
    """Ten by ten by ten millimetres are one cubic centimetre."""
    masks = np.zeros((4, 30, 30), bool)
    masks[:2, :20, :10] = True
    volume = _volume(np.zeros(masks.shape, np.float32), (5.0, 0.5, 1.0))
    found = _measured(volume, masks, "volume")["Volume"]
    assert found.value == pytest.approx(1.0)
    assert found.unit == codes.UCUM.CubicCentimeter
    assert found.concept == codes.SCT.Volume
    assert found.of == 1


def test_volume_of_slices_follows_their_thickness() -> None:
    """Uneven gaps and tilt are no obstacle: every slice stands for its own part of the patient."""
    masks = np.zeros((3, 20, 20), bool)
    masks[:, :10, :10] = True
    slices = _frames(masks.shape, (1.0, 1.0), (2.0, 5.0, 3.0))
    assert _measured(slices, masks, "volume")["Volume"].value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("spacing_mm", "thickness_mm"),
    [
        pytest.param((1.0, 1.0), None, id="a projection"),
        pytest.param(None, (1.0,), id="no calibration"),
    ],
)
def test_there_is_no_volume_without_depth(
    spacing_mm: tuple[float, float] | None, thickness_mm: tuple[float, ...] | None
) -> None:
    """And a note says so."""
    masks = np.ones((1, 4, 4), bool)
    image = _frames(masks.shape, spacing_mm, thickness_mm)
    found, notes = measurements(_labels(masks), image, ["volume"])
    assert found == ()
    assert "no volume" in notes[0]


@pytest.mark.parametrize(
    ("unit", "concept"),
    [
        pytest.param("[hnsf'U]", Code("112031", "DCM", "Attenuation Coefficient"), id="HU"),
        pytest.param("g/ml{SUVbw}", Code("126401", "DCM", "SUVbw"), id="SUV"),
    ],
)
def test_intensity_leaves_padding_out(unit: str, concept: Code) -> None:
    """Mean, standard deviation, minimum and maximum of what was really scanned."""
    array = np.array([[[10, 20, 30, -2000]]], np.float32)
    volume = _volume(array, (1.0, 1.0, 1.0), unit)
    valid = array > -2000
    volume = Volume(
        array=array, geometry=volume.geometry, unit=unit, sources=volume.sources, valid=valid
    )
    found, _ = measurements(_labels(np.ones(array.shape, bool)), volume, ["intensity"])
    assert {(m.derivation and m.derivation.meaning): m.value for m in found} == {
        "Mean": 20.0,
        "Standard Deviation": pytest.approx(math.sqrt(200 / 3)),
        "Minimum": 10.0,
        "Maximum": 30.0,
    }
    assert {m.concept for m in found} == {concept}
    assert {m.unit.value for m in found} == {unit}


@pytest.mark.parametrize(
    ("unit", "valid", "message"),
    [
        pytest.param("1", True, "no unit", id="values of MR and ultrasound"),
        pytest.param("[hnsf'U]", False, "padding", id="padding only"),
    ],
)
def test_values_without_meaning_are_not_measured(unit: str, valid: bool, message: str) -> None:
    """A grey level of an MR is no measurement."""
    array = np.ones((1, 2, 2), np.float32)
    geometry = _volume(array, (1, 1, 1)).geometry
    volume = Volume(
        array=array,
        geometry=geometry,
        unit=unit,
        sources=_sources(1),
        valid=np.full(array.shape, valid),
    )
    found, notes = measurements(_labels(np.ones(array.shape, bool)), volume, ["intensity"])
    assert found == ()
    assert message in notes[0]


def test_what_was_not_found_is_said_and_not_measured() -> None:
    """An absent structure has no volume of 0 cm3 in the report; it was not found."""
    masks = np.zeros((1, 4, 4), bool)
    found, notes = measurements(_labels(masks), _frames(masks.shape, (1, 1)), list(MEASURES))
    assert found == ()
    assert notes == ("Head: not found",)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (measure.AREA, codes.SCT.Area),
        (measure.VOLUME, codes.SCT.Volume),
        (measure.LONG_AXIS, codes.SCT.LongAxis),
        (measure.SHORT_AXIS, codes.SCT.ShortAxis),
        (measure.HEAD_CIRCUMFERENCE, codes.LN.HeadCircumference),
        (measure.BIPARIETAL_DIAMETER, codes.LN.BiparietalDiameter),
        (measure.OCCIPITAL_FRONTAL_DIAMETER, codes.LN.OccipitalFrontalDiameter),
        (measure.CEPHALIC_INDEX, codes.LN.CephalicIndex),
        (measure.ATTENUATION, codes.DCM.AttenuationCoefficient),
        (measure.SUV_BODY_WEIGHT, codes.DCM.Suvbw),
        (measure.MEAN, codes.SCT.Mean),
        (measure.STANDARD_DEVIATION, codes.SCT.StandardDeviation),
        (measure.MINIMUM, codes.SCT.Minimum),
        (measure.MAXIMUM, codes.SCT.Maximum),
        (measure.MILLIMETRE, codes.UCUM.Millimeter),
        (measure.SQUARE_MILLIMETRE, codes.UCUM.SquareMillimeter),
        (measure.CUBIC_CENTIMETRE, codes.UCUM.CubicCentimeter),
        (measure.PERCENT, codes.UCUM.Percent),
    ],
    ids=lambda code: str(code.meaning),
)
def test_codes_are_those_of_the_standard(ours: Code, theirs: Code) -> None:
    """Value, scheme and meaning as in PS3.16, by way of pydicom's dictionary."""
    assert ours == theirs
    assert ours.meaning.lower() == theirs.meaning.lower()
