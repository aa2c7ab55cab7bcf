"""A few child processes that touch pixel data, so that no codestream can harm who answers.

A child gets open files and nothing else: it needs no path and no network. Its answer is JSON. When
it dies, or takes too long, the next order gets a new one.
"""

import json
import os
import pickle
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import Empty, LifoQueue
from threading import BoundedSemaphore
from typing import BinaryIO

import structlog

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.showing import NoSuchFrame, NotShowable, Order, Print

log = structlog.get_logger()

MOST_WAITING = 16
"""Orders that may wait for a child; whoever comes then is told to come again."""
LONGEST_SECONDS = 60.0
"""An order that takes longer is given up."""
LONGEST_START_SECONDS = 60.0
LONGEST_ANSWER_BYTES = 1 << 16

Target = Callable[[socket.socket, int], None]
"""What a child runs: takes orders from a socket until it ends or the parent (by pid) is gone."""


@dataclass(slots=True)
class _Child:
    process: SpawnProcess
    socket: socket.socket


class ChildProcesses:
    """Implements `domain.showing.Darkroom`; children start when they are first needed.

    Parameters
    ----------
    target
        Must be picklable; see `infer.darkroom.run`.
    folder
        Where what they make lies, without a name, until it is sent.
    """

    def __init__(
        self,
        target: Target,
        folder: Path,
        *,
        size: int,
        waiting: int = MOST_WAITING,
        seconds: float = LONGEST_SECONDS,
    ) -> None:
        self._target = target
        self._folder = folder
        self._seconds = seconds
        self._places = BoundedSemaphore(size + waiting)
        self._idle: LifoQueue[_Child | None] = LifoQueue()
        for _ in range(size):
            self._idle.put(None)
        # The kernel ties a death signal to the *thread* that started the process, so one thread
        # that lives as long as this starts them all.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="darkroom")

    def make(self, order: Order, *files: BinaryIO) -> Print:
        """Make what is ordered of Part 10 files and return it."""
        if not self._places.acquire(blocking=False):
            raise OutOfResources("too many images are being decoded")
        try:
            with self._child() as child:
                return self._made(child, order, files)
        finally:
            self._places.release()

    def close(self) -> None:
        """End the children that rest."""
        with suppress(Empty):
            while True:
                child = self._idle.get_nowait()
                if child is not None:
                    _end(child)
        self._spawner.shutdown()

    @contextmanager
    def _child(self) -> Iterator[_Child]:
        """Lend a child; one that failed in its duty does not come back."""
        try:
            child = self._idle.get(timeout=self._seconds)
        except Empty as full:
            raise OutOfResources("images take long to decode now") from full
        is_sound = False
        try:
            child = child or self._spawned()
            yield child
            is_sound = True
        except (NotShowable, NoSuchFrame):
            is_sound = child is not None and child.socket.fileno() >= 0
            raise
        finally:
            if child is not None and not is_sound:
                _end(child)
            self._idle.put(child if is_sound else None)

    def _spawned(self) -> _Child:
        ours, theirs = socket.socketpair()
        process = get_context("spawn").Process(
            target=self._target, args=(theirs, os.getpid()), daemon=False
        )
        self._spawner.submit(process.start).result()
        theirs.close()
        return _Child(process, ours)

    def _made(self, child: _Child, order: Order, files: Sequence[BinaryIO]) -> Print:
        made: BinaryIO = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - it is given away
        try:
            _check(self._answer(child, order, [*files, made]))
            made.seek(0)  # the child has moved on in the same open file
            return Print(made, os.fstat(made.fileno()).st_size)
        except BaseException:
            made.close()
            raise

    def _answer(
        self, child: _Child, order: Order, files: Sequence[BinaryIO]
    ) -> Mapping[str, object]:
        began = time.monotonic()
        try:
            child.socket.settimeout(self._seconds)
            socket.send_fds(child.socket, [pickle.dumps(order)], [file.fileno() for file in files])
            answer = json.loads(child.socket.recv(LONGEST_ANSWER_BYTES))
            if isinstance(answer, dict):
                return answer
        except (OSError, ValueError):
            pass
        seconds = round(time.monotonic() - began, 1)
        log.warning("decoder_lost", seconds=seconds)
        child.socket.close()
        raise NotShowable("decoding it took more memory or time than is allowed")


def _check(answer: Mapping[str, object]) -> None:
    """Raise what a child says."""
    match answer:
        case {"no": "frame", "why": str(why)}:
            raise NoSuchFrame(why)
        case {"no": _, "why": str(why)}:
            raise NotShowable(why)


def _end(child: _Child) -> None:
    child.socket.close()
    child.process.kill()
    child.process.join()
