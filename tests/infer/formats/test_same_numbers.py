"""In every format a network gives the numbers that it gives in torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.model import Gives, NetworkFacts
from dicom_ai_node.infer.adapted import Adapted
from dicom_ai_node.infer.adopt import drafted
from dicom_ai_node.infer.formats import FORMATS, monai, nnunet, onnx, torch_export, torchscript
from dicom_ai_node.infer.sealed import SealedFolder, seal
from tests import foreign
from tests.foreign_folders import ask

LOADERS = {"onnx": onnx, "torch_export": torch_export, "torchscript": torchscript}
GIVEN = foreign.example(batch=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Return the network of chance in all formats that hold one file."""
    folder = tmp_path_factory.mktemp("files")
    network = foreign.chance()
    return {
        "onnx": foreign.onnx_graph(network, folder / "a.onnx"),
        "onnx, one at a time": foreign.onnx_graph(network, folder / "b.onnx", batch=1),
        "onnx, two at a time": foreign.onnx_graph(network, folder / "c.onnx", batch=2),
        "torch_export": foreign.torch_export(network, folder / "a.pt2"),
        "torch_export, one at a time": foreign.torch_export(network, folder / "b.pt2", batch=1),
        "torchscript": foreign.torchscript(network, folder / "a.ts"),
    }


def _sealed(folder: Path, files: Mapping[str, bytes]) -> SealedFolder:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return seal(folder)


@pytest.mark.parametrize(
    "name",
    [
        "onnx",
        "onnx, one at a time",
        "onnx, two at a time",
        "torch_export",
        "torch_export, one at a time",
        "torchscript",
    ],
)
def test_a_file_gives_the_numbers_of_torch(
    tmp_path: Path, files: Mapping[str, Path], name: str
) -> None:
    """Whatever number of items it was exported for."""
    format_ = name.split(",", maxsplit=1)[0]
    (where,) = FORMATS[format_].needs
    sealed = _sealed(tmp_path, {where: files[name].read_bytes()})
    loaded = LOADERS[format_].load(sealed, NetworkFacts(format=format_), "cpu")
    torch.testing.assert_close(
        ask(loaded, GIVEN), ask(foreign.chance(), GIVEN), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("format_", sorted(LOADERS))
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, format_: str) -> None:
    """By a sentence that names it."""
    (where,) = FORMATS[format_].needs
    sealed = _sealed(tmp_path / "odd", {where: b"something else"})
    with pytest.raises(ModelUnusable, match=f"odd: .*{where}"):
        LOADERS[format_].load(sealed, NetworkFacts(format=format_), "cpu")


def test_onnx_reads_no_file_beside_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name in a graph could lead anywhere on the machine."""
    monkeypatch.chdir(tmp_path)
    path = foreign.beside(foreign.onnx_graph(foreign.chance(), tmp_path / "a.onnx"))
    assert (tmp_path / "weights.bin").stat().st_size
    sealed = _sealed(tmp_path / "model", {onnx.FILE: path.read_bytes()})
    with pytest.raises(ModelUnusable, match="onnxruntime does not take"):
        onnx.load(sealed, NetworkFacts(format="onnx"), "cpu")


def _monai(
    tmp_path: Path, definition: Mapping[str, Any] = foreign.CHANCE, **changes: object
) -> SealedFolder:
    return seal(foreign.monai_bundle(tmp_path / "zoo", foreign.chance(), definition, **changes))


def test_a_bundle_of_the_zoo_gives_the_numbers_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """References are looked up; expressions beside the network are never run."""
    monkeypatch.chdir(tmp_path)
    loaded = monai.load(_monai(tmp_path), NetworkFacts(format="monai"), "cpu")
    assert torch.equal(ask(loaded, GIVEN), ask(foreign.chance(), GIVEN))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("network_def", "message"),
    [
        pytest.param(
            {**foreign.CHANCE, "out_channels": "$1 + 1"},
            r"expression \$1 \+ 1, which is never run; write its value",
            id="an expression",
        ),
        pytest.param({**foreign.CHANCE, "norm": "@nowhere"}, "@nowhere", id="a lost reference"),
        pytest.param({**foreign.CHANCE, "norm": "@norm"}, "@norm", id="a circle"),
        pytest.param({"_target_": "os.system"}, "not one of the networks", id="a function"),
        pytest.param({**foreign.CHANCE, "channels": [4, 9]}, "does not fit", id="other weights"),
    ],
)
def test_a_bundle_that_needs_its_code_is_refused(
    tmp_path: Path, network_def: Mapping[str, Any], message: str
) -> None:
    """And the sentence says what to write instead."""
    sealed = _monai(tmp_path, network_def, norm="@norm")
    with pytest.raises(ModelUnusable, match=message):
        monai.load(sealed, NetworkFacts(format="monai"), "cpu")


def test_a_bundle_may_be_written_in_yaml(tmp_path: Path) -> None:
    """The zoo allows both."""
    sealed = _monai(tmp_path)
    written = sealed.folder / "configs/inference.json"
    with (sealed.folder / "configs/inference.yaml").open("w") as file:
        YAML(typ="safe").dump(json.loads(written.read_text()), file)
    written.unlink()
    loaded = monai.load(seal(sealed.folder), NetworkFacts(format="monai"), "cpu")
    assert torch.equal(ask(loaded, GIVEN), ask(foreign.chance(), GIVEN))
    assert drafted(sealed.folder).format == "monai"


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_weights_may_lie_within_a_checkpoint(tmp_path: Path, key: str) -> None:
    """As MONAI's handlers save them."""
    sealed = _monai(tmp_path)
    weights = sealed.folder / monai.WEIGHTS
    torch.save({key: torch.load(weights, weights_only=True), "epoch": 3}, weights)
    loaded = monai.load(seal(sealed.folder), NetworkFacts(format="monai"), "cpu")
    assert torch.equal(ask(loaded, GIVEN), ask(foreign.chance(), GIVEN))


