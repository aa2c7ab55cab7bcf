"""Instances are decoded ahead, and come in order."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.infer import ahead
from dicom_ai_node.infer.ahead import used_instances
from dicom_ai_node.infer.pixels import Decoded, decoded_frames
from dicom_ai_node.infer.planes import read_headers
from tests import phantoms


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_instances_come_in_order_with_their_own_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """However many are decoded at once, and single and multi-frame ones among each other."""
    monkeypatch.setattr(ahead, "MOST_AT_ONCE", at_once)
    series = [*phantoms.ct(slices=6), phantoms.us_cine(), *phantoms.mr(slices=6)]
    headers = read_headers(phantoms.write(series, tmp_path))

    def seen(ds: Dataset, number: int, frame: Decoded) -> tuple[Dataset, int, NDArray[Any]]:
        return ds, number, frame.values

    for ds, frames in zip(headers, used_instances(headers, seen), strict=True):
        whole = [one.values for one in decoded_frames(ds)]
        for place, (of, number, values) in enumerate(frames, start=1):
            assert (of, number) == (ds, place)
            assert np.array_equal(values, whole.pop(0))
        assert not whole


def test_what_cannot_be_decoded_ends_it_and_leaves_no_thread(tmp_path: Path) -> None:
    """The reason is that of the instance, and nothing is decoded any more behind it."""
    series = phantoms.ct(slices=8)
    series[2].PixelData = series[2].PixelData[:-2]
    headers = read_headers(phantoms.write(series, tmp_path))
    seen = []

    def look() -> None:
        for uids in used_instances(headers, lambda ds, _number, _frame: ds.SOPInstanceUID):
            seen.extend(uids)

    with pytest.raises(Rejected, match="bytes of pixel data"):
        look()
    assert seen == [ds.SOPInstanceUID for ds in headers[:2]]
    assert not [one for one in threading.enumerate() if one.name.startswith("decode")]
