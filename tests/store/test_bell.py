"""Who waits for a bell is woken by another process, and by a bell that was rung before."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dicom_ai_node.store.bell import Bell

LONG_SECONDS = 30.0
RINGS = """
import sys
from pathlib import Path
from dicom_ai_node.store.bell import Bell
Bell(Path(sys.argv[1])).ring()
"""


def _waited(bell: Bell, seconds: float) -> float:
    began = time.monotonic()
    bell.wait(seconds)
    return time.monotonic() - began


def test_another_process_wakes_who_waits(tmp_path: Path) -> None:
    """Long before the time is over."""
    path = tmp_path / "bells" / "infer"
    bell = Bell(path)
    bell.fileno()
    ringer = subprocess.Popen([sys.executable, "-c", RINGS, path])
    assert _waited(bell, LONG_SECONDS) < LONG_SECONDS / 2
    assert ringer.wait(LONG_SECONDS) == 0
    bell.close()


def test_a_bell_that_was_rung_is_heard_once(tmp_path: Path) -> None:
    """However often: what there is to do is asked for, and not counted."""
    bell, ringer = Bell(tmp_path / "infer"), Bell(tmp_path / "infer")
    bell.fileno()
    for _ in range(500):
        ringer.ring()
    assert _waited(bell, LONG_SECONDS) < LONG_SECONDS / 2
    assert _waited(bell, 0.2) >= 0.2
    bell.close()
    ringer.close()


def test_nobody_who_rings_has_to_wait(tmp_path: Path) -> None:
    """Nor does one that nobody hears, and that is full, keep anybody."""
    bell = Bell(tmp_path / "deaf")
    for _ in range(20_000):
        bell.ring()
    assert _waited(bell, LONG_SECONDS) < LONG_SECONDS / 2
    bell.close()


def test_without_pipes_it_rings_in_its_own_process(tmp_path: Path) -> None:
    """Some file systems have none; others are then woken by the clock alone."""
    (tmp_path / "file").touch()
    bell = Bell(tmp_path / "file" / "infer")
    threading.Timer(0.2, bell.ring).start()
    assert _waited(bell, LONG_SECONDS) < LONG_SECONDS / 2
    bell.close()


def test_only_our_own_account_may_ring(tmp_path: Path) -> None:
    """It says nothing, but it could keep the node from its rest."""
    bell = Bell(tmp_path / "bells" / "infer")
    bell.fileno()
    assert (tmp_path / "bells").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "bells" / "infer").stat().st_mode & 0o777 == 0o600
    bell.close()


def test_it_gives_its_descriptor_back(tmp_path: Path) -> None:
    """And opens it again when it is used again."""
    bell = Bell(tmp_path / "infer")
    before = bell.fileno()
    bell.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)
    bell.ring()
    assert _waited(bell, LONG_SECONDS) < LONG_SECONDS / 2
    bell.close()
