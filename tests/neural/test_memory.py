"""What does not fit into memory is computed in smaller portions, with the same result."""

from dicom_ai_node.neural.memory import Rung, rungs


def test_the_last_rung_puts_windows_together_on_the_cpu() -> None:
    """The map of a hundred classes may not fit where the network still does."""
    assert list(rungs(4, "cuda:0")) == [
        Rung(4, "cuda:0"),
        Rung(2, "cuda:0"),
        Rung(1, "cuda:0"),
        Rung(1, "cpu"),
    ]
    assert list(rungs(1, "cpu")) == [Rung(1, "cpu")]
