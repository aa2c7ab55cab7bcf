"""What Prometheus reads."""

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.domain.numbers import Numbers
from dicom_ai_node.watch.metrics import DicomCertificates, exposition
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


def test_prometheus_can_read_it() -> None:
    """With its own parser: names, labels and values."""
    text = exposition(NUMBERS, 1000, "1.2.3", NOON + timedelta(seconds=90)).decode()
    found = {
        (sample.name.removeprefix("dicom_ai_node_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
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


def test_the_end_of_every_certificate_is_told() -> None:
    """By its place in the configuration; of none, nothing."""
    parts = [DicomCertificates({"receive.tls": NOON})]
    text = exposition(NUMBERS, 1000, "1.2.3", NOON, parts).decode()
    [family] = [
        family
        for family in text_string_to_metric_families(text)
        if family.name == "dicom_ai_node_dicom_certificate_expiry_timestamp_seconds"
    ]
    assert [(one.labels, one.value) for one in family.samples] == [
        ({"place": "receive.tls"}, NOON.timestamp())
    ]
