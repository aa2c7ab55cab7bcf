"""A recipe that sorts pictures trains, calibrates, scores, and can prove its scores again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from dicom_ai_node.training.augment import Touch, Warp
from dicom_ai_node.training.classify import ClassRecipe, golden_of, main, network_input, on_grid
from dicom_ai_node.training.fit import Plan
from dicom_ai_node.training.fit_classes import draw
from dicom_ai_node.training.folder import facts_of, shipped_network
from dicom_ai_node.training.picture import Picture, PictureParts

FACTS = """
name: stripes
version: 1.0.0
intensity: {scaling: window, low: 0, high: 100}
grid: {size_px: [16, 16]}
classes:
  - {label: Lying}
  - {label: Standing}
settings:
  temperature: 1.0
  operating_point: {label: Standing, threshold: 0.5}
"""
NETWORK = {
    "_target_": "monai.networks.nets.ResNet",
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [4, 4, 8, 8],
    "spatial_dims": 2,
    "n_input_channels": 1,
    "conv1_t_size": 3,
    "conv1_t_stride": 1,
    "no_max_pool": True,
    "num_classes": 2,
}
PLAN = Plan(
    steps=60,
    batch=16,
    patch=(16, 16),
    learning_rate=1e-2,
    judge_every=20,
    ema=0.8,
    warp=Warp(degrees=5, zoom=(0.9, 1.1), shift=0.02),
    touch=Touch(),
)


def stripes(count: int, seed: int) -> list[Picture]:
    """Return lying and standing stripes in noise."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        image = random.uniform(0, 60, (16, 16))
        image[::4] += 30
        label = number % 2
        made.append(
            Picture(
                name=f"{seed}-{number}",
                image=np.ascontiguousarray(image.T if label else image, dtype=np.float32),
                label=label,
                group=str(number),
            )
        )
    return made


def recipe_in(folder: Path) -> ClassRecipe:
    """Write what a person writes of a model folder, and return its recipe."""
    for name in ("configs", "docs"):
        (folder / name).mkdir()
    (folder / "configs/dicom.yaml").write_text(FACTS)
    (folder / "configs/inference.json").write_text(json.dumps({"network_def": NETWORK}))
    (folder / "docs/README.md").write_text("<!-- score -->\n<!-- /score -->\n")
    return ClassRecipe(
        folder=folder,
        read=lambda _data: PictureParts(
            training=stripes(40, 1), validation=stripes(40, 2), test=stripes(30, 3)
        ),
        plan=PLAN,
        beside=lambda _parts: {"accuracy of a coin": lambda _found, _labels: 0.5},
    )


def test_a_recipe_writes_a_whole_folder_whose_scores_can_be_measured_again(tmp_path: Path) -> None:
    """Train, then `--score-only` finds the same numbers; with other numbers it complains."""
    torch.set_num_threads(1)
    recipe = recipe_in(tmp_path)
    table = main(recipe, ["--data", str(tmp_path)])
    score = json.loads((tmp_path / "docs/score.json").read_text())
    assert score["test"]["AUC"]["value"] > 0.9
    assert score["test"]["AUC"]["low"] <= score["test"]["AUC"]["value"]
    assert score["test"]["share found, Lying"]["cases"] == 15
    assert score["test"]["accuracy of a coin"] == {"value": 0.5, "cases": 30}
    assert table in (tmp_path / "docs/README.md").read_text()
    assert len((tmp_path / "SHA256SUMS").read_text().splitlines()) == 4

    facts = facts_of(tmp_path)
    assert facts["settings"]["temperature"] != 1.0
    assert 0 < facts["settings"]["operating_point"]["threshold"] < 1

    assert main(recipe, ["--data", str(tmp_path), "--score-only"]) == table

    score["test"]["accuracy"]["value"] -= 0.01
    (tmp_path / "docs/score.json").write_text(json.dumps(score))
    with pytest.raises(SystemExit, match="accuracy"):
        main(recipe, ["--data", str(tmp_path), "--score-only"])


def test_the_golden_picture_gives_its_probabilities_again(tmp_path: Path) -> None:
    """They are computed from what is stored, not from what it was before rounding."""
    torch.set_num_threads(1)
    main(recipe_in(tmp_path), ["--data", str(tmp_path), "--minutes", "0.02"])
    facts, network = facts_of(tmp_path), shipped_network(tmp_path)
    with np.load(tmp_path / "golden/golden.npz") as golden:
        image, expected = golden["image"], golden["probabilities"]
    given = network_input(torch.from_numpy(image), facts)[None, None]
    with torch.inference_mode():
        found = (network(given)[0].double() / facts["settings"]["temperature"]).softmax(0)
    assert np.abs(found.numpy() - expected).max() < 1e-4
    again = golden_of(network, stripes(30, 3), facts)
    assert np.array_equal(again[0].numpy(), image)


def test_an_oblong_picture_keeps_its_aspect_and_is_padded_at_the_end() -> None:
    """As the node places frames: at the top left, with the lowest value after it."""
    facts = YAML(typ="safe").load(FACTS)
    wide = Picture(name="wide", image=np.full((20, 40), 50, np.float32), label=0, group="1")
    given = network_input(on_grid(wide, facts), facts)
    assert tuple(given.shape) == (16, 16)
    assert torch.allclose(given[:8], torch.tensor(0.5))
    assert not given[8:].any()


def test_classes_are_drawn_as_often_as_they_occur() -> None:
    """Evened out, the probabilities would be those of another mixture."""
    examples = [(torch.zeros(16, 16), int(n == 0)) for n in range(10)]
    generator = torch.Generator().manual_seed(1)
    images, labels = draw(examples, PLAN, generator)
    for _ in range(40):
        labels = torch.cat([labels, draw(examples, PLAN, generator)[1]])
    assert tuple(images.shape) == (16, 1, 16, 16)
    assert 0.05 < float(labels.float().mean()) < 0.15
