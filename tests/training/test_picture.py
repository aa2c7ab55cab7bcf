"""How pictures with a class are parted."""

from collections import Counter

import numpy as np

from dicom_ai_node.training.picture import Picture, split


def pictures(groups: int, members: int, classes: int) -> list[Picture]:
    """Return groups of pictures of one class each, the classes in turn."""
    return [
        Picture(
            name=f"{group}-{member}",
            image=np.zeros((2, 2), np.float32),
            label=group % classes,
            group=f"group {group}",
        )
        for group in range(groups)
        for member in range(members)
    ]


def test_a_group_is_never_on_both_sides() -> None:
    """Near-duplicates of what was learned from are not scored."""
    parts = split(pictures(60, 5, 3))
    sides = [{p.group for p in side} for side in (parts.training, parts.validation, parts.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert sum(map(len, sides)) == 60


def test_every_part_has_its_share_of_every_class() -> None:
    """A rare class is not left to chance: of 100 pictures about 66, 16 and 18."""
    parts = split(pictures(150, 2, 3))
    for side, share in ((parts.training, 66), (parts.validation, 16), (parts.test, 18)):
        counts = Counter(picture.label for picture in side)
        assert all(abs(counts[label] - share) <= 2 for label in range(3))


def test_the_split_does_not_depend_on_the_order_of_the_files() -> None:
    """Another file system lists them differently and must give the same test part."""
    forth, back = split(pictures(40, 2, 2)), split(pictures(40, 2, 2)[::-1])
    assert {p.name for p in forth.test} == {p.name for p in back.test}
