"""The simple method that a model is compared with."""

from dicom_ai_node.training.brightness import by_brightness
from tests.training.test_instances import field


def test_a_simple_method_finds_simple_nuclei() -> None:
    """What the model is compared with is no straw man: it parts nuclei that touch."""
    found = by_brightness(field("one", "a").image, 5, 12)
    assert found.max() == 3
