"""Instances are decoded ahead, and come in order."""

import threading
from pathlib import Path

import numpy as np
import pytest

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.infer import ahead
from dicom_ai_node.infer.ahead import decoded_instances
from dicom_ai_node.infer.pixels import decoded_frames
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
    found = [(ds, [frame.values for frame in frames]) for ds, frames in decoded_instances(headers)]
    assert [ds.SOPInstanceUID for ds, _ in found] == [ds.SOPInstanceUID for ds in headers]
    for ds, frames in found:
        assert np.array_equal(frames, [one.values for one in decoded_frames(ds)])


def test_what_cannot_be_decoded_ends_it_and_leaves_no_thread(tmp_path: Path) -> None:
    """The reason is that of the instance, and nothing is decoded any more behind it."""
    series = phantoms.ct(slices=8)
    series[2].PixelData = series[2].PixelData[:-2]
    headers = read_headers(phantoms.write(series, tmp_path))
    seen = []

    def look() -> None:
        for ds, frames in decoded_instances(headers):
            list(frames)
            seen.append(ds.SOPInstanceUID)

    with pytest.raises(Rejected, match="bytes of pixel data"):
        look()
    assert seen == [ds.SOPInstanceUID for ds in headers[:2]]
    assert not [one for one in threading.enumerate() if one.name.startswith("decode")]
