"""A network learns where boxes are from the objects in them."""

import pytest
import torch

from dicom_ai_node.domain.boxes import Corners, candidates
from dicom_ai_node.training.fit_boxes import loss_of, targets


def scene() -> torch.Tensor:
    """Return a batch of two: an object of each of two classes, and nothing."""
    labels = torch.zeros(2, 32, 40, dtype=torch.int64)
    labels[0, 4:14, 5:25] = 1
    labels[0, 20:30, 22:38] = 2
    return labels


def perfect(labels: torch.Tensor) -> torch.Tensor:
    """Return the answer of a network that has learned all there is."""
    heat, borders = targets(labels, 2)
    logits = torch.logit(heat.clamp(1e-4, 1 - 1e-4))
    return torch.cat([logits, torch.logit(borders.clamp(1e-4, 1 - 1e-4))], 1)


def test_what_is_learned_is_what_is_found() -> None:
    """The node reads a perfect answer back as the very boxes around the objects."""
    said = perfect(scene()).numpy()
    boxes = candidates(said[0], (32, 40), 10)
    assert {(box.of, *_rounded(box.corners)) for box in boxes} == {
        (0, 4, 5, 14, 25),
        (1, 20, 22, 30, 38),
    }
    assert candidates(said[1], (32, 40), 10) == []


def _rounded(corners: Corners) -> tuple[int, ...]:
    borders = (corners.top, corners.left, corners.bottom, corners.right)
    assert borders == pytest.approx([round(b) for b in borders], abs=1e-3)
    return tuple(round(border) for border in borders)


def test_heat_is_hottest_in_the_middle_and_only_there() -> None:
    """The four pixels around the centre of an even box; of the other class nothing is hot."""
    heat, _ = targets(scene(), 2)
    assert (heat[0, 0] == 1).nonzero().tolist() == [[8, 14], [8, 15], [9, 14], [9, 15]]
    assert not heat[0, 0, 20:30, 22:38].any()
    assert not heat[1].any()


def test_two_objects_of_one_class_are_two() -> None:
    """Numbers tell them apart, though the class is the same."""
    labels = torch.zeros(1, 32, 40, dtype=torch.int64)
    labels[0, 4:14, 5:15], labels[0, 4:14, 15:25] = 1, 3
    heat, _ = targets(labels, 2)
    assert set((heat[0, 0] == 1).nonzero()[:, 1].tolist()) == {9, 10, 19, 20}


def test_what_is_left_of_an_object_at_the_edge_is_none() -> None:
    """Nobody could say what it is."""
    labels = torch.zeros(1, 32, 40, dtype=torch.int64)
    labels[0, :2, :4] = 1
    assert not targets(labels, 2)[0].any()


def test_the_perfect_answer_costs_least() -> None:
    """Less than a cold one, and less than the same boxes a little too large."""
    labels = scene()
    wanted = targets(labels, 2)
    best = perfect(labels)
    cold, large = best.clone(), best.clone()
    cold[:, :2] = -6
    large[:, 2:] += 0.5
    costs = [float(loss_of(answer, *wanted)) for answer in (best, cold, large)]
    assert costs[0] < min(costs[1:])
    assert all(cost > 0 for cost in costs[1:])


def test_an_image_without_any_object_teaches_too() -> None:
    """There the heat has to go; borders are not asked."""
    labels = torch.zeros(1, 32, 40, dtype=torch.int64)
    answer = torch.zeros(1, 6, 32, 40, requires_grad=True)
    loss_of(answer, *targets(labels, 2)).backward()
    assert answer.grad is not None
    assert (answer.grad[:, :2] > 0).all()
    assert not answer.grad[:, 2:].any()
