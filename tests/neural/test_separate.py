"""From probabilities of rim and core to objects, their outlines and back."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicom_ai_node.neural.separate import (
    Limits,
    brightened,
    histogram_of,
    inside,
    outlines_of,
    renumbered,
    rim_and_core,
    separate,
)


def discs(*middles: tuple[float, float, float], size: int = 48) -> NDArray[np.int32]:
    """Return discs of (row, column, radius), each with its number; later ones lie above."""
    y, x = np.mgrid[:size, :size]
    objects = np.zeros((size, size), np.int32)
    for number, (row, column, radius) in enumerate(middles, start=1):
        objects[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return objects


def certain(classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return probabilities of a network that has no doubt."""
    return np.stack([classes == number for number in range(3)]).astype(np.float32)


def test_what_a_network_learns_gives_the_objects_back() -> None:
    """Two discs that touch over a third of their width, one alone, and none of them lost."""
    objects = discs((16, 14, 8), (16, 27, 8), (38, 36, 5))
    found = separate(certain(rim_and_core(objects)), Limits())
    assert found.max() == 3
    for number in (1, 2, 3):
        same = found == np.bincount(found[objects == number]).argmax()
        both = (same & (objects == number)).sum()
        assert both / (same | (objects == number)).sum() > 0.9


def test_an_object_too_small_for_a_core_counts_too() -> None:
    """A faint one, of which the network sees the rim alone."""
    classes = np.minimum(rim_and_core(discs((10, 10, 4), (30, 30, 6))), 1)
    assert separate(certain(classes), Limits()).max() == 2


def test_specks_are_no_objects() -> None:
    """Below the smallest size there is nothing to count."""
    classes = rim_and_core(discs((10, 10, 1), (30, 30, 6)))
    assert separate(certain(classes), Limits(smallest_px=12)).max() == 1


def test_holes_belong_to_the_object() -> None:
    """A pale middle does not make a ring."""
    classes = rim_and_core(discs((24, 24, 10)))
    classes[22:27, 22:27] = 0
    assert (separate(certain(classes), Limits()) > 0).sum() == (discs((24, 24, 10)) > 0).sum()


def test_an_empty_field_has_no_objects() -> None:
    """And no outlines."""
    found = separate(certain(np.zeros((20, 20), np.uint8)), Limits())
    assert found.max() == 0
    assert outlines_of(found) == []


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-3, 50), st.floats(-3, 50), st.floats(1.5, 9)), min_size=1, max_size=6
    )
)
def test_an_outline_holds_the_very_pixels_of_its_object(
    middles: list[tuple[float, float, float]],
) -> None:
    """So that annotations, segmentation and areas say the same, at the border of the image too."""
    # Of what another disc has cut apart or pierced the longest outline is one part alone.
    objects = np.zeros((48, 48), np.int32)
    for number, middle in enumerate(middles, start=1):
        disc = discs(middle) > 0
        if not (objects[disc] > 0).any():
            objects[disc] = number
    objects = renumbered(objects)
    outlines = outlines_of(objects)
    assert len(outlines) == objects.max()
    for number, outline in enumerate(outlines, start=1):
        drawn = np.zeros(objects.shape, np.bool_)
        drawn[inside(outline, (48, 48))] = True
        assert np.array_equal(drawn, objects == number)


def test_numbers_have_no_gaps() -> None:
    """What was taken away leaves no number behind."""
    objects = np.array([[0, 7, 7], [3, 0, 9]], np.int32)
    assert renumbered(objects, 1).tolist() == [[0, 2, 2], [1, 0, 3]]
    assert renumbered(objects, 2).tolist() == [[0, 1, 1], [0, 0, 0]]


def test_stained_and_fluorescent_nuclei_look_the_same() -> None:
    """A picture that was lit from behind is inverted, and both are stretched to the full range."""
    nuclei = discs((20, 20, 7), (30, 38, 6)) > 0
    stained = np.where(nuclei, 80, 210).astype(np.float32)
    fluorescent = np.where(nuclei, 40, 8).astype(np.float32)
    for image in (stained, fluorescent):
        shown = brightened(image, histogram_of(image), (0, 100))
        assert np.array_equal(shown, nuclei.astype(np.float32))


def test_a_part_is_scaled_as_the_whole_is() -> None:
    """Bare glass stays bare: its own faint noise is not stretched until it looks like nuclei."""
    whole = np.where(discs((20, 20, 9)) > 0, 60, 200).astype(np.float32)
    glass = np.full((16, 16), 200, np.float32) + np.arange(16) % 3
    assert brightened(glass, histogram_of(whole), (1, 99.9)).max() < 0.05
    assert brightened(glass, histogram_of(glass), (1, 99.9)).max() == 1
    tissue = np.full((16, 16), 60, np.float32)
    assert brightened(tissue, histogram_of(whole), (1, 99.9)).min() == 1
