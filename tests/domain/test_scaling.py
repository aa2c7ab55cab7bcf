"""Intensities come to a network as it was trained on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.model import Intensity, ModelFacts, Scaling
from dicom_ai_node.domain.scaling import padded, scaled
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.catalog import Catalog
from tests.model_folders import threshold_model


def _facts(tmp_path: Path, intensity: Intensity) -> ModelFacts:
    threshold_model(tmp_path, sees="frames", grid={"size_px": [4, 4]})
    return replace(Catalog([tmp_path]).facts("bright_ct"), intensity=intensity)


def _frames(values: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> Frames:
    return Frames(
        array=values,
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("2.25.1"), n + 1) for n in range(len(values))),
        spacing_mm=None,
        region=(0, values.shape[1], 0, values.shape[2]),
        valid=valid,
    )


def test_standard_scaling_has_the_numbers_of_the_training_data(tmp_path: Path) -> None:
    """Clipped first, as nnU-Net does with CT: nothing is measured in the image."""
    standard = Intensity(scaling=Scaling.STANDARD, low=-100, high=300, mean=50, deviation=20)
    values = np.array([[[-1000, -100, 50], [70, 300, 3000]]], np.float32)
    found = scaled(_frames(values), _facts(tmp_path, standard))
    assert found.tolist() == [[[-7.5, -7.5, 0], [1, 12.5, 12.5]]]


@pytest.mark.parametrize("valid", [None, np.array([[[1, 1, 1], [1, 0, 0]]], bool)])
def test_nothing_around_the_head_takes_part_in_its_statistics(
    tmp_path: Path, valid: NDArray[np.bool_] | None
) -> None:
    """Where a model was trained on skull-stripped images, zero is no intensity."""
    masked = Intensity(scaling=Scaling.ZSCORE, nonzero=True)
    values = np.array([[[0, 0, 1], [3, 0, 0]]], np.float32)
    found = scaled(_frames(values, valid), _facts(tmp_path, masked))
    assert found.tolist() == [[[0, 0, -1], [1, 0, 0]]]
    nothing = np.zeros((1, 2, 3), np.float32)
    assert not scaled(_frames(nothing, valid), _facts(tmp_path / "again", masked)).any()


@pytest.mark.parametrize(
    ("intensity", "pad"),
    [
        pytest.param(Intensity(scaling=Scaling.ZSCORE), -1, id="the lowest value"),
        pytest.param(Intensity(scaling=Scaling.ZSCORE, pad=0), 0, id="as the model says"),
        pytest.param(Intensity(scaling=Scaling.STANDARD), 0, id="the mean of the training data"),
    ],
)
def test_a_model_may_say_what_fills_up_a_small_image(
    tmp_path: Path, intensity: Intensity, pad: float
) -> None:
    """nnU-Net and MONAI fill up with zero, after scaling."""
    facts = _facts(tmp_path, intensity)
    found = padded(scaled(_frames(np.array([[[1, 3], [1, 3]]], np.float32)), facts), facts)
    assert found.shape == (1, 4, 4)
    assert found[0, 3, 3] == pad
