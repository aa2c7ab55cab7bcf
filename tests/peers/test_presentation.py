"""DCMTK applies our presentation states to the images, as a viewer does."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from tests import phantoms
from tests.encode import scenes
from tests.peers.tools import find

STATE = {"presentation_state": ENCODERS["presentation_state"]}


def _shown(tmp_path: Path, **changes: object) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return the grey values that DCMTK shows, and those that are stored."""
    image = phantoms.dx(**changes)
    (path,) = phantoms.write(image, tmp_path)
    scene = scenes.detected([image])
    (state,) = write_objects(tmp_path / "state", encode_job(scene.findings, scene.origin, STATE))
    shown = tmp_path / "shown.pgm"
    done = subprocess.run(
        [find("dcmp2pgm"), "-p", str(state), str(path), str(shown)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(shown)), image.pixel_array


@pytest.mark.peer
def test_a_viewer_shows_the_image_at_its_own_window(tmp_path: Path) -> None:
    """Twelve bits become eight as the window of the image says."""
    shown, stored = _shown(tmp_path, WindowCenter=1000, WindowWidth=1600)
    wanted = np.clip((stored - 999.5) / 1599 + 0.5, 0, 1) * 255
    assert shown.shape == stored.shape
    assert np.abs(shown - wanted).max() <= 1


@pytest.mark.peer
def test_an_inverted_image_is_shown_inverted_once(tmp_path: Path) -> None:
    """Where more is darker in the file, more is darker on the screen."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain, _ = _shown(tmp_path / "a")
    inverted, _ = _shown(tmp_path / "b", PhotometricInterpretation="MONOCHROME1")
    assert np.abs(255 - plain.astype(int) - inverted).max() <= 1
