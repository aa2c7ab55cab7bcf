"""Which SOP classes and transfer syntaxes the node takes."""

import pytest

from dicom_ai_node.receive.contexts import (
    DEFLATED,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    TRANSFER_SYNTAXES,
    VERIFICATION,
    ContextResult,
    judged,
    storage_classes,
)

STORAGE = "1.2.840.10008.5.1.4.1.1."
CLASSES = (
    "2 2.1 2.2 128 130 128.1 20 4 4.1 4.4 4.3 1 1.1 1.1.1 1.2 1.2.1 12.1 12.2 6.1 3.1 6.2 6 3 "
    "77.1.6 77.1.2 77.1.3 7 7.1 7.2 7.3 7.4 66.4 66.7 30 88.11 88.22 88.33 88.34 88.59 88.65 "
    "11.1 11.2 91.1 66.1"
)
SYNTAXES = (
    "1.2 1.2.1 1.2.2 1.2.5 1.2.4.50 1.2.4.51 1.2.4.57 1.2.4.70 1.2.4.80 1.2.4.81 1.2.4.90 "
    "1.2.4.91 1.2.4.201 1.2.4.202 1.2.4.203"
)


@pytest.mark.parametrize("suffix", CLASSES.split())
def test_a_storage_class_is_taken(suffix: str) -> None:
    """What a model reads, what a model makes, and what old scanners send."""
    assert STORAGE + suffix in storage_classes()


@pytest.mark.parametrize("suffix", SYNTAXES.split())
def test_a_transfer_syntax_is_taken(suffix: str) -> None:
    """A sender need not convert what it has."""
    uid = f"1.2.840.10008.{suffix}"
    assert judged(STORAGE + "2", {uid}) == (ContextResult.ACCEPTANCE, uid)


@pytest.mark.parametrize(
    ("sop_class", "proposed", "result"),
    [
        pytest.param(STORAGE + "2", DEFLATED, 4, id="a deflated data set may be a bomb"),
        pytest.param(STORAGE + "2", "1.2.840.10008.1.2.4.94", 4, id="JPIP pixels are elsewhere"),
        pytest.param(STORAGE + "2", "../../etc/x", 4, id="no transfer syntax at all"),
        pytest.param("1.2.840.10008.5.1.4.1.2.2.1", EXPLICIT_LITTLE, 3, id="C-FIND is not for us"),
        pytest.param("", EXPLICIT_LITTLE, 3, id="no SOP class"),
        pytest.param(VERIFICATION, "1.2.840.10008.1.2.5", 4, id="an echo is never compressed"),
    ],
)
def test_other_contexts_are_turned_down(sop_class: str, proposed: str, result: int) -> None:
    """A context is turned down with the reason, the others of the association go on."""
    assert judged(sop_class, {proposed})[0] == result


def test_what_needs_no_decoder_is_preferred() -> None:
    """A sender that can send anything in one context sends what every model can read."""
    assert judged(STORAGE + "2", set(TRANSFER_SYNTAXES))[1] == EXPLICIT_LITTLE
    lossy_or_implicit = {"1.2.840.10008.1.2.4.50", IMPLICIT_LITTLE}
    assert judged(STORAGE + "2", lossy_or_implicit)[1] == IMPLICIT_LITTLE
