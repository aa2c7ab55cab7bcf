"""The thresholds of a guard come from images that nobody has changed."""

import torch

from dicom_ai_node.training.guard import thresholds


def test_half_of_the_false_alarms_come_from_each_score() -> None:
    """Of a thousand images five lie above or at each threshold, ten together."""
    scores = torch.stack([torch.arange(1000.0), torch.arange(1000.0).flip(0) * 2], 1)
    limits = thresholds(scores, 0.01)
    assert (scores >= limits).sum(0).tolist() == [5, 5]


def test_few_images_give_their_highest_score() -> None:
    """A rate that cannot be measured is not claimed to be lower than what was seen."""
    scores = torch.tensor([[1.0, 5.0], [3.0, 2.0], [2.0, 4.0]])
    assert thresholds(scores, 0.01).tolist() == [3.0, 5.0]
