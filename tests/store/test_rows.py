"""An instance row stores only what differs from the first instance of its series."""

from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.store.rows import applied, differences

ATTRIBUTES = st.dictionaries(st.sampled_from("abcdef"), st.text(max_size=3))


@given(ATTRIBUTES, ATTRIBUTES)
def test_no_attribute_is_lost_or_invented(
    attributes: dict[str, str], first: dict[str, str]
) -> None:
    """Every instance gets back exactly the attributes with which it came."""
    assert applied(differences(attributes, first), first) == attributes


@given(ATTRIBUTES)
def test_an_instance_like_the_first_needs_no_room(attributes: dict[str, str]) -> None:
    """Two thousand slices repeat the name of their scanner once."""
    assert differences(attributes, attributes) == {}
