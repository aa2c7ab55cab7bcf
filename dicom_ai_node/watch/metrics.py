"""The state of the node in the text format of Prometheus.

Almost everything is read from the ledger when it is asked for: it does not matter which process
answers, and a restart resets nothing. Only what the process that answers does itself, `requests`,
it counts itself.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dicom_ai_node.domain.devices import DeviceUse
from dicom_ai_node.domain.numbers import Numbers

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(parts: Iterable[Collector]) -> bytes:
    """Return the metrics as Prometheus reads them."""
    registry = CollectorRegistry(auto_describe=False)
    for part in parts:
        registry.register(part)
    return generate_latest(registry)


class Node(Collector):
    """What is where, and how long it has been there."""

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


class Devices(Collector):
    """How busy devices were in the last minute that was measured; `use` is oldest first."""

    def __init__(self, use: Sequence[DeviceUse]) -> None:
        self._newest = {(one.machine, one.device): one for one in use}

    def collect(self) -> Iterator[Metric]:
        """Yield what workers do, and the GPUs where there are any."""
        yield self._of("device_workers", "Workers, by device.", lambda one: one.slots)
        yield self._of(
            "device_busy_ratio",
            "Which part of the last minute the workers of a device worked.",
            lambda one: one.busy,
        )
        yield self._of(
            "gpu_use_ratio", "Which part of the last minute a GPU computed.", lambda one: one.gpu
        )
        yield self._of(
            "gpu_memory_used_bytes", "Memory of a GPU in use.", lambda one: one.gpu_used_bytes
        )
        yield self._of("gpu_memory_bytes", "Memory that a GPU has.", lambda one: one.gpu_bytes)

    def _of(self, name: str, help_: str, value: Callable[[DeviceUse], float | None]) -> Metric:
        found = {key: value(one) for key, one in self._newest.items()}
        known = {key: number for key, number in found.items() if number is not None}
        return _gauge(name, help_, ["machine", "device"], known)


class Certificates(Collector):
    """Until when the certificates hold that the node shows by their place in the configuration."""

    def __init__(self, expires_at: Mapping[str, datetime]) -> None:
        self._expires_at = expires_at

    def collect(self) -> Iterator[Metric]:
        """Yield one moment each, in seconds since 1970."""
        yield _gauge(
            "certificate_expiry_timestamp_seconds",
            "When a certificate expires that the node shows.",
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
