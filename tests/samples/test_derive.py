"""The pixels of the samples are what was published, made smaller as the recipe says."""

import filecmp
from pathlib import Path

import numpy as np
import pytest

from dicom_ai_node.samples.derive import PADDING_HU, PIXELS, halved, main

DATA = Path(__file__).parents[2] / "../shared/material"


def test_a_pixel_that_touches_padding_is_padding() -> None:
    """Outside of the field of view there is nothing to average."""
    hu = np.array([[10, 20, 0, 0], [30, 40, 0, PADDING_HU]], np.int16)
    np.testing.assert_array_equal(halved(hu), [[25, PADDING_HU]])


@pytest.mark.skipif(
    not DATA.exists(), reason="the published data lie beside the repository or not at all"
)
def test_the_recipe_makes_the_very_files_that_are_shipped(tmp_path: Path) -> None:
    """Whoever has the sources can make them again, byte for byte."""
    pytest.importorskip("nibabel")
    main(DATA, tmp_path)
    names = sorted(path.name for path in PIXELS.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert filecmp.cmpfiles(PIXELS, tmp_path, names, shallow=False) == (names, [], [])
