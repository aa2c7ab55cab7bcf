"""Instances decoded and used ahead, as many at a time as there are processors.

Codecs and NumPy let go of the interpreter while they work. An instance of many frames is decoded
frame by frame where it is asked for: it may be larger than what is to be kept in memory.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pydicom.dataset import Dataset

from dicom_ai_node.infer.pixels import Decoded, decoded_frames
from dicom_ai_node.infer.planes import frame_count

MOST_AT_ONCE = 8
"""The stack of each thread counts as memory of a worker, which has not more than it may."""


_Used = TypeVar("_Used")
Use = Callable[[Dataset, int, Decoded], _Used]
"""What is done with a frame: its header, its number from 1 on, and what was decoded."""


def used_instances(headers: Sequence[Dataset], use: Use[_Used]) -> Iterator[Iterable[_Used]]:
    """Yield for each instance, in order, what `use` returns of its frames.

    `use` is called in the thread that has decoded a frame, while its values are at hand, and for
    one frame of an instance at a time.

    Raises
    ------
    Rejected
        As `pixels.decoded_frames` and `use`, when the frames of an instance are looked at or
        before.
    """
    at_once = min(MOST_AT_ONCE, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(at_once, "decode")
    ahead: deque[Future[list[_Used]] | Iterator[_Used]] = deque()
    try:
        for header in headers:
            is_single = frame_count(header) == 1
            ahead.append(pool.submit(_all, header, use) if is_single else _each(header, use))
            if len(ahead) > at_once:
                yield _next(ahead)
        while ahead:
            yield _next(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _next(ahead: deque[Future[list[_Used]] | Iterator[_Used]]) -> Iterable[_Used]:
    first = ahead.popleft()
    return first.result() if isinstance(first, Future) else first


def _all(header: Dataset, use: Use[_Used]) -> list[_Used]:
    return list(_each(header, use))


def _each(header: Dataset, use: Use[_Used]) -> Iterator[_Used]:
    for number, decoded in enumerate(decoded_frames(header), start=1):
        yield use(header, number, decoded)
