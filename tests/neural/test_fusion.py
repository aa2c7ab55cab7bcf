"""The network that takes several images and numbers about the patient."""

import torch

from dicom_ai_node.neural.fusion import LateFusion


def _network() -> LateFusion:
    torch.manual_seed(3)
    return LateFusion(images=2, facts=3, classes=4).eval()


def test_it_gives_one_logit_per_class_for_any_grid() -> None:
    """Nothing depends on how large the part of the patient is that it is shown."""
    network = _network()
    for grid in ((16, 32, 32), (7, 9, 13)):
        logits = network(torch.rand(3, 2, *grid), torch.rand(3, 6))
        assert tuple(logits.shape) == (3, 4)
        assert bool(torch.isfinite(logits).all())


def test_every_input_and_every_fact_can_change_the_answer() -> None:
    """None of them is left out on the way."""
    network, images, told = _network(), torch.rand(1, 2, 8, 16, 16), torch.rand(1, 6)
    answer = network(images, told)
    for place in range(2):
        less = images.clone()
        less[:, place] = 0
        assert (network(less, told) - answer).abs().max() > 1e-3
    for place in range(6):
        other = told.clone()
        other[:, place] += 1
        assert (network(images, other) - answer).abs().max() > 1e-4


def test_how_bright_an_image_is_as_a_whole_matters() -> None:
    """No layer takes it away: the uptake of a whole organ is a finding."""
    network, images, told = _network(), torch.rand(1, 2, 8, 16, 16), torch.rand(1, 6)
    answer = network(images, told)
    assert (network(images * 0.5, told) - answer).abs().max() > 1e-3


def test_the_answer_for_one_case_does_not_depend_on_its_neighbours() -> None:
    """Alone or in a batch, it is the same."""
    network, images, told = _network(), torch.rand(3, 2, 8, 16, 16), torch.rand(3, 6)
    together = network(images, told)
    alone = torch.cat([network(images[n : n + 1], told[n : n + 1]) for n in range(3)])
    assert torch.allclose(together, alone, atol=1e-5)
