"""The recipe of objects one by one: what it tunes, what it compares with, what it scores."""

import numpy as np

from dicom_ai_node.training.instances import Field, network_input, table_of
from tests.neural.test_separate import discs

FACTS = {"intensity": {"low": 0, "high": 100}}


def field(name: str, group: str, kind: str = "stained tissue") -> Field:
    """Return a stained field with three nuclei, two of which touch."""
    objects = discs((16, 14, 8), (16, 27, 8), (38, 36, 5))
    image = np.where(objects > 0, 80, 210).astype(np.float32)
    return Field(name=name, image=image, objects=objects, group=group, kind=kind)


def test_the_network_sees_nuclei_bright() -> None:
    """In 0..1, whichever way the light went."""
    shown = network_input(field("one", "a"), FACTS)
    assert (shown.min(), shown.max()) == (0, 1)
    assert bool((shown[field("one", "a").objects > 0] == 1).all())


def test_every_kind_of_field_has_its_own_row_and_every_row_its_interval() -> None:
    """The interval draws whole groups: with one perfect and one lost group it is wide."""
    fields = [field("1", "a"), field("2", "a"), field("3", "b", "smears")]
    found = [fields[0].objects, fields[1].objects, np.zeros_like(fields[2].objects)]
    table = table_of(fields, found, "by hand")
    assert table["PQ, by hand"] == {"value": 0.6667, "low": 0.0, "high": 1.0, "cases": 3}
    assert table["PQ, stained tissue, by hand"]["value"] == 1
    assert table["PQ, smears, by hand"]["cases"] == 1
