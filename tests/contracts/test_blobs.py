"""What the blobs promise: a digest that was returned has its bytes on the disk."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.blobs import FolderBlobs

ROOT = Path(__file__).parents[2]
CONTENT = b"DICM" * 5000
DIGEST = Sha256(hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """Return an empty store."""
    return FolderBlobs(tmp_path / "store")


def spooled(blobs: FolderBlobs, content: bytes = CONTENT) -> Path:
    """Return a file on its way in."""
    path = blobs.spool()
    path.write_bytes(content)
    return path


def files(folder: Path) -> list[Path]:
    """Return all files of the store but its lock."""
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


def make_old(blobs: FolderBlobs, digest: Sha256, days: int) -> None:
    """Let a blob have been kept some days ago."""
    moment = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(blobs.path(digest), (moment, moment))


def test_what_was_kept_is_found_by_its_digest(blobs: FolderBlobs) -> None:
    """The name of a blob is the sha256 of its bytes, and nothing is left in the spool."""
    path = spooled(blobs)
    assert blobs.keep(path) == DIGEST
    assert blobs.path(DIGEST).read_bytes() == CONTENT
    assert not path.exists()
    blobs.verify(DIGEST)


def test_who_hashed_while_writing_need_not_have_it_hashed_again(blobs: FolderBlobs) -> None:
    """A receiver that has seen every byte already names the blob itself."""
    assert blobs.keep(spooled(blobs), DIGEST) == DIGEST
    blobs.verify(DIGEST)


def test_the_same_bytes_twice_are_one_blob(blobs: FolderBlobs, tmp_path: Path) -> None:
    """A study that is sent again needs no room."""
    assert blobs.keep(spooled(blobs)) == blobs.keep(spooled(blobs)) == DIGEST
    assert files(tmp_path) == [blobs.path(DIGEST)]


def test_a_damaged_blob_is_healed_by_the_same_bytes(blobs: FolderBlobs) -> None:
    """After a bad block it is enough to send the instance again."""
    blobs.keep(spooled(blobs))
    blobs.path(DIGEST).write_bytes(b"bad block")
    with pytest.raises(NeedsAttention, match="damaged"):
        blobs.verify(DIGEST)
    blobs.keep(spooled(blobs))
    blobs.verify(DIGEST)


def test_a_missing_blob_needs_attention(blobs: FolderBlobs) -> None:
    """Bytes that the ledger knows and the disk does not are a person's matter."""
    with pytest.raises(NeedsAttention, match="unreadable"):
        blobs.verify(DIGEST)


def test_discarding_is_done_once(blobs: FolderBlobs) -> None:
    """Removing what is not there is fine: retention may be interrupted and begin again."""
    blobs.keep(spooled(blobs))
    blobs.discard(DIGEST)
    blobs.discard(DIGEST)
    assert not blobs.path(DIGEST).exists()


def test_many_threads_keep_the_same_bytes(blobs: FolderBlobs, tmp_path: Path) -> None:
    """Parallel associations with the same instance leave one good blob."""
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: blobs.keep(spooled(blobs)), range(32))) == {DIGEST}
    assert files(tmp_path) == [blobs.path(DIGEST)]
    blobs.verify(DIGEST)


def test_many_files_are_kept_together(blobs: FolderBlobs, tmp_path: Path) -> None:
    """With one wait for the disk; the same bytes among them are one blob."""
    contents = [b"%d" % (number % 20) for number in range(25)]
    paths = [spooled(blobs) for _ in contents]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    digests = [Sha256(hashlib.sha256(content).hexdigest()) for content in contents]
    blobs.keep_all(dict(zip(paths, digests, strict=True)))
    assert sorted(files(tmp_path)) == sorted({blobs.path(digest) for digest in digests})
    for digest in digests:
        blobs.verify(digest)


def test_of_files_kept_together_none_is_promised_if_one_fails(
    blobs: FolderBlobs, tmp_path: Path
) -> None:
    """Whoever waits for them sends all of them again; nothing is left in the spool."""
    paths = [spooled(blobs) for _ in range(20)]
    paths[7].unlink()
    with pytest.raises(OutOfResources, match="keep a file: No such file"):
        blobs.keep_all(dict.fromkeys(paths, DIGEST))
    assert files(tmp_path) == []


