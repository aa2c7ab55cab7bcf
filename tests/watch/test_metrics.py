"""What Prometheus reads."""

from dataclasses import replace
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from dicom_ai_node.domain.devices import DeviceUse
from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.domain.numbers import Numbers
from dicom_ai_node.watch.metrics import Certificates, Devices, Node, exposition
from dicom_ai_node.watch.requests import BUCKETS_SECONDS, Requests
from tests.store.made import MINUTE, NOON

NUMBERS = Numbers(
    counts={
        "instances": 12,
        "series.open": 1,
        "series.complete": 2,
        "series.ours": 0,
        "quarantine.open": 3,
    },
    jobs={("liver", Stage.READY): 4, ('odd "name"', Stage.PARKED): 1},
    deliveries={("pacs", DeliveryState.DUE): 5},
    waiting_since={Stage.READY: NOON},
    undelivered_since={"pacs": NOON - MINUTE},
)


def _samples(*parts: Collector) -> dict[tuple[str, ...], float]:
    text = exposition(parts).decode()
    return {
        (sample.name.removeprefix("dicom_ai_node_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_can_read_it() -> None:
    """With its own parser: names, labels and values."""
    assert _samples(Node(NUMBERS, 1000, "1.2.3", NOON + timedelta(seconds=90))) == {
        ("info", "1.2.3"): 1,
        ("instances",): 12,
        ("series", "open"): 1,
        ("series", "complete"): 2,
        ("series", "ours"): 0,
        ("quarantine",): 3,
        ("free_bytes",): 1000,
        ("jobs", "liver", "ready"): 4,
        ("jobs", 'odd "name"', "parked"): 1,
        ("deliveries", "pacs", "due"): 5,
        ("oldest_job_seconds", "ready"): 90,
        ("oldest_delivery_seconds", "pacs"): 150,
    }


def test_devices_are_told_as_they_were_in_the_last_minute() -> None:
    """A CPU has workers; what a GPU does not say is not told as nothing."""
    cpu = DeviceUse(at=NOON, machine="box", device="cpu", slots=2, busy=0.5)
    gpu = replace(cpu, device="cuda:0", slots=1, gpu_used_bytes=3, gpu_bytes=8)
    assert _samples(Devices([replace(cpu, busy=1.0), replace(cpu, at=NOON + MINUTE), gpu])) == {
        ("device_workers", "cpu", "box"): 2,
        ("device_workers", "cuda:0", "box"): 1,
        ("device_busy_ratio", "cpu", "box"): 0.5,
        ("device_busy_ratio", "cuda:0", "box"): 0.5,
        ("gpu_memory_used_bytes", "cuda:0", "box"): 3,
        ("gpu_memory_bytes", "cuda:0", "box"): 8,
    }
    assert _samples(Devices([replace(gpu, gpu=0.25)]))["gpu_use_ratio", "cuda:0", "box"] == 0.25


def test_the_end_of_every_certificate_is_told() -> None:
    """As a moment, from which an alert subtracts the present; without TLS nothing is told."""
    told = _samples(Certificates({"receive.tls": NOON}))
    assert told == {("certificate_expiry_timestamp_seconds", "receive.tls"): NOON.timestamp()}
    assert _samples(Certificates({})) == {}


def test_answers_are_counted_and_timed() -> None:
    """By class of status, and in buckets that hold all that are faster."""
    requests = Requests()
    for seconds in (0.005, 0.2, 100.0):
        requests.answered("/jobs/{name}", "GET", "2xx", seconds)
    requests.answered("/jobs/{name}", "GET", "4xx", 0.0)
    found = _samples(requests)
    where = ("GET", "/jobs/{name}")
    assert found["http_requests_total", *where, "2xx"] == 3
    assert found["http_requests_total", *where, "4xx"] == 1
    buckets = [
        found["http_request_seconds_bucket", end, *where]
        for end in (*map(str, BUCKETS_SECONDS), "+Inf")
    ]
    assert buckets == [2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4]
    assert found["http_request_seconds_count", *where] == 4
    assert round(found["http_request_seconds_sum", *where], 3) == 100.205
    assert not [name for name, *_ in found if name.endswith("_created")]
