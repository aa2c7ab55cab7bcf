"""A model gives an answer to anything; what it was not made for must not reach it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Frames, Geometry, Image, SourceFrame, Volume
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.coverage import check_coverage, check_modality
from tests.model_folders import threshold_model

VOLUME = Volume(
    array=np.zeros((10, 20, 30), np.float32),
    geometry=Geometry(np.diag([3.0, 1.0, 1.0, 1.0]), (10, 20, 30), "1.2"),
    unit="1",
    sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(10)),
)
SLICES = Frames(
    array=VOLUME.array,
    unit="1",
    sources=VOLUME.sources,
    spacing_mm=(1.0, 1.0),
    region=(0, 20, 0, 30),
    thickness_mm=(3.0,) * 10,
)
SCREEN = replace(SLICES, spacing_mm=None, thickness_mm=None)


@pytest.mark.parametrize(
    ("image", "changes", "why"),
    [
        pytest.param(VOLUME, {}, "", id="no condition"),
        pytest.param(VOLUME, {"max_extent_mm": [30, 20, 30]}, "", id="just fits"),
        pytest.param(
            VOLUME, {"max_extent_mm": [29, 20, 30]}, "the slices span 30 mm", id="too long"
        ),
        pytest.param(
            VOLUME, {"max_extent_mm": [30, 20, 20]}, "the columns span 30 mm", id="too wide"
        ),
        pytest.param(SLICES, {"max_extent_mm": [20, 99, 99]}, "slices span", id="slices too long"),
        pytest.param(SCREEN, {"max_extent_mm": [1, 1, 1]}, "", id="nothing is known of its size"),
        pytest.param(VOLUME, {"requires": {"slices": {"min": 10}}}, "", id="enough slices"),
        pytest.param(
            VOLUME,
            {"requires": {"slices": {"min": 11}}},
            "slices is 10, wanted at least 11",
            id="too few slices",
        ),
        pytest.param(
            SLICES, {"requires": {"slices": {"not": 10}}}, "wanted not 10", id="the wrong number"
        ),
        pytest.param(
            VOLUME, {"requires": {"slice_spacing_mm": {"max": 2}}}, "is 3", id="slices too thick"
        ),
        pytest.param(
            VOLUME, {"requires": {"Modality": "CT"}}, "", id="headers are the router's business"
        ),
        pytest.param(
            SCREEN, {"requires": {"frames": [10, 20]}}, "", id="one of some numbers of frames"
        ),
    ],
)
def test_an_image_outside_of_the_coverage_is_rejected(
    tmp_path: Path, image: Image, changes: dict[str, Any], why: str
) -> None:
    """With the condition that does not hold, so that the sender knows."""
    threshold_model(tmp_path, **changes)
    facts = Catalog([tmp_path]).facts("bright_ct")
    if not why:
        check_coverage(image, facts)
        return
    with pytest.raises(Rejected, match=why) as caught:
        check_coverage(image, facts)
    assert caught.value.code is RejectCode.IN_COVERAGE


def test_another_modality_is_rejected(tmp_path: Path) -> None:
    """An MR is no CT, whatever the route says."""
    threshold_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_ct")
    check_modality("CT", facts)
    with pytest.raises(Rejected, match="made for CT"):
        check_modality("MR", facts)
