"""Networks that calculate with half the digits, where the processor does."""

from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

from dicom_ai_node.neural import precision
from dicom_ai_node.neural.precision import in_bfloat16


def _network(axes: int) -> nn.Module:
    torch.manual_seed(1)
    conv, back = (nn.Conv3d, nn.ConvTranspose3d) if axes == 3 else (nn.Conv2d, nn.ConvTranspose2d)
    layers = conv(1, 8, 3, 2, 1), nn.ReLU(), back(8, 2, 2, 2)
    return nn.Sequential(*layers).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("axes", [2, 3])
def test_the_answer_is_nearly_the_same_and_of_the_same_kind(axes: int) -> None:
    """Eight binary digits are left of each step, and single precision comes out again."""
    image = torch.rand(2, 1, *(8, 12, 16)[-axes:])
    exact = _network(axes)(image)
    with patch.object(precision, "is_fast", return_value=True):
        found = in_bfloat16(_network(axes), "cpu")(image)
    assert isinstance(found, Tensor)
    assert (found.dtype, found.shape) == (exact.dtype, exact.shape)
    assert found.is_contiguous()
    assert torch.allclose(found, exact, atol=0.02)
    assert not torch.equal(found, exact)


def test_where_it_would_be_slow_the_network_stays_as_it_is() -> None:
    """Processors without bfloat16 would have to pretend."""
    network = _network(3)
    with patch.object(precision, "is_fast", return_value=False):
        assert in_bfloat16(network, "cpu") is network


def test_the_weights_keep_their_digits() -> None:
    """They are laid out anew and nothing else: a checksum of them stays what it was."""
    network, before = _network(3), _network(3).state_dict()
    with patch.object(precision, "is_fast", return_value=True):
        in_bfloat16(network, "cpu")(torch.rand(1, 1, 8, 8, 8))
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, before[name])
        assert weight.dtype == torch.float32


def test_an_answer_that_is_no_tensor_is_given_back() -> None:
    """Whoever asked looks at it."""
    with patch.object(precision, "is_fast", return_value=True):
        assert in_bfloat16(lambda _: "no", "cpu")(torch.rand(1, 1, 4, 4)) == "no"


def test_the_processor_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any of the names by which it can say that it knows bfloat16."""
    for known, expected in (({"avx512_bf16": True}, True), ({"avx2": True}, False)):
        precision.is_fast.cache_clear()
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known)
        assert precision.is_fast("cpu") is expected
    precision.is_fast.cache_clear()
