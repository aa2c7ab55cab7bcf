"""No codestream can harm who answers: it is decoded elsewhere, and not for ever."""

import io
import os
import pickle
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.showing import (
    DECODABLE,
    NativeFrame,
    NoSuchFrame,
    NotShowable,
    Picture,
    Uncompressed,
)
from dicom_ai_node.infer.codecs import decoder_for
from dicom_ai_node.infer.darkroom import MEMORY_BYTES, limit
from dicom_ai_node.serve.darkroom import ChildProcesses
from dicom_ai_node.workers import darkroom
from tests.serve.window import sample


def _asleep(orders: socket.socket, _parent: int) -> None:
    """Take an order and never answer."""
    socket.recv_fds(orders, 1 << 16, 4)
    time.sleep(600)


def _dying(orders: socket.socket, _parent: int) -> None:
    """Take an order and die of it."""
    socket.recv_fds(orders, 1 << 16, 4)
    os.kill(os.getpid(), signal.SIGKILL)


def _babbling(orders: socket.socket, _parent: int) -> None:
    """Answer every order with what is no JSON."""
    while socket.recv_fds(orders, 1 << 16, 4)[0]:
        orders.send(b"\x80\x04nonsense")


def _slow(orders: socket.socket, _parent: int) -> None:
    """Take its time, then answer with the number of the process."""
    while True:
        message, files, _, _ = socket.recv_fds(orders, 1 << 16, 4)
        if not message:
            return
        time.sleep(pickle.loads(message))  # noqa: S301 - from the test itself
        os.write(files[-1], str(os.getpid()).encode())
        for one in files:
            os.close(one)
        orders.send(b"{}")


def _greedy(orders: socket.socket, _parent: int) -> None:
    """Take more memory than it is allowed, and say what it got."""
    limit()
    _, files, _, _ = socket.recv_fds(orders, 1 << 16, 4)
    got: list[bytearray] = []
    try:
        got.extend(bytearray(MEMORY_BYTES // 8) for _ in range(16))
    except MemoryError:
        os.write(files[-1], str(len(got)).encode())
    orders.send(b"{}")


Pool = Callable[..., ChildProcesses]


@pytest.fixture
def pool(tmp_path: Path, request: pytest.FixtureRequest) -> Pool:
    """Return what makes pools that are closed at the end."""

    def made(
        target: Callable[[socket.socket, int], None] = darkroom, **sizes: int
    ) -> ChildProcesses:
        opened = ChildProcesses(target, tmp_path, **{"size": 1, **sizes})  # type: ignore[arg-type]
        request.addfinalizer(opened.close)
        return opened

    return made


def made_by(children: ChildProcesses, order: object, data: bytes = b"") -> bytes:
    """Return what was made of some bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        done = children.make(order, file)  # type: ignore[arg-type]
    with done.file:
        content = done.file.read()
    assert len(content) == done.size_bytes
    return content


def test_the_next_order_gets_a_new_child(pool: Pool) -> None:
    """When one has died, or has been too slow, nothing else has ended."""
    for target, sizes in ((_dying, {}), (_asleep, {"seconds": 2}), (_babbling, {})):
        children = pool(target, **sizes)
        for _ in range(1 if target is _asleep else 2):
            with pytest.raises(NotShowable, match="more memory or time than is allowed"):
                made_by(children, NativeFrame(1))


def test_a_child_that_did_well_is_kept(pool: Pool) -> None:
    """Starting one takes a second."""
    children = pool(_slow)
    assert made_by(children, 0.0) == made_by(children, 0.0)


def test_who_comes_when_too_many_wait_is_told(pool: Pool, tmp_path: Path) -> None:
    """To come again; who waits is served in the end."""
    children = pool(_slow, waiting=1)
    made_by(children, 0.0)
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(made_by(children, 1.0))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    with pytest.raises(OutOfResources, match="too many"):
        made_by(children, 0.0)
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert not list(tmp_path.iterdir()), "what is made has no name in any folder"


def test_what_cannot_be_decoded_is_said_and_nothing_ends(pool: Pool) -> None:
    """A child survives bad input; only the order has failed."""
    children = pool()
    dataset = sample("JPEG2000.dcm")
    dataset.Rows = 2000
    with pytest.raises(NotShowable, match="another size than the data set"):
        made_by(children, NativeFrame(1), _bytes(dataset))
    with pytest.raises(NotShowable, match="it cannot be read"):
        made_by(children, Uncompressed(), b"nonsense" * 100)
    with pytest.raises(NoSuchFrame, match="there are 1 frames"):
        made_by(children, NativeFrame(2), _bytes(sample("CT_small.dcm")))
    assert made_by(children, NativeFrame(1), _bytes(sample("CT_small.dcm")))


def test_an_image_of_the_size_of_a_town_is_not_decoded(pool: Pool) -> None:
    """What it says of itself is believed before memory is taken."""
    dataset = sample("MR_small_RLE.dcm")
    dataset.Rows = dataset.Columns = 65535
    children = pool()
    for order in (NativeFrame(1), Picture(media_type="image/png", frames=(1,)), Uncompressed()):
        with pytest.raises(NotShowable, match="PIX_TOO_LARGE"):
            made_by(children, order, _bytes(dataset))


def test_a_child_gets_so_much_memory_and_no_more(pool: Pool) -> None:
    """Whatever a codestream makes of it, the machine has memory left for the others."""
    assert made_by(pool(_greedy), 0.0) in (b"6", b"7", b"8")


def test_all_that_is_promised_is_decoded() -> None:
    """The list that is offered by HTTP is that of the decoders."""
    for uid in DECODABLE:
        assert decoder_for(uid)


def _bytes(dataset: object) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)  # type: ignore[attr-defined]
    return stream.getvalue()
