"""X-rays are shown to a model as they are shown to a radiologist."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels.processing import apply_voi_lut, apply_windowing
from pydicom.uid import DigitalXRayImageStorageForProcessing

from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from tests.infer.reading import frames_of, material, rejection_of
from tests.phantoms import cr, dx, rf, xa_run, xray_values


def test_a_window_over_all_bits_gives_0_to_255(tmp_path: Path) -> None:
    """The darkest pixel of the phantom is 0, the brightest 255."""
    frames = frames_of(dx(), tmp_path)
    assert frames.array.shape == (1, 96, 80)
    assert frames.array[0, 0, :2].tolist() == [255, 0]
    assert frames.array[0] == pytest.approx(xray_values(96, 80) * (255 / 4095), abs=0.04)
    assert (frames.unit, frames.region, frames.times_ms) == ("1", (0, 96, 0, 80), None)


@pytest.mark.parametrize("shape", ["INVERSE", None])
def test_monochrome1_is_inverted_once(shape: str | None, tmp_path: Path) -> None:
    """PresentationLUTShape INVERSE says the same again; twice would undo it."""
    ds = dx(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape=shape)
    assert frames_of(ds, tmp_path).array[0, 0, :2].tolist() == [0, 255]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_each_window_function_does_what_pydicom_says(function: str, tmp_path: Path) -> None:
    """An independent implementation of PS3.3 C.11.2.1 agrees."""
    ds = dx(WindowCenter=1500, WindowWidth=900, VOILUTFunction=function)
    shown = apply_windowing(xray_values(96, 80), ds) * (255 / 4095)
    assert frames_of(ds, tmp_path).array[0] == pytest.approx(shown, abs=0.01)


def test_a_voi_lut_comes_before_a_window(tmp_path: Path) -> None:
    """The vendor's curve is what the radiologist sees, PS3.3 C.11.2."""
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 10]
    curve = (np.sqrt(np.arange(4096) / 4095) * 1023).astype(np.uint16)
    table.add_new("LUTData", "OW", curve.tobytes())
    ds = dx(VOILUTSequence=[table])
    shown = apply_voi_lut(xray_values(96, 80), ds, prefer_lut=True) * (255 / 1023)
    assert frames_of(ds, tmp_path).array[0] == pytest.approx(shown, abs=1e-3)


def test_a_voi_lut_that_is_too_short_is_corrupt(tmp_path: Path) -> None:
    """4096 entries are promised, 100 are there."""
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 10]
    table.add_new("LUTData", "OW", bytes(200))
    code = rejection_of(dx(VOILUTSequence=[table]), Sees.FRAMES, tmp_path)
    assert code is RejectCode.PIX_CORRUPT


def test_the_first_window_counts_unless_the_route_names_another(tmp_path: Path) -> None:
    """Chest images often bring windows for lung and for bone."""
    ds = dx(WindowCenter=[2048, 400], WindowWidth=[4096, 800])
    first = frames_of(ds, tmp_path).array
    second = frames_of(ds, tmp_path, voi=2).array
    assert first[0, 0, 0] == second[0, 0, 0] == 255
    assert np.median(first) < np.median(second) == 255


@pytest.mark.parametrize("width", [None, 0, 1])
def test_without_a_usable_window_all_values_are_shown(width: int | None, tmp_path: Path) -> None:
    """From the smallest to the largest, as viewers do."""
    ds = cr(WindowCenter=None if width is None else 2048, WindowWidth=width)
    frames = frames_of(ds, tmp_path)
    assert (frames.array.min(), frames.array.max()) == (0, 255)


def test_the_collimator_shadow_is_padding(tmp_path: Path) -> None:
    """It is shown black and left out of statistics."""
    frames = frames_of(dx(PixelPaddingValue=800), tmp_path)
    assert frames.valid is not None
    assert np.array_equal(frames.valid[0], xray_values(96, 80) != 800)
    assert (frames.array[0][~frames.valid[0]] == 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"PresentationIntentType": "FOR PROCESSING"}, id="by its intent"),
        pytest.param(
            {
                "SOPClassUID": DigitalXRayImageStorageForProcessing,
                "PresentationIntentType": None,
            },
            id="by its SOP class",
        ),
    ],
)
def test_detector_values_for_processing_are_rejected(
    changes: dict[str, object], tmp_path: Path
) -> None:
    """They were never meant to be seen, and no model was trained on them."""
    code = rejection_of(dx(**changes), Sees.FRAMES, tmp_path)
    assert code is RejectCode.PIX_FOR_PROCESSING


