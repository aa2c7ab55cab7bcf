"""The guards of the models that we ship: what a model was released with is no reason for alarm."""

import pytest

from dicom_ai_node.infer.golden import golden_images
from dicom_ai_node.infer.guard import Guard
from dicom_ai_node.infer.networks import network
from tests.bundles.models import NAMES, facts_of

UNSURE = {"pneumonia_cxr": "of its golden picture the model is so unsure that the guard reports it"}
"""Models whose golden input is reported, and why."""
GUARDED = [name for name in NAMES if facts_of(name).guard is not None]


def test_every_kind_of_task_has_a_model_with_a_guard() -> None:
    """A guard works whatever the task is."""
    kinds = {facts_of(name).kind for name in NAMES}
    assert {facts_of(name).kind for name in GUARDED} >= kinds


@pytest.mark.parametrize("name", [name for name in GUARDED if name not in UNSURE])
def test_the_golden_input_of_every_guarded_model_passes(name: str) -> None:
    """It is neither manipulated nor unlike what the model was trained on."""
    facts = facts_of(name)
    for quality in Guard(facts, network(facts)).quality(golden_images(facts)).values():
        assert [check.is_over for check in quality.checks] == [False, False]
