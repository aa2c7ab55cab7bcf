"""A model says in its facts what it wants to be told, and every mistake is told at once."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.infer.catalog import Catalog
from tests.model_folders import FACTS, fuse_model


def _asked(tmp_path: Path, **changes: object) -> Any:  # noqa: ANN401 - a tuple of facts
    fuse_model(tmp_path, **changes)
    return Catalog([tmp_path]).facts("fused_pair").clinical


def test_facts_keep_their_order_and_say_where_they_are_found(tmp_path: Path) -> None:
    """In headers by a keyword of PS3.6, in reports by code and unit."""
    age, sex, glucose = _asked(tmp_path)
    assert (age.attribute, age.least, age.most) == ("PatientAge", 18, 110)
    assert (sex.values, sex.unit) == ({"F": 0, "M": 1}, None)
    assert [(way.unit, way.factor) for way in glucose.reported] == [("mg/dL", 1), ("mmol/L", 18)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"attribute": "PatientName"}, "one that names a patient", id="a name"),
        pytest.param({"attribute": "PatientAged"}, "no PS3.6 keyword", id="no keyword"),
        pytest.param({"attribute": None}, "either an attribute or reports", id="from nowhere"),
        pytest.param({"deviation": 0}, "must be above 0", id="no deviation"),
        pytest.param({"range": [5, 5]}, "least, most", id="no range"),
        pytest.param({"unit": None}, "unit: is missing", id="no unit"),
        pytest.param({"name": "sex"}, "same name", id="twice"),
        pytest.param({"values": {"F": "no"}}, "must be numbers", id="a word for a number"),
        pytest.param({"meen": 3}, "unknown key", id="a typing error"),
    ],
)
def test_a_mistake_is_told_with_its_place(change: dict[str, Any], why: str, tmp_path: Path) -> None:
    """Nothing of it is passed over in silence."""
    facts = deepcopy(FACTS)
    facts[0].update(change)
    facts[0] = {key: value for key, value in facts[0].items() if value is not None}
    with pytest.raises(ConfigError, match=why):
        _asked(tmp_path, clinical=facts)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"documents": []}, id="reports without an input for them"),
        pytest.param({"clinical": FACTS[:2]}, id="an input without facts from reports"),
        pytest.param({"documents": ["pet"]}, id="a report that is an image"),
    ],
)
def test_documents_and_reported_facts_belong_together(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    """An input that tells nothing, or a fact that nothing can tell, is a mistake."""
    with pytest.raises(ConfigError, match="documents"):
        _asked(tmp_path, **changes)