def test_nobody_else_can_read_the_store(blobs: FolderBlobs, tmp_path: Path) -> None:
    """Files are 0600 and folders 0700, whatever the umask."""
    blobs.keep(spooled(blobs))
    spooled(blobs)
    for path in (tmp_path / "store", *(tmp_path / "store").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


@pytest.mark.parametrize("digest", ["../../etc/passwd", "", "A" * 64, "0" * 63, "0" * 63 + "\n"])
def test_nothing_from_outside_becomes_a_path(blobs: FolderBlobs, digest: str) -> None:
    """A blob is named by a digest or not at all."""
    with pytest.raises(ValueError, match="64"):
        blobs.path(Sha256(digest))


def test_there_is_room(blobs: FolderBlobs) -> None:
    """The receiver asks for the free room before it takes an association."""
    free = os.statvfs(blobs.path(DIGEST).parent)
    assert blobs.free_bytes() == pytest.approx(free.f_bavail * free.f_frsize, rel=0.1)


def test_stale_spooled_files_are_swept(blobs: FolderBlobs) -> None:
    """What a killed receiver has left goes at the next start; what is being written stays."""
    stale, fresh = spooled(blobs), spooled(blobs)
    os.utime(stale, (0, 0))
    assert blobs.sweep() == 1
    assert (stale.exists(), fresh.exists()) == (False, True)


def test_retention_takes_nothing_from_under_a_receiver(blobs: FolderBlobs) -> None:
    """Old bytes that have just arrived again, but are not in the ledger yet, are not removed."""
    before = datetime.now(UTC) - timedelta(hours=1)
    blobs.keep(spooled(blobs))
    make_old(blobs, DIGEST, days=7)
    assert list(blobs.aged(before)) == [DIGEST]
    again = spooled(blobs)
    os.utime(again, (0, 0))
    blobs.keep(again)
    assert list(blobs.aged(before)) == []
    assert not blobs.discard_aged(DIGEST, before)
    blobs.verify(DIGEST)
    make_old(blobs, DIGEST, days=7)
    assert blobs.discard_aged(DIGEST, before)
    assert blobs.discard_aged(DIGEST, before)
    assert not blobs.path(DIGEST).exists()


_KEEPER = """
import os, signal, sys
from pathlib import Path
from dicom_ai_node.store.blobs import FolderBlobs

def die(point):
    if point == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

blobs = FolderBlobs(Path(sys.argv[1]), at=die)
path = blobs.spool()
path.write_bytes(b"DICM" * 5000)
die("written")
print(blobs.keep(path), flush=True)
die("answered")
"""


def keeper(folder: Path, point: str) -> str:
    """Run a process that keeps a file and is killed at `point`; return what it has answered."""
    done = subprocess.run(
        [sys.executable, "-c", _KEEPER, folder, point],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    return done.stdout.strip()


@pytest.mark.fault
@pytest.mark.parametrize(
    ("point", "answer", "is_there"),
    [
        pytest.param("written", "", False, id="after the last byte was written"),
        pytest.param("spooled", "", False, id="before the fsync"),
        pytest.param("synced", "", False, id="after the fsync"),
        pytest.param("renamed", "", True, id="after the rename"),
        pytest.param("folder_synced", "", True, id="after the fsync of the folder"),
        pytest.param("answered", DIGEST, True, id="after the answer"),
    ],
)
def test_a_killed_receiver_never_answered_without_the_bytes(
    tmp_path: Path, point: str, answer: str, is_there: bool
) -> None:
    """Wherever it dies: no answer without the file, no half a file, and sending again works."""
    assert keeper(tmp_path, point) == answer
    blobs = FolderBlobs(tmp_path)
    assert blobs.path(DIGEST).exists() is is_there
    if is_there:
        blobs.verify(DIGEST)
    assert blobs.sweep(stale_seconds=0.0) == (0 if is_there else 1)
    assert blobs.keep(spooled(blobs)) == DIGEST
    assert files(tmp_path) == [blobs.path(DIGEST)]


_UNLUCKY = """
import sys
from pathlib import Path
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.store.blobs import FolderBlobs

blobs = FolderBlobs(Path(sys.argv[1]))
path = blobs.spool()
path.write_bytes(b"DICM" * 5000)
try:
    print(blobs.keep(path))
except OutOfResources as error:
    print("A700", hex(error.dimse_status), path.exists(), error)
"""


@pytest.mark.peer
@pytest.mark.fault
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize(
    ("which", "is_there"),
    [
        # The store itself syncs two folders when it is opened.
        pytest.param(3, False, id="the fsync of the file fails"),
        pytest.param(4, True, id="the fsync of the folder fails"),
    ],
)
def test_a_failed_fsync_is_no_success(
    tmp_path: Path, error: str, which: int, is_there: bool
) -> None:
    """The disk says no once: the sender hears "out of resources", and nothing is tried again."""
    if shutil.which("strace") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("strace is missing")
        pytest.skip("strace is not installed")
    log = tmp_path / "strace.log"
    inject = f"inject=fsync:error={error}:when={which}"
    done = subprocess.run(
        ["strace", "-f", "-o", log, "-e", "trace=fsync", "-e", inject,
         sys.executable, "-c", _UNLUCKY, tmp_path / "store"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("A700 0xa700 False"), done.stdout + done.stderr
    assert log.read_text().count("fsync(") == which, "an fsync was tried again"
    blobs = FolderBlobs(tmp_path / "store")
    assert blobs.path(DIGEST).exists() is is_there


def test_a_spooled_file_that_cannot_be_kept_is_gone(blobs: FolderBlobs) -> None:
    """A full disk does not fill up further with what could not be kept."""
    path = spooled(blobs)
    shutil.rmtree(blobs.path(DIGEST).parent)
    with pytest.raises(OutOfResources):
        blobs.keep(path)
    assert not path.exists()


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda blobs: blobs.spool(), id="a new file"),
        pytest.param(lambda blobs: blobs.free_bytes(), id="the free room"),
    ],
)
def test_a_store_that_is_gone_says_not_now(
    blobs: FolderBlobs, tmp_path: Path, ask: Callable[[FolderBlobs], object]
) -> None:
    """A file system that was unmounted under us refuses, it does not crash."""
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(OutOfResources):
        ask(blobs)


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    """The node learns at its start that the folder of the store is none."""
    (tmp_path / "store").write_text("a file is in the way")
    with pytest.raises(OutOfResources):
        FolderBlobs(tmp_path / "store")
