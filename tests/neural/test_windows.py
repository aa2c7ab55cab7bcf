"""How many windows there are, as MONAI itself cuts them."""

import pytest
import torch
from monai.inferers import sliding_window_inference

from dicom_ai_node.domain.progress import Phase, Progress, during, heard_by
from dicom_ai_node.neural.windows import batches, counted


@pytest.mark.parametrize(
    ("shape", "roi", "overlap", "at_once"),
    [
        pytest.param((40, 50, 30), (16, 16, 16), 0.25, 4, id="several along every axis"),
        pytest.param((16, 16, 16), (16, 16, 16), 0.5, 8, id="one"),
        pytest.param((10, 33, 70), (16, 32, 32), 0.6, 1, id="an axis shorter than the window"),
        pytest.param((65, 64), (64, 64), 0.9, 3, id="two axes, one pixel more than fits"),
        pytest.param((100, 7), (8, 8), 0.0, 5, id="no overlap"),
    ],
)
@pytest.mark.parametrize("items", [1, 2])
def test_every_answer_is_counted(
    shape: tuple[int, ...], roi: tuple[int, ...], overlap: float, at_once: int, items: int
) -> None:
    """The last window is all of it: no earlier one is, and nothing comes after it."""
    heard: list[Progress] = []
    total = batches(shape, roi, overlap, items, at_once)
    with heard_by(heard.append), during(Phase.RUNNING):
        sliding_window_inference(
            torch.zeros(items, 1, *shape), roi, at_once, counted(torch.clone, total), overlap
        )
    parts = [one.part for one in heard]
    assert len(parts) == 1 + total
    assert parts == sorted(parts)
    assert parts[-1] == 1
