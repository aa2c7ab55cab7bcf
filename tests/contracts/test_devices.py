"""The use of devices is remembered for an hour, by both databases."""

from dataclasses import replace

from dicom_ai_node.domain.devices import DeviceUse
from dicom_ai_node.store.ledger import SqlLedger
from tests.store.made import HOUR, MINUTE, NOON

CPU = DeviceUse(at=NOON, machine="box", device="cpu", slots=2, busy=0.25)
GPU = replace(CPU, device="cuda:0", gpu=0.5, gpu_used_bytes=2**33, gpu_bytes=2**37)


def test_a_minute_is_what_was_said_of_it_last(ledger: SqlLedger) -> None:
    """Of every machine and device, in their order."""
    ledger.note_use([])
    ledger.note_use([replace(GPU, busy=0.1), CPU])
    ledger.note_use([GPU, CPU])
    ledger.note_use([replace(CPU, machine="another")])
    ledger.note_use([replace(CPU, at=NOON + MINUTE)])
    assert ledger.device_use(NOON) == [
        replace(CPU, machine="another"), CPU, replace(CPU, at=NOON + MINUTE), GPU,
    ]  # fmt: skip
    assert [one.at for one in ledger.device_use(NOON + MINUTE)] == [NOON + MINUTE]


def test_nothing_grows(ledger: SqlLedger) -> None:
    """After days there is one hour, and nothing of machines that are gone."""
    ledger.note_use([replace(CPU, machine="gone")])
    for minute in range(0, 3 * 24 * 60, 7):
        ledger.note_use([replace(CPU, at=NOON + minute * MINUTE)])
    kept = ledger.device_use(NOON - HOUR)
    assert {one.machine for one in kept} == {"box"}
    assert len(kept) == 9  # every seventh minute of the last 60
