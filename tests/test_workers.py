"""What a worker does before and after the model: it trusts no disk."""

import hashlib
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.uids import JobKey, Sha256
from dicom_ai_node.store.findings import findings_of
from dicom_ai_node.workers import InferenceWorker

CONTENT = b"DICM" * 1000


class Model:
    """Finds nothing and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.unusable: dict[str, str] = {}

    def __call__(self, attempt: Attempt) -> Findings:
        """Look."""
        self.asked += 1
        return Findings()


def attempt(folder: Path) -> Attempt:
    """Return an attempt whose one input is a blob."""
    blob = folder / hashlib.sha256(CONTENT).hexdigest()
    blob.write_bytes(CONTENT)
    order = InferenceOrder(
        kind="segment",
        model="m",
        model_digest=Sha256("0" * 64),
        inputs={"image": (blob,)},
        options={},
    )
    return Attempt(
        job=JobKey("1" * 64), fence=1, folder=folder / "work", order=order, limit_seconds=60
    )


def test_what_was_received_is_looked_at(tmp_path: Path) -> None:
    """The findings are on the disk when the worker returns."""
    model = Model()
    InferenceWorker(model)(attempt(tmp_path))  # type: ignore[arg-type]
    assert model.asked == 1
    assert findings_of(tmp_path / "work") == Findings()


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(lambda blob: blob.write_bytes(CONTENT[:-1] + b"X"), "damaged", id="one byte"),
        pytest.param(lambda blob: blob.write_bytes(CONTENT[:100]), "damaged", id="cut short"),
        pytest.param(Path.unlink, "unreadable", id="gone"),
    ],
)
def test_no_model_looks_at_a_bad_block(tmp_path: Path, harm: object, why: str) -> None:
    """An input whose bytes are not those that were received is for a person."""
    model, made = Model(), attempt(tmp_path)
    assert isinstance(made.order, InferenceOrder)
    assert callable(harm)
    harm(made.order.inputs["image"][0])
    with pytest.raises(NeedsAttention, match=why):
        InferenceWorker(model)(made)  # type: ignore[arg-type]
    assert not model.asked
