"""Instances decoded ahead, as many at a time as there are processors.

Codecs let go of the interpreter while they work. An instance of many frames is decoded frame by
frame where it is asked for: it may be larger than what is to be kept in memory.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from pydicom.dataset import Dataset

from dicom_ai_node.infer.pixels import Decoded, decoded_frames
from dicom_ai_node.infer.planes import frame_count

MOST_AT_ONCE = 8
"""The stack of each thread counts as memory of a worker, which has not more than it may."""


def decoded_instances(
    headers: Sequence[Dataset],
) -> Iterator[tuple[Dataset, Iterable[Decoded]]]:
    """Yield each instance with its frames, in order.

    Raises
    ------
    Rejected
        As `pixels.decoded_frames`, when the frames of an instance are looked at or before.
    """
    at_once = min(MOST_AT_ONCE, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(at_once, "decode")
    ahead: deque[tuple[Dataset, Future[list[Decoded]] | None]] = deque()
    try:
        for header in headers:
            is_single = frame_count(header) == 1
            ahead.append((header, pool.submit(_all, header) if is_single else None))
            if len(ahead) > at_once:
                yield _next(ahead)
        while ahead:
            yield _next(ahead)
    finally:
        pool.shutdown(cancel_futures=True)


def _next(
    ahead: deque[tuple[Dataset, Future[list[Decoded]] | None]],
) -> tuple[Dataset, Iterable[Decoded]]:
    header, decoded = ahead.popleft()
    return header, decoded_frames(header) if decoded is None else decoded.result()


def _all(header: Dataset) -> list[Decoded]:
    return list(decoded_frames(header))
