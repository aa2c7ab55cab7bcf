"""JPEG, JPEG-LS and RLE decode to the same values as in DCMTK, written by us or by DCMTK."""

import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_ai_node.domain.image import Volume
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.infer.pixels import decoded_frames
from dicom_ai_node.infer.planes import read_headers
from dicom_ai_node.infer.read import read_series
from tests.infer.reading import material
from tests.peers.tools import find
from tests.phantoms import ct, ct_values, dx, us_cine, write


@pytest.mark.peer
@pytest.mark.parametrize(
    ("program", "options"),
    [
        pytest.param("dcmcjpeg", ["+e1"], id="JPEG lossless, first-order prediction"),
        *(
            pytest.param("dcmcjpeg", ["+el", "+sv", str(n)], id=f"JPEG lossless, predictor {n}")
            for n in range(1, 8)
        ),
        pytest.param("dcmcjpls", ["+el"], id="JPEG-LS"),
        pytest.param("dcmcrle", [], id="RLE"),
    ],
)
def test_a_ct_compressed_by_dcmtk_keeps_its_hounsfield_units(
    program: str, options: list[str], tmp_path: Path
) -> None:
    """Losslessly, with every predictor that there is."""
    paths = write(ct(slices=2), tmp_path)
    for path in paths:
        _run(program, *options, path, path)
    volume = read_series(paths, Sees.VOLUME)
    assert isinstance(volume, Volume)
    assert np.array_equal(volume.array, ct_values(2, 64, 48))


@pytest.mark.peer
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["+eb"], id="baseline, YBR 4:2:2"),
        pytest.param(["+eb", "+s4"], id="baseline, YBR 4:4:4"),
        pytest.param(["+eb", "+cr"], id="baseline, RGB"),
        pytest.param(["+ee"], id="extended, 8 bits"),
    ],
)
def test_a_cine_compressed_by_dcmtk_decodes_as_dcmtk_does(
    options: list[str], tmp_path: Path
) -> None:
    """Colour conversion and all: within rounding of the conversion."""
    (path,) = write(us_cine(), tmp_path)
    coded, plain = tmp_path / "coded.dcm", tmp_path / "plain.dcm"
    _run("dcmcjpeg", *options, path, coded)
    _run("dcmdjpeg", "+cp", coded, plain)
    assert np.abs(_pixels(coded) - _pixels(plain)).max() <= 1


@pytest.mark.peer
def test_12_bit_jpeg_decodes_as_dcmtk_does(tmp_path: Path) -> None:
    """JPEG Extended with 12 bits, which most Python decoders cannot read."""
    (path,) = write(dx(), tmp_path)
    coded, plain = tmp_path / "coded.dcm", tmp_path / "plain.dcm"
    _run("dcmcjpeg", "+ee", "+un", path, coded)
    _run("dcmdjpeg", coded, plain)
    assert np.abs(_pixels(coded) - _pixels(plain)).max() <= 1


@pytest.mark.peer
@pytest.mark.parametrize(
    "name",
    [
        "pydicom/test_files/JPEG-lossy.dcm",
        "pydicom/test_files/JPGExtended.dcm",
        "pydicom/test_files/SC_rgb_dcmtk_+eb+cy+np.dcm",
        "pydicom/test_files/SC_jpeg_no_color_transform_2.dcm",
        "pydicom/test_files/SC_rgb_jpeg_lossy_gdcm.dcm",
        "pydicom/test_files/examples_ybr_color.dcm",
        "pydicom-data/JPGLosslessP14SV1_1s_1f_8b.dcm",
        "pydicom-data/bad_sequence.dcm",
        "pet-slices/GH184.dcm",
    ],
    ids=lambda name: Path(name).stem,
)
def test_real_jpeg_decodes_as_dcmtk_does(name: str, tmp_path: Path) -> None:
    """Files of many toolkits, with and without JFIF and Adobe markers."""
    coded = material(name)[0]
    _run("dcmdjpeg", "+cp", coded, tmp_path / "plain.dcm")
    assert np.abs(_pixels(coded) - _pixels(tmp_path / "plain.dcm")).max() <= 1


def _run(program: str, *arguments: str | Path) -> None:
    subprocess.run([find(program), *arguments], check=True, capture_output=True, timeout=60)


def _pixels(path: Path) -> NDArray[np.int64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (header,) = read_headers([path])
        return np.array([one.values for one in decoded_frames(header)]).astype(np.int64)
