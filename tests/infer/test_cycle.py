"""A structure that is outlined on every frame of a cine, measured over the cycle."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Measurement, Segment, Segmentation
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.measure import measurements

COUNT = 40
RADII = 12 + 3 * np.cos(2 * np.pi * np.arange(COUNT) / 10)
SOURCES = tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(COUNT))
LEFT_VENTRICLE = Code("87878005", "SCT", "Left ventricle")


def _beating(kind: Code) -> Segmentation:
    y, x = np.mgrid[:48, :48]
    discs = np.stack([np.hypot(y - 24, x - 24) < radius for radius in RADII])
    segment = Segment(
        number=1, label="Thing", category=Code("91723000", "SCT", "Anatomical Structure"), type=kind
    )
    return Segmentation(labels=discs.astype(np.uint8), sources=SOURCES, segments=(segment,))


CINE = Frames(
    array=np.zeros((COUNT, 48, 48), np.float32),
    unit="1",
    sources=SOURCES,
    spacing_mm=(0.5, 0.5),
    region=(0, 48, 0, 48),
    times_ms=tuple(30.0 * n for n in range(COUNT)),
)


def _over_all(found: tuple[Measurement, ...]) -> dict[str, float]:
    return {
        " ".join(
            [*([item.derivation.meaning] if item.derivation else []), item.concept.meaning]
        ): item.value
        for item in found
        if item.frame is None
    }


def _measured(kind: Code, image: Frames = CINE) -> tuple[tuple[Measurement, ...], tuple[str, ...]]:
    return measurements(_beating(kind), image, ["area_over_cycle"])


def test_a_ventricle_has_extremes_a_fractional_area_change_and_a_period() -> None:
    """From 15 to 9 pixels of half a millimetre, every 10 frames of 30 ms."""
    found, notes = _measured(LEFT_VENTRICLE)
    values = _over_all(found)
    large, small = np.pi * 7.5**2, np.pi * 4.5**2
    assert values["Maximum Area"] == pytest.approx(large, rel=0.03)
    assert values["Minimum Area"] == pytest.approx(small, rel=0.03)
    assert values["Maximum Long axis"] == pytest.approx(15, rel=0.03)
    assert values["Minimum Short axis"] == pytest.approx(9, rel=0.05)
    change = values["Left Ventricular Fractional Area Change"]
    assert change == pytest.approx(100 * (large - small) / large, abs=2)
    assert values["Period of motion"] == pytest.approx(0.3, rel=0.02)
    assert sum(item.frame is not None for item in found) == 3 * COUNT
    assert notes == ()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(
            Code("53085002", "SCT", "Right ventricle"),
            "Right ventricular fractional area change",
            id="the right ventricle has a code of its own",
        ),
        pytest.param(
            Code("82471001", "SCT", "Left atrium"), "Fractional Change", id="an atrium has none"
        ),
    ],
)
def test_other_chambers_are_named_as_the_standards_name_them(kind: Code, name: str) -> None:
    """No code is bent to mean what it does not."""
    assert name in _over_all(_measured(kind)[0])


def test_of_what_does_not_pump_no_ejection_is_told() -> None:
    """A head has an area, and no function of the heart."""
    values = _over_all(_measured(Code("69536005", "SCT", "Head"))[0])
    assert not any("ractional" in name for name in values)
    assert "Maximum Area" in values


def test_without_times_and_calibration_there_are_pixels_and_no_period() -> None:
    """The fractional change needs neither."""
    found, notes = _measured(LEFT_VENTRICLE, replace(CINE, spacing_mm=None, times_ms=None))
    assert {item.unit.value for item in found} == {"{pixels}", "%"}
    assert "Period of motion" not in _over_all(found)
    assert len(notes) == 1


def test_several_stills_are_no_cycle() -> None:
    """Images of different moments and places have no extremes in common."""
    sources = tuple(SourceFrame(SOPInstanceUID(f"1.2.{n}")) for n in range(COUNT))
    found, notes = _measured(LEFT_VENTRICLE, replace(CINE, sources=sources))
    assert found == ()
    assert notes == ("Thing: nothing over a cycle, the image is no cine",)