@pytest.mark.parametrize(
    ("changes", "spacing_mm", "notes"),
    [
        pytest.param({"PixelSpacing": [0.15, 0.16]}, (0.15, 0.16), (), id="calibrated comes first"),
        pytest.param(
            {"EstimatedRadiographicMagnificationFactor": 1.25}, (0.16, 0.16), (), id="magnified"
        ),
        pytest.param(
            {"DistanceSourceToDetector": 1800, "DistanceSourceToPatient": 1500},
            (1 / 6, 1 / 6),
            (),
            id="magnified by the distances",
        ),
        pytest.param(
            {"PixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.16, 0.16),
            (),
            id="a copy of the detector's spacing is no calibration",
        ),
        pytest.param(
            {
                "PixelSpacing": [0.2, 0.2],
                "PixelSpacingCalibrationType": "FIDUCIAL",
                "EstimatedRadiographicMagnificationFactor": 1.25,
            },
            (0.2, 0.2),
            (),
            id="unless it says that it is one",
        ),
        pytest.param(
            {},
            (0.2, 0.2),
            ("millimetres at the detector, magnification unknown",),
            id="at the detector",
        ),
        pytest.param(
            {"ImagerPixelSpacing": None},
            None,
            ("MEAS_UNCALIBRATED: measured in pixels only",),
            id="not at all",
        ),
    ],
)
def test_millimetres_come_from_the_best_source_there_is(
    changes: dict[str, object],
    spacing_mm: tuple[float, float] | None,
    notes: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """What was calibrated, else the detector and the magnification, else no millimetres."""
    frames = frames_of(dx(**changes), tmp_path)
    assert frames.spacing_mm == (spacing_mm and pytest.approx(spacing_mm))
    assert frames.notes == notes


@pytest.mark.parametrize("run", [xa_run, rf])
def test_in_fluoroscopy_the_detector_tells_no_millimetres(
    run: Callable[..., FileDataset], tmp_path: Path
) -> None:
    """The patient lies anywhere between tube and detector; a calibration or distances tell where."""
    plain = frames_of(run(), tmp_path / "a")
    assert plain.spacing_mm is None
    assert "MEAS_UNCALIBRATED: calibrated at the detector only" in plain.notes
    assert plain.times_ms == tuple(125.0 * n for n in range(6))
    calibrated = run(PixelSpacing=[0.25, 0.25], PixelSpacingCalibrationType="FIDUCIAL")
    assert frames_of(calibrated, tmp_path / "b").spacing_mm == (0.25, 0.25)
    known = run(DistanceSourceToDetector=1200, DistanceSourceToPatient=800)
    assert frames_of(known, tmp_path / "c").spacing_mm == pytest.approx((0.2, 0.2))


def _lateral(**changes: object) -> FileDataset:
    return dx(
        SOPInstanceUID="2.25.77",
        SeriesInstanceUID=dx().SeriesInstanceUID,
        ViewPosition="LL",
        **changes,
    )


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="by ViewPosition"),
        pytest.param({"ViewPosition": None}, id="by ViewCodeSequence"),
        pytest.param({"ViewPosition": None, "ViewCodeSequence": None}, id="by PatientOrientation"),
    ],
)
def test_a_model_for_frontal_views_gets_the_frontal_view(
    changes: dict[str, object], tmp_path: Path
) -> None:
    """`views: frontal` leaves out the lateral one of the same series."""
    frontal = dx(**changes)
    frames = frames_of([_lateral(), frontal], tmp_path, views="frontal")
    assert [source.sop_instance_uid for source in frames.sources] == [frontal.SOPInstanceUID]


def test_without_a_frontal_view_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    """A lateral X-ray is not shown to such a model."""
    code = rejection_of(_lateral(), Sees.FRAMES, tmp_path, views="frontal")
    assert code is RejectCode.IN_COVERAGE


def test_a_real_dx_is_read(tmp_path: Path) -> None:
    """An 8-bit MONOCHROME1 hand: bright bone on dark air after one inversion."""
    ds = dcmread(material("highdicom/dx_image.dcm")[0])
    frames = frames_of(ds, tmp_path)
    assert frames.array.shape == (1, 169, 211)
    assert frames.spacing_mm == pytest.approx((1.2, 1.2012), abs=1e-3)
    stored = ds.pixel_array.astype(np.float64)
    assert np.corrcoef(frames.array[0].ravel(), stored.ravel())[0, 1] < -0.9
