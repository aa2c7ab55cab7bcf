"""The disk fills up or fails while instances arrive."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dicom_ai_node.store.blobs import FolderBlobs
from tests.faults.full_disk import FullBlobs
from tests.receive.conftest import Node, Start, quick_path, start  # noqa: F401 - fixtures
from tests.receive.rawpeer import RawPeer, encoded, smallest

pytestmark = pytest.mark.fault
DATA = encoded(smallest())


@pytest.mark.parametrize("step", ["spool", "keep"])
def test_a_store_without_room_is_a_passing_matter(start: Start, tmp_path: Path, step: str) -> None:  # noqa: F811
    """A700 means try again; when there is room the same association goes on."""
    blobs = FullBlobs(tmp_path / "full")
    node = start(blobs=blobs)
    with RawPeer(node.port).associate() as peer:
        blobs.fails_at = step
        assert peer.store(DATA) == 0xA700
        blobs.fails_at = ""
        assert peer.store(DATA) == 0x0000
        peer.release()
    assert len(node.diary.arrivals) == 1
    assert not list((tmp_path / "full" / "spool").iterdir())


_NODE = textwrap.dedent("""
    import json, resource, sys, threading
    from pathlib import Path
    from dicom_ai_node.domain.study import Received
    from dicom_ai_node.domain.uids import AETitle
    from dicom_ai_node.receive.dimse import DimseListener, Inbox
    from dicom_ai_node.receive.peers import AllowedPeer
    from dicom_ai_node.receive.server import Entrance, listening_socket
    from dicom_ai_node.store.blobs import FolderBlobs
    seen = []
    listener = DimseListener(
        ae_title=AETitle("AI_NODE"), accept_from=[AllowedPeer(ae_title=AETitle("CT1"))],
        blobs=FolderBlobs(Path(sys.argv[1])),
        inbox=Inbox(room=lambda: None, arrive=lambda a: seen.append(a) or Received.NEW,
                    released=lambda s: None, refused=lambda *a: None))
    if len(sys.argv) > 2:
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    listening = listening_socket("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.readline(), listener.close(1))).start()
    listener.serve([Entrance(listening)])
    print(json.dumps([a.instance.sha256 for a in seen]), flush=True)
""")


def _exchange(process: "subprocess.Popen[str]", *datasets: bytes) -> tuple[list[int], list[str]]:
    """Send each data set to a node in another process; return statuses and what it recorded."""
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with RawPeer(port).associate() as peer:
        statuses = [peer.store(data) for data in datasets]
        peer.release()
    rest, _ = process.communicate("\n", timeout=30)
    return statuses, json.loads(rest.splitlines()[-1])


def _node(folder: Path, *arguments: str, prefix: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", _NODE, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_a_file_that_cannot_grow_is_a_passing_matter(tmp_path: Path) -> None:
    """The kernel refuses to write on: A700, nothing left behind, smaller instances go on."""
    with _node(tmp_path, "100000") as process:
        statuses, recorded = _exchange(process, DATA + bytes(1_000_000), DATA)
    assert statuses == [0xA700, 0x0000]
    assert len(recorded) == 1
    assert not list((tmp_path / "spool").iterdir())


def test_success_is_never_answered_when_the_disk_does_not_sync(tmp_path: Path) -> None:
    """An fsync that fails with EIO gives A700 and no arrival."""
    strace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync")
    FolderBlobs(tmp_path)  # its own fsyncs are done when the failing ones begin
    try:
        subprocess.run([*strace, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("strace does not run here")
    # strace counts for each thread: that of the association gets as far as its third.
    inject = ("-e", "inject=fsync:error=EIO:when=3+")
    with _node(tmp_path, prefix=(*strace, *inject)) as process:
        statuses, recorded = _exchange(process, DATA, DATA, DATA)
    assert statuses[1:] == [0xA700, 0xA700]
    assert len(recorded) == statuses.count(0x0000)
    assert not list((tmp_path / "spool").iterdir())
