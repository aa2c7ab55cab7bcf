"""How examples are parted."""

from collections import Counter

from dicom_ai_node.training.case import part_of_block


def test_neighbours_stay_in_one_part_for_frames_of_one_patient_are_alike() -> None:
    """All twenty members of a block land in the same part."""
    for block in range(14):
        parts = {part_of_block(block * 20 + member, 20, 7) for member in range(20)}
        assert len(parts) == 1


def test_of_seven_blocks_one_is_test_one_validation_and_five_are_training() -> None:
    """The shares are the same over the whole set."""
    parts = Counter(part_of_block(position, 20, 7) for position in range(20 * 7 * 3))
    assert parts == {"test": 60, "validation": 60, "training": 300}
