"""What the process that answers HTTP counts of its own answers."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import accumulate
from threading import Lock

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Requests(Collector):
    """Counts answers by route, method and class of status; a restart begins anew."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: Counter[tuple[str, str, str]] = Counter()
        self._spread: dict[tuple[str, str], list[int]] = {}
        self._seconds: defaultdict[tuple[str, str], float] = defaultdict(float)

    def answered(self, route: str, method: str, status: str, seconds: float) -> None:
        """Count one answer."""
        place = bisect_left(BUCKETS_SECONDS, seconds)
        with self._lock:
            self._answers[route, method, status] += 1
            spread = self._spread.setdefault((route, method), [0] * (len(BUCKETS_SECONDS) + 1))
            spread[place] += 1
            self._seconds[route, method] += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield both families."""
        with self._lock:
            answers = dict(self._answers)
            spread = {key: list(counts) for key, counts in self._spread.items()}
            seconds = dict(self._seconds)
        counted = CounterMetricFamily(
            "dicom_ai_node_http_requests",
            "Requests that were answered, by route, method and class of status.",
            labels=["route", "method", "status"],
        )
        for labels, number in answers.items():
            counted.add_metric(labels, number)
        yield counted
        took = HistogramMetricFamily(
            "dicom_ai_node_http_request_seconds",
            "How long answers took from the request to their end, by route and method.",
            labels=["route", "method"],
        )
        for key, counts in spread.items():
            ends = [*map(str, BUCKETS_SECONDS), "+Inf"]
            buckets = list(zip(ends, accumulate(counts), strict=True))
            took.add_metric(key, buckets, seconds[key])
        yield took
