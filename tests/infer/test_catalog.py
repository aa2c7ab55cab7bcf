"""A model is a folder: what is wrong with it is told in full, and nothing in it is run."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.domain.model import Golden, Scaling, Sees
from dicom_ai_node.domain.rule import Between
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.training.folder import listed
from tests.model_folders import CLASSES, SEGMENT, class_model, pair_model, seal, threshold_model

BUNDLES = Path(__file__).parents[2] / "dicom_ai_node/bundles"


def test_a_model_is_found_by_its_folder_and_named_by_its_content(tmp_path: Path) -> None:
    """The digest of a model is the sha256 of SHA256SUMS, so any change makes another model."""
    folder = threshold_model(
        tmp_path, requires={"slices": {"min": 8}}, settings={"largest_only": True}
    )
    catalog = Catalog([tmp_path])
    assert catalog.names() == ("bright_ct",)
    found = catalog.facts("bright_ct")
    assert found.digest == hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()
    assert found.sees is Sees.VOLUME
    assert found.intensity.scaling is Scaling.WINDOW
    assert found.grid.spacing_mm == (2.5, 0.8, 0.8)
    assert found.requires == {"slices": Between(8, None)}
    assert found.segments[0].type.value == "4147007"
    assert found.settings == {"largest_only": True}


def test_every_mistake_in_the_facts_is_told_at_once(tmp_path: Path) -> None:
    """The operator does not learn of the second mistake after mending the first."""
    threshold_model(
        tmp_path,
        sees="everything",
        colour="red",
        version=None,
        measure=["volume", "mood"],
        grid={"spacing_mm": [1.0, -1.0, 1.0]},
        requires={"slces": {"min": 8}, "slices": {"least": 8}},
        segments=[
            {**SEGMENT, "number": 2, "type": ["4147008", "SCT", "Mass"], "colour_rgb": [256, 0, 0]}
        ],
    )
    with pytest.raises(ConfigError) as caught:
        Catalog([tmp_path]).facts("bright_ct")
    told = str(caught.value).splitlines()
    for part in (
        "bright_ct.sees: must be one of volume, slices, frames",
        "bright_ct.colour: unknown key",
        "bright_ct.version: is missing",
        "bright_ct.measure: there is no mood",
        "bright_ct.grid.spacing_mm: must be a list of",
        "bright_ct.requires.slces: is neither",
        "bright_ct.requires.slices: must be a value",
        "bright_ct.segments: numbers must run from 1",
        "bright_ct.segments[0].type: 4147008 is no code of SCT",
        "bright_ct.segments[0].colour_rgb: must be three whole numbers",
    ):
        assert any(line.startswith(part) for line in told), part
    assert len(told) == 10


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        pytest.param(
            {"grid": {"size_px": [64, 64]}}, "a volume needs spacing_mm", id="a volume by pixels"
        ),
        pytest.param(
            {"grid": {"size_px": [64, 64], "spacing_mm": [1, 1]}, "sees": "frames"},
            "exactly one of",
            id="both grids",
        ),
        pytest.param(
            {"golden": {"file": "golden/golden.npz", "min_dice": 0}},
            "must be above 0",
            id="a golden test that cannot fail",
        ),
        pytest.param(
            {"golden": {"file": "../golden.npz", "min_dice": 0.9}},
            "is not in SHA256SUMS",
            id="a golden file outside of the folder",
        ),
        pytest.param(
            {"segments": [SEGMENT, {**SEGMENT, "number": 2}]},
            "two have the same type",
            id="two segments that nobody could tell apart",
        ),
        pytest.param({"name": "bright_mr"}, "", id="fits its folder"),
        pytest.param(
            {"window": {"roi_size": [8, 8], "overlap": 0.5}},
            "must be a list of 3 numbers",
            id="a flat window in a volume",
        ),
        pytest.param(
            {"intensity": {"scaling": "percentile", "low": 1, "high": 200}},
            "between 0 and 100",
            id="an impossible percentile",
        ),
        pytest.param({"settings": "none"}, "must be a mapping", id="settings that are none"),
    ],
)
def test_facts_that_contradict_each_other_are_refused(
    tmp_path: Path, changes: dict[str, Any], mistake: str
) -> None:
    """Each value may be possible, and the whole is not."""
    folder = threshold_model(tmp_path, **changes)
    if not mistake:
        assert Catalog([tmp_path]).facts(folder.name).name == folder.name
        return
    with pytest.raises(ConfigError, match=mistake):
        Catalog([tmp_path]).facts(folder.name)


def test_a_model_with_several_inputs_says_what_it_asks_of_each(tmp_path: Path) -> None:
    """One of them is the reference; of a model with one input every name is asked the same."""
    pair_model(tmp_path)
    threshold_model(tmp_path)
    catalog = Catalog([tmp_path])
    pair, alone = catalog.facts("bright_pair"), catalog.facts("bright_ct")
    assert set(pair.modality) == {"PT", "CT"}
    assert set(pair.inputs) == {"pet", "ct"}
    assert pair.intensity == pair.input("pet").intensity
    assert (pair.input("ct").modality, pair.input("ct").outside) == (("CT",), -1000)
    assert pair.misfits(["ct", "pet"]) == ""
    assert pair.misfits(["ct", "pt"]) == "bright_pair takes the inputs ct, pet, not ct, pt"
    assert alone.input("whatever").modality == ("CT",)
    assert alone.misfits(["whatever"]) == ""
    assert alone.misfits(["ct", "pet"]) == "bright_ct takes one input, not 2"


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        pytest.param({"reference": "mr"}, "reference: must be one of ct, pet", id="no such input"),
        pytest.param({"reference": None}, "reference: is missing", id="no reference"),
        pytest.param({"modality": ["PT"]}, "modality: unknown key", id="modality said twice"),
        pytest.param(
            {"sees": "frames", "grid": {"spacing_mm": [1, 1]}}, "only volumes", id="frames"
        ),
        pytest.param({"inputs": {"pet": {"modality": []}}}, "must be two at least", id="only one"),
        pytest.param(
            {"inputs": {"pet": 1, "ct": 2}}, "inputs.pet: must be a mapping", id="numbers"
        ),
    ],
)
def test_inputs_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, Any], mistake: str
) -> None:
    """Before anybody waits for a partner that no model can use."""
    folder = pair_model(tmp_path, **changes)
    with pytest.raises(ConfigError, match=mistake):
        Catalog([tmp_path]).facts(folder.name)


def test_a_model_that_classifies_tells_its_classes(tmp_path: Path) -> None:
    """With what the task, the report and the golden test need of it."""
    class_model(tmp_path)
    found = Catalog([tmp_path]).facts("bright_cxr")
    assert [item.label for item in found.classes] == ["Pneumonia", "Normal"]
    assert [item.type.value for item in found.classes] == ["233604007", "17621005"]
    assert found.classes[0].site is not None
    assert found.classes[1].site is None
    assert found.settings["temperature"] == 1.5
    assert found.golden == Golden(file="golden/golden.npz", max_difference=0.02)
    assert found.segments == ()


def test_every_mistake_about_classes_is_told_at_once(tmp_path: Path) -> None:
    """Codes and labels are checked before anything is loaded."""
    class_model(
        tmp_path,
        classes=[
            {**CLASSES[0], "label": "x" * 65, "number": 1},
            {"label": "y", "type": ["17621006", "SCT", "Normal"]},
            {"label": "y", "type": ["17621006", "SCT", "Normal"]},
        ],
        golden={"file": "golden/golden.npz", "most": 0.9},
    )
    with pytest.raises(ConfigError) as caught:
        Catalog([tmp_path]).facts("bright_cxr")
    told = str(caught.value).splitlines()
    wanted = (
        "bright_cxr.classes[0].label: has more than 64 characters",
        "bright_cxr.classes[0].number: unknown key",
        "bright_cxr.classes[1].type: 17621006 is no code of SCT",
        "bright_cxr.classes[2].type: 17621006 is no code of SCT",
        "bright_cxr.classes: two have the same label",
        "bright_cxr.classes: two have the same type and site",
        "bright_cxr.golden: one of min_dice and max_difference must be given",
        "bright_cxr.golden.most: unknown key",
    )
    for part in wanted:
        assert any(line.startswith(part) for line in told), part
    assert len(told) == len(wanted)


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        pytest.param(
            {"classes": [{"label": str(n), "type": CLASSES[0]["type"]} for n in range(101)]},
            "at most 100",
            id="too many",
        ),
        pytest.param({"classes": "Pneumonia"}, "classes: must be a list", id="a name"),
        pytest.param(
            {"golden": {"file": "golden/golden.npz", "max_difference": 0}},
            "above 0",
            id="a golden test that nobody passes",
        ),
    ],
)
def test_classes_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, Any], mistake: str
) -> None:
    """One at a time."""
    classes = changes.get("classes", CLASSES)
    folder = class_model(tmp_path)
    content = YAML(typ="safe").load(folder / "configs/dicom.yaml") | changes
    content["classes"] = classes
    with (folder / "configs/dicom.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    seal(folder)
    with pytest.raises(ConfigError, match=mistake):
        Catalog([tmp_path]).facts("bright_cxr")


def test_a_missing_file_is_a_mistake_of_the_operator(tmp_path: Path) -> None:
    """All files that are missing are named, before any series comes."""
    folder = threshold_model(tmp_path)
    (folder / "models/model.safetensors").unlink()
    (folder / "golden/golden.npz").unlink()
    with pytest.raises(ConfigError) as caught:
        Catalog([tmp_path]).facts("bright_ct")
    assert "models/model.safetensors is missing" in str(caught.value)
    assert "golden/golden.npz is missing" in str(caught.value)


def test_text_that_is_no_yaml_is_a_mistake_and_no_crash(tmp_path: Path) -> None:
    """A tab or a bracket too many is told like any other mistake."""
    folder = threshold_model(tmp_path)
    (folder / "configs/dicom.yaml").write_text("name: [")
    seal(folder)
    with pytest.raises(ConfigError, match="is not YAML"):
        Catalog([tmp_path]).facts("bright_ct")


def test_a_folder_that_cannot_be_read_keeps_no_other_from_work(tmp_path: Path) -> None:
    """Results of the others are still known as our own when they come back."""
    threshold_model(tmp_path)
    broken = threshold_model(tmp_path, name="half_copied")
    (broken / "SHA256SUMS").unlink()
    catalog = Catalog([tmp_path])
    assert catalog.device_uids() == {catalog.facts("bright_ct").device_uid}
    with pytest.raises(ConfigError, match="half_copied"):
        catalog.facts("half_copied")


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    """A folder of the hospital cannot replace a shipped model without anyone noticing."""
    for parent in ("a", "b"):
        threshold_model(tmp_path / parent)
    with pytest.raises(ConfigError, match="two models"):
        Catalog([tmp_path / "a", tmp_path / "b"])


def test_an_unknown_model_is_told_with_those_there_are(tmp_path: Path) -> None:
    """A typing mistake in a route is easy to see."""
    threshold_model(tmp_path)
    with pytest.raises(ConfigError, match="bright_ct"):
        Catalog([tmp_path]).facts("brigth_ct")


@pytest.mark.parametrize(
    "name",
    [
        "configs/metadata.json",
        "configs/inference.json",
        "configs/dicom.yaml",
        "models/model.safetensors",
        "golden/golden.npz",
    ],
)
def test_one_flipped_bit_anywhere_makes_a_model_unusable(tmp_path: Path, name: str) -> None:
    """The error names the file and the sha256 that it must have."""
    folder = threshold_model(tmp_path)
    catalog = Catalog([tmp_path])
    catalog.verify("bright_ct")
    content = bytearray((folder / name).read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ModelUnusable) as caught:
        catalog.verify("bright_ct")
    assert name in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("0" * 64 + "  ../../etc/passwd", id="a path out of the folder"),
        pytest.param("0" * 64 + "  /etc/passwd", id="an absolute path"),
        pytest.param("no sums at all", id="no sums"),
    ],
)
def test_sums_that_lead_elsewhere_are_refused(tmp_path: Path, line: str) -> None:
    """SHA256SUMS is data from outside like everything else."""
    folder = threshold_model(tmp_path)
    with (folder / "SHA256SUMS").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ModelUnusable):
        Catalog([tmp_path]).verify("bright_ct")


@pytest.mark.parametrize("harm", ["changed and sealed again", "not sealed", "another one beside"])
def test_a_shipped_model_is_the_one_that_was_shipped(tmp_path: Path, harm: str) -> None:
    """Whoever can write a model can write its sums; the list beside the models is of the release."""
    models = tmp_path / "bundles"
    name = "ct_tissue"
    folder = Path(shutil.copytree(BUNDLES / name, models / name))
    (models / "SHA256SUMS").write_text(listed(models))
    assert Catalog([models]).facts(name)
    match harm:
        case "changed and sealed again":
            weights = folder / "models/model.safetensors"
            weights.write_bytes(weights.read_bytes()[:-1] + b"?")
            seal(folder)
        case "not sealed":
            (folder / "SHA256SUMS").unlink()
        case _:
            name = threshold_model(models).name
    with pytest.raises(ConfigError, match=r"not the model that came with the node|cannot be read"):
        Catalog([models]).facts(name)
    (models / "SHA256SUMS").write_text("no sums")
    with pytest.raises(ConfigError, match="cannot be used"):
        Catalog([models])


@pytest.mark.parametrize("name", sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()))
def test_every_model_that_we_ship_is_whole(name: str) -> None:
    """Facts, files and sums of the shipped models agree."""
    catalog = Catalog([BUNDLES])
    catalog.verify(name)
    assert catalog.facts(name).parameters
