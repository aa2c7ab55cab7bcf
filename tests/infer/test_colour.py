"""Colours become the grey that a person would call equally bright."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels.processing import convert_color_space

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from tests.infer.reading import frames_of, rejection_of
from tests.phantoms import us

RGB = np.random.default_rng(7).integers(0, 256, (80, 96, 3), dtype=np.uint8)
RGB[:, 1::2] = RGB[:, ::2]  # pairs of equal colour, so that subsampling loses nothing
LUMA = RGB @ np.array([0.299, 0.587, 0.114])


def test_rgb_becomes_luma(tmp_path: Path) -> None:
    """With the weights of Rec. 601."""
    assert frames_of(us(PixelData=RGB.tobytes()), tmp_path).array[0] == pytest.approx(
        LUMA, abs=0.01
    )


def test_ybr_full_is_converted_once(tmp_path: Path) -> None:
    """Its luma is the first component; twice converted it would not be."""
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    ds = us(PhotometricInterpretation="YBR_FULL", PixelData=ybr.tobytes())
    assert frames_of(ds, tmp_path).array[0] == pytest.approx(ybr[..., 0].astype(float), abs=1.5)


def test_ybr_full_422_shares_its_colours(tmp_path: Path) -> None:
    """Two luma values, then one pair of colours, PS3.3 C.7.6.3.1.2."""
    ybr = convert_color_space(RGB, "RGB", "YBR_FULL")
    packed = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    ds = us(PhotometricInterpretation="YBR_FULL_422", PixelData=packed.tobytes())
    assert frames_of(ds, tmp_path).array[0] == pytest.approx(LUMA, abs=2)


def _palette(**changes: object) -> dict[str, object]:
    ramp = np.arange(256, dtype=np.uint16) * 257
    given: dict[str, object] = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "PALETTE COLOR",
        "PlanarConfiguration": None,
        "PixelData": (np.arange(80 * 96) % 256).astype(np.uint8).tobytes(),
    }
    for index, name in enumerate(("Red", "Green", "Blue")):
        given[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        given[f"{name}PaletteColorLookupTableData"] = np.roll(ramp, 10 * index).tobytes()
    return given | changes


def test_a_palette_is_applied(tmp_path: Path) -> None:
    """Indices mean nothing without it: the three ramps are rolled against each other."""
    frames = frames_of(us(**_palette()), tmp_path)
    ramp = np.arange(256.0)
    expected = 0.299 * ramp + 0.587 * np.roll(ramp, 10) + 0.114 * np.roll(ramp, 20)
    assert frames.array[0].ravel()[:256] == pytest.approx(expected, abs=0.02)


def test_an_incomplete_palette_is_corrupt(tmp_path: Path) -> None:
    """Two colours of three."""
    changes = _palette(BluePaletteColorLookupTableData=None)
    assert rejection_of(us(**changes), Sees.FRAMES, tmp_path) is RejectCode.PIX_CORRUPT
