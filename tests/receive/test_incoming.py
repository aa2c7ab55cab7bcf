"""A data set on its way to the disk."""

import hashlib
import os
import secrets
from pathlib import Path

import pytest

from dicom_ai_node.receive.incoming import Incoming

_PIECE = memoryview(secrets.token_bytes(1 << 20))
_PIECES = 40
_HEAD = b"head"


def _taken(folder: Path) -> Incoming:
    incoming = Incoming(1 << 30)

    def spool() -> Path:
        path = folder / "spooled"
        path.touch()
        return path

    incoming.begin(spool, _HEAD)
    for _ in range(_PIECES):
        incoming.write(_PIECE)
    incoming.close()
    return incoming


def test_the_disk_begins_to_write_a_large_file_before_all_of_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed over are whole pieces, in order and without a gap; the bytes stay the same."""
    handed_over, really = [], os.posix_fadvise

    def noted(file: int, at: int, length: int, advice: int) -> None:
        handed_over.append((at, length))
        really(file, at, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", noted)
    incoming = _taken(tmp_path)
    expected = _HEAD + bytes(_PIECE) * _PIECES
    assert incoming.refusal is None
    assert incoming.path.read_bytes() == expected
    assert incoming.sha256 == hashlib.sha256(expected).hexdigest()
    assert incoming.data_set_sha256 == hashlib.sha256(expected[len(_HEAD) :]).hexdigest()
    ends = [at + length for at, length in handed_over]
    assert [at for at, _ in handed_over] == [0, *ends[:-1]]
    assert len(expected) - ends[-1] < ends[0] < len(expected)


def test_a_file_system_that_takes_no_advice_is_no_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer, and that is all."""

    def refused(*_: int) -> None:
        raise OSError(22, "no advice")

    monkeypatch.setattr(os, "posix_fadvise", refused)
    incoming = _taken(tmp_path)
    assert incoming.refusal is None
    assert incoming.path.stat().st_size == len(_HEAD) + _PIECES * len(_PIECE)
