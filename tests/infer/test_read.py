"""The door between files and images: whatever comes in, an image or a reason comes out."""

import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import RLELossless

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Frames, Volume
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.infer.read import read_series
from tests.infer.reading import enhanced
from tests.phantoms import CANARY, cr, ct, dx, mr, pet, us, us_cine, write

ODD: dict[str, tuple[object, ...]] = {
    "DS": ("abc", "1\\2\\3\\4\\5\\6\\7", "-1", "nan", "1e400"),
    "IS": ("abc", "1.5", "-3"),
    "US": ([1, 2, 3], 0, 65535),
    "FD": (float("nan"), 0.0, -1.0, [1.0, 2.0, 3.0]),
    "TM": ("abc",),
    "DA": ("abc",),
    "DT": ("abc",),
    "CS": ("???",),
    "SQ": ([], [Dataset()]),
    "OW": (b"",),
}
"""Values of each VR that a scanner, an archive or a vandal may have written."""


def _rle() -> list[FileDataset]:
    cine = us_cine(frames=2)
    cine.compress(RLELossless, generate_instance_uid=False)
    return [cine]


@pytest.mark.parametrize(
    ("make", "sees", "kind"),
    [
        pytest.param(ct, Sees.VOLUME, Volume, id="CT as volume"),
        pytest.param(ct, Sees.SLICES, Frames, id="CT as slices"),
        pytest.param(ct, Sees.FRAMES, Frames, id="CT as frames, which are slices"),
        pytest.param(mr, Sees.VOLUME, Volume, id="MR as volume"),
        pytest.param(pet, Sees.VOLUME, Volume, id="PET as volume"),
        pytest.param(lambda: [dx()], Sees.FRAMES, Frames, id="DX"),
        pytest.param(lambda: [cr()], Sees.FRAMES, Frames, id="CR"),
        pytest.param(lambda: [us()], Sees.FRAMES, Frames, id="ultrasound"),
        pytest.param(lambda: [us_cine()], Sees.FRAMES, Frames, id="ultrasound cine"),
    ],
)
def test_every_phantom_is_read(
    make: Callable[[], list[FileDataset]], sees: Sees, kind: type, tmp_path: Path
) -> None:
    """One source per frame, float32, finite, and nothing noted that names a patient."""
    image = read_series(write(make(), tmp_path), sees)
    assert isinstance(image, kind)
    assert image.array.dtype == np.float32
    assert np.isfinite(image.array).all()
    assert len(image.sources) == len(image.array)
    assert CANARY not in repr(image.notes)


def _elements(ds: Dataset, path: tuple[tuple[int, int], ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield (path, tag, VR) of every element, and of those in the first two items of sequences."""
    for element in ds:
        yield path, element.tag, element.VR
        if element.VR == "SQ":
            for number, item in enumerate(element.value[:2]):
                yield from _elements(item, (*path, (element.tag, number)))


def _changed(ds: Dataset, path: tuple[tuple[int, int], ...], tag: int, value: object) -> None:
    for sequence, number in path:
        ds = ds[sequence].value[number]
    if value is None:
        del ds[tag]
    elif isinstance(value, str) and value:
        vr = ds[tag].VR
        ds[tag] = DataElement(tag, "LO", value)  # which takes anything
        ds[tag].VR = vr
    else:
        ds[tag].value = value


@pytest.mark.parametrize(
    ("make", "sees"),
    [
        pytest.param(lambda: ct(slices=2, rows=8, columns=8), Sees.VOLUME, id="CT"),
        pytest.param(lambda: pet(slices=2, rows=8, columns=8), Sees.VOLUME, id="PET"),
        pytest.param(lambda: [dx(rows=8, columns=8)], Sees.FRAMES, id="DX"),
        pytest.param(lambda: [us_cine(frames=2)], Sees.FRAMES, id="ultrasound cine"),
        pytest.param(_rle, Sees.FRAMES, id="compressed cine"),
        pytest.param(
            lambda: [enhanced(ct(slices=2, rows=8, columns=8))], Sees.VOLUME, id="enhanced CT"
        ),
    ],
)
def test_a_spoiled_header_gives_an_image_or_a_reason(
    make: Callable[[], list[FileDataset]],
    sees: Sees,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every element absent, empty or odd in turn: never another error, never a NaN."""
    monkeypatch.setattr(config.settings, "_writing_validation_mode", config.IGNORE)
    whole = make()
    reasons = set()
    for path, tag, vr in list(_elements(whole[0])):
        for value in (None, *ODD.get(str(vr), ())):
            series = [deepcopy(whole[0]), *whole[1:]]
            _changed(series[0], path, tag, value)  # type: ignore[arg-type]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # those of writing; reading has none to give
                paths = write(series, tmp_path)
            try:
                image = read_series(paths, sees)
            except Rejected as reason:
                reasons.add(str(reason))
            else:
                assert np.isfinite(image.array).all(), (tag, value)
    assert len(reasons) > 10
    assert not any(CANARY in reason for reason in reasons)


def test_a_volume_takes_little_more_memory_than_its_values(tmp_path: Path) -> None:
    """One slice after the other goes into its place: no second copy of the whole is made."""
    paths = write(ct(slices=40, rows=256, columns=256), tmp_path)
    tracemalloc.start()
    try:
        image = read_series(paths, Sees.VOLUME)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 1.25 * image.array.nbytes + 2e6
