"""A damaged file is told to be damaged, wherever it is damaged."""

import io
import random
from pathlib import Path

import pytest

from dicom_ai_node.serve.dicomweb.elements import Unreadable, found_at, opened
from dicom_ai_node.serve.dicomweb.frames import frames_of, parts_of
from tests.serve.window import sample

FILES = (
    "CT_small.dcm", "MR_small_implicit.dcm", "SC_rgb_rle_16bit_2frame.dcm", "liver_1frame.dcm",
    "examples_ybr_color.dcm", "MR_small_bigendian.dcm", "waveform_ecg.dcm", "rtdose.dcm",
)  # fmt: skip
PATH = ["52009230", "1", "00620002", "1", "00080100"]


def _bytes(name: str) -> bytes:
    stream = io.BytesIO()
    sample(name).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _look(file: Path) -> None:
    """Look for frames and a value; only damage may be raised."""
    try:
        found = frames_of(file)
        if found.is_encapsulated:
            parts_of(found, found.last, file)
    except Unreadable:
        pass
    try:
        with opened(file) as part10:
            found_at(part10, PATH)
    except Unreadable:
        pass


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_harms_nobody(tmp_path: Path, name: str) -> None:
    """Some bytes are others, or the rest is missing: it is damaged, or it can be read."""
    whole = _bytes(name)
    chance = random.Random(name)
    file = tmp_path / "damaged"
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(120, min(len(whole), 6000))
            damaged[place] = chance.choice((0, 1, 0x7F, 0xFE, 0xFF, chance.randrange(256)))
        file.write_bytes(damaged[: chance.choice((len(whole), chance.randrange(1, len(whole))))])
        _look(file)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"DICM" * 40, bytes(128) + b"DICM", bytes(128) + b"DICM\2\0\2"]
)
def test_what_is_no_file_of_dicom_is_told(tmp_path: Path, content: bytes) -> None:
    """However short it is."""
    file = tmp_path / "nothing"
    file.write_bytes(content)
    with pytest.raises(Unreadable):
        frames_of(file)


def test_nesting_has_an_end(tmp_path: Path) -> None:
    """A sequence within a sequence within a sequence ..."""
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff"
    head = _bytes("CT_small.dcm")
    at = head.index(b"\x08\x00\x05\x00CS")
    file = tmp_path / "nested"
    file.write_bytes(head[:at] + (sequence + item) * 100_000)
    with pytest.raises(Unreadable):
        frames_of(file)