class Owner:
    """An object whose unpickling runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Say what to call."""
        return (Path.touch, (Path("owned"),))


def test_weights_that_hold_code_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pickle can call anything; only tensors, plain values and numbers are read."""
    monkeypatch.chdir(tmp_path)
    sealed = _monai(tmp_path)
    torch.save({"model": Owner()}, sealed.folder / monai.WEIGHTS)
    with pytest.raises(ModelUnusable, match=r"model\.pt holds more than weights"):
        monai.load(seal(sealed.folder), NetworkFacts(format="monai"), "cpu")
    (sealed.folder / monai.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(ModelUnusable, match=r"model\.pt"):
        monai.load(seal(sealed.folder), NetworkFacts(format="monai"), "cpu")
    assert not (tmp_path / "owned").exists()


def _nnunet(path: Path, of: Mapping[str, Any], count: int = 1, **dataset: object) -> SealedFolder:
    folds = {}
    for fold in range(count):
        torch.manual_seed(fold)
        folds[fold] = foreign.nnunet_network(of)
    results = foreign.nnunet_folder(path / "results", of, folds, **dataset)
    results.rename(path / "models")
    return seal(path)


def _fold(of: Mapping[str, Any], number: int, given: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(number)
    return ask(foreign.nnunet_network(of), given)[0]  # the finest of its outputs


def test_nnunet_gives_the_mean_of_its_folds(tmp_path: Path) -> None:
    """Each fold computes what its own network computes; the logits are averaged."""
    of = foreign.plans()
    loaded = nnunet.load(_nnunet(tmp_path, of, 3), NetworkFacts(format="nnunet"), "cpu")
    expected = torch.stack([_fold(of, number, GIVEN) for number in range(3)]).mean(0)
    torch.testing.assert_close(ask(loaded, GIVEN), expected)


def test_the_other_network_of_nnunet_gives_its_numbers(tmp_path: Path) -> None:
    """The residual encoder of the presets since version 2.4."""
    of = foreign.plans()
    said = of["configurations"]["3d_fullres"]["architecture"]
    said["network_class_name"] = said["network_class_name"].replace("PlainConv", "ResidualEncoder")
    said["arch_kwargs"]["n_blocks_per_stage"] = said["arch_kwargs"].pop("n_conv_per_stage")
    loaded = nnunet.load(_nnunet(tmp_path, of), NetworkFacts(format="nnunet"), "cpu")
    torch.testing.assert_close(ask(loaded, GIVEN), _fold(of, 0, GIVEN))


def test_nnunet_mirrors_as_it_was_trained_to(tmp_path: Path) -> None:
    """Eight ways in three axes, each turned back before the mean."""
    of = foreign.plans()
    sealed = _nnunet(tmp_path, of)
    loaded = nnunet.load(sealed, NetworkFacts(format="nnunet", mirror=True), "cpu")
    ways = [(), (2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4)]
    expected = torch.stack([_fold(of, 0, GIVEN.flip(way)).flip(way) for way in ways]).mean(0)
    torch.testing.assert_close(ask(loaded, GIVEN), expected)


def test_the_plans_of_older_versions_build_the_same_network(tmp_path: Path) -> None:
    """Before 2.4 they held numbers, and the classes were fixed."""
    new = foreign.plans()
    architecture = new["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    old = foreign.plans(
        architecture=None,
        UNet_class_name="PlainConvUNet",
        UNet_base_num_features=4,
        unet_max_num_features=320,
        n_conv_per_stage_encoder=architecture["n_conv_per_stage"],
        n_conv_per_stage_decoder=architecture["n_conv_per_stage_decoder"],
        conv_kernel_sizes=architecture["kernel_sizes"],
        pool_op_kernel_sizes=architecture["strides"],
    )
    del old["configurations"]["3d_fullres"]["architecture"]
    torch.manual_seed(0)
    network = foreign.nnunet_network(new)
    foreign.nnunet_folder(tmp_path / "models", old, {0: network})
    loaded = nnunet.load(seal(tmp_path), NetworkFacts(format="nnunet"), "cpu")
    torch.testing.assert_close(ask(loaded, GIVEN), ask(network, GIVEN)[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"network_class_name": "os.system"}, "system is not one of", id="another network"
        ),
        pytest.param({"conv_op": "os.system"}, "os.system is not one of", id="another operator"),
        pytest.param({"conv_op": "torch.nn.Bilinear"}, "Bilinear is not one", id="not on the list"),
        pytest.param({"features_per_stage": [4, 9]}, "do not fit", id="other weights"),
        pytest.param({"n_stages": "many"}, "do not fit", id="nonsense"),
    ],
)
def test_plans_cannot_name_what_is_not_allowed(
    tmp_path: Path, changes: Mapping[str, Any], message: str
) -> None:
    """nnU-Net imports what stands in the plans; here it is looked up on a list."""
    right, wrong = foreign.plans(), foreign.plans()
    architecture = wrong["configurations"]["3d_fullres"]["architecture"]
    for key, value in changes.items():
        where = architecture if key in architecture else architecture["arch_kwargs"]
        where[key] = value
    foreign.nnunet_folder(tmp_path / "models", wrong, {0: foreign.nnunet_network(right)})
    with pytest.raises(ModelUnusable, match=message):
        nnunet.load(seal(tmp_path), NetworkFacts(format="nnunet"), "cpu")


@pytest.mark.parametrize(
    ("axes", "turned"),
    [
        pytest.param("SPL", lambda x: x, id="as here"),
        pytest.param("RAS", lambda x: x.permute(0, 1, 4, 3, 2).flip(2, 3), id="as MONAI turns it"),
        pytest.param("SAR", lambda x: x.flip(3, 4), id="as nnU-Net reads RAS"),
        pytest.param("IPL", lambda x: x.flip(2), id="head first"),
        pytest.param("PLS", lambda x: x.permute(0, 1, 3, 4, 2), id="slices last"),
    ],
)
def test_a_network_with_axes_of_its_own_is_asked_in_them(axes: str, turned: Any) -> None:  # noqa: ANN401
    """The volume is turned before, and the answer turned back."""
    network = foreign.chance()
    given = torch.rand((2, 1, 8, 12, 16), generator=torch.Generator().manual_seed(1))
    right = ask(network, turned(given).contiguous())
    found = ask(Adapted(network, NetworkFacts(axes=axes)), given)
    assert found.shape == (2, 2, 8, 12, 16)
    torch.testing.assert_close(turned(found), right)


@pytest.mark.parametrize("gives", list(Gives))
def test_whatever_a_network_gives_becomes_logits(gives: Gives) -> None:
    """Their softmax is the probability that was meant."""
    meant = torch.tensor([[0.9, 0.1], [0.25, 0.75]])
    given = {
        Gives.LOGITS: meant.log() + 3,
        Gives.PROBABILITIES: meant,
        Gives.LOGIT: (meant[:, 1:] / meant[:, :1]).log(),
        Gives.PROBABILITY: meant[:, 1:],
    }[gives]

    class Says(torch.nn.Module):
        def forward(self, _group: torch.Tensor) -> torch.Tensor:
            return given

    found = Adapted(Says(), NetworkFacts(gives=gives))(torch.zeros(2, 1, 4, 4))
    torch.testing.assert_close(found.softmax(1), meant)
