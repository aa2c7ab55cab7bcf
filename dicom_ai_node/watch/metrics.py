"""The state of the node in the text format of Prometheus.

Everything is read from the ledger when it is asked for: it does not matter which process answers,
and a restart resets nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dicom_ai_node.domain.numbers import Numbers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(
    numbers: Numbers, free_bytes: int, version: str, now: datetime, parts: Iterable[Collector] = ()
) -> bytes:
    """Return the metrics as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    for part in (_Node(numbers, free_bytes, version, now), *parts):
        registry.register(part)
    return generate_latest(registry)


class _Node(Collector):
    def __init__(self, numbers: Numbers, free_bytes: int, version: str, now: datetime) -> None:
        self._numbers = numbers
        self._free_bytes = free_bytes
        self._version = version
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield one family after the other."""
        counts = self._numbers.counts
        yield _gauge("info", "The version of the node.", ["version"], {(self._version,): 1})
        yield _plain("instances", "Instances that are here.", counts["instances"])
        yield _gauge(
            "series",
            "Series that are here, by state.",
            ["state"],
            {(state,): counts[f"series.{state}"] for state in ("open", "complete", "ours")},
        )
        yield _plain(
            "quarantine", "Entries that a person should look at.", counts["quarantine.open"]
        )
        yield _plain("free_bytes", "Room on the disk of the store.", self._free_bytes)
        yield from self._under_way()

    def _under_way(self) -> Iterator[Metric]:
        found = self._numbers
        yield _gauge("jobs", "Jobs, by route and stage.", ["route", "stage"], found.jobs)
        yield _gauge(
            "deliveries",
            "Objects on their way, by destination and state.",
            ["destination", "state"],
            found.deliveries,
        )
        yield _gauge(
            "oldest_job_seconds",
            "How old the oldest job is that the node is not done with, by stage.",
            ["stage"],
            {(stage,): self._age(since) for stage, since in found.waiting_since.items()},
        )
        yield _gauge(
            "oldest_delivery_seconds",
            "How old the oldest job is whose objects are still due, by destination.",
            ["destination"],
            {(name,): self._age(since) for name, since in found.undelivered_since.items()},
        )

    def _age(self, since: datetime) -> float:
        return max(0.0, (self._now - since).total_seconds())


class DicomCertificates(Collector):
    """Until when the certificates hold that the node shows over DIMSE, by place in the file."""

    def __init__(self, expires_at: Mapping[str, datetime]) -> None:
        self._expires_at = expires_at

    def collect(self) -> Iterator[Metric]:
        """Yield one moment each, in seconds since 1970."""
        yield _gauge(
            "dicom_certificate_expiry_timestamp_seconds",
            "When a certificate expires that is shown over DICOM with TLS.",
            ["place"],
            {(place,): end.timestamp() for place, end in self._expires_at.items()},
        )


def _plain(name: str, help_: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dicom_ai_node_{name}", help_, value=value)


def _gauge(
    name: str, help_: str, labels: list[str], values: Mapping[Any, float]
) -> GaugeMetricFamily:
    """Return a family with a value for each tuple of labels."""
    family = GaugeMetricFamily(f"dicom_ai_node_{name}", help_, labels=labels)
    for told, value in values.items():
        family.add_metric([str(one) for one in told], value)
    return family
