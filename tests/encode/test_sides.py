"""The side of the body is told where there are two, and never invented."""

import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.encode.sides import add_laterality
from tests import phantoms


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"BodyPartExamined": "CHEST"}, None, id="there is one chest"),
        pytest.param({"BodyPartExamined": "HAND", "Laterality": "L"}, "L", id="the left hand"),
        pytest.param({"BodyPartExamined": "HAND"}, "", id="one of two hands"),
        pytest.param({"BodyPartExamined": "HAND", "Laterality": "B"}, "", id="both is no side"),
        pytest.param({"BodyPartExamined": None}, "", id="nobody knows what it is"),
    ],
)
def test_a_side_is_what_the_source_says(changes: dict[str, object], said: str | None) -> None:
    """Empty means that it is not known, absent that there is none."""
    header = Dataset()
    add_laterality(header, phantoms.cr(**changes))
    assert ("Laterality" in header) == (said is not None)
    assert (header.get("Laterality") or "") == (said or "")
