"""Weights that torch has pickled are read as tensors and plain values, whatever lies beside them."""

import io
import zipfile

import numpy as np
import pytest
import torch

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.infer.formats.weights import Ignored, unpickled


def _saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _by_numpy_1(content: bytes) -> bytes:
    """Return an archive as a training with numpy 1 would have written it."""
    old = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as found, zipfile.ZipFile(old, "w") as made:
        for name in found.namelist():
            made.writestr(name, found.read(name).replace(b"numpy._core.", b"numpy.core."))
    return old.getvalue()


@pytest.mark.parametrize("age", ["of numpy 2", "of numpy 1"])
def test_numbers_of_numpy_are_passed_over(age: str) -> None:
    """Logs of a training hold them; the weights beside them are what counts."""
    content = _saved({
        "weights": {"a": torch.arange(3.0)},
        "best": np.float64(0.5),
        "log": [np.float32(0.1), np.int64(3), np.arange(3)],
        "device": torch.device("cpu"),
        "epoch": 7,
    })  # fmt: skip
    if age == "of numpy 1":
        content = _by_numpy_1(content)
        assert b"numpy.core." in content
    found = unpickled("it", content)
    assert torch.equal(found["weights"]["a"], torch.arange(3.0))
    assert found["epoch"] == 7
    assert isinstance(found["best"], Ignored)
    assert all(isinstance(one, Ignored) for one in found["log"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(_saved([torch.zeros(2)]), "no weights by name", id="a list"),
        pytest.param(_saved({"a": print}), "holds more than weights", id="a function"),
        pytest.param(_saved({"a": torch.nn.Linear(1, 1)}), "holds more than", id="a module"),
        pytest.param(_saved({"a": torch.zeros(9)})[:-200], "cannot be read", id="cut off"),
        pytest.param(b"", "cannot be read", id="nothing"),
    ],
)
def test_anything_else_is_not_loaded(content: bytes, message: str) -> None:
    """A network as a whole is code, too."""
    with pytest.raises(ModelUnusable, match=f"it .*{message}"):
        unpickled("it", content)
