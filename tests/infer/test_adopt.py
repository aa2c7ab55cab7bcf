"""A model from elsewhere is installed whole and proved, or not at all."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.infer.adopt import Place, adopt_folder, drafted
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.proposal import as_yaml, proposed, questions
from dicom_ai_node.infer.sealed import remove_folder
from tests import foreign
from tests.foreign_folders import FORMATS, adopted, threshold_file
from tests.model_folders import SEGMENT, definition, seal, threshold_model

AIR: dict[str, Any] = {"scaling": "window", "low": 0, "high": 10000}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_format_is_found_by_looking(tmp_path: Path, format_: str) -> None:
    """Nobody has to know what it is called, and no other format takes it for its own."""
    path = threshold_file(format_, tmp_path)
    assert drafted(path).format == format_
    for other in sorted({*FORMATS} - {format_}):
        with pytest.raises(ConfigError, match=f"is not {other}"):
            drafted(path, other)


def test_what_is_in_no_format_is_said_to_be_none(tmp_path: Path) -> None:
    """With those that there are. Weights alone are no network."""
    with pytest.raises(ConfigError, match="onnx, torch_export, torchscript"):
        drafted(tmp_path)
    bundle = foreign.monai_bundle(tmp_path / "zoo", foreign.threshold(), definition(3))
    with pytest.raises(ConfigError, match="not a model in any known format"):
        drafted(bundle / "models/model.pt")
    with pytest.raises(ConfigError, match="--axes up"):
        drafted(bundle, axes="up")


@pytest.mark.parametrize(
    ("format_", "asked"),
    [
        ("monai", {"manufacturer", "segments[0].category", "segments[0].type"}),
        (
            "nnunet",
            {
                "manufacturer", "network.axes", "grid.spacing_mm", "window.roi_size",
                "segments[0].category", "segments[0].type",
            },
        ),
        (
            "onnx",
            {
                "title", "manufacturer", "modality", "network.axes", "network.gives",
                "intensity.scaling", "intensity.low", "intensity.high", "grid.spacing_mm",
                "segments[0].label", "segments[0].category", "segments[0].type",
            },
        ),
    ],
)  # fmt: skip
def test_only_what_a_model_does_not_tell_is_asked(
    tmp_path: Path, format_: str, asked: set[str]
) -> None:
    """Every question stands in the draft with a hint, and the draft is YAML."""
    facts = proposed(drafted(threshold_file(format_, tmp_path)), "bright", "segment")
    assert set(questions(facts)) == asked
    text = as_yaml(facts)
    assert text.count("null") == text.count("null #") + text.count("null  #") == len(asked)
    assert YAML(typ="safe").load(text) == facts


def test_transforms_of_a_bundle_are_read_and_not_run(tmp_path: Path) -> None:
    """Spacing and window go from the axes of MONAI to (slice, row, column)."""
    facts = dict(drafted(threshold_file("monai", tmp_path)).facts)
    assert facts["network"] == {"format": "monai", "axes": "RAS", "gives": "logits"}
    assert facts["grid"] == {"spacing_mm": [2.5, 0.8, 0.8]}
    assert facts["window"]["roi_size"] == [16, 64, 48]
    assert facts["intensity"] == {"scaling": "window", "low": -160, "high": 240}


@pytest.mark.parametrize(
    ("transform", "intensity"),
    [
        (
            {"_target_": "ScaleIntensityRanged", "a_min": -100, "a_max": 300, "b_min": -1,
             "b_max": 1, "clip": True},
            {"scaling": "standard", "low": -100, "high": 300, "mean": 100, "deviation": 200},
        ),
        (
            {"_target_": "ScaleIntensityRanged", "a_min": 0, "a_max": 9, "b_min": 0, "b_max": 1},
            {"scaling": None, "low": 0, "high": 9},
        ),
        (
            {"_target_": "NormalizeIntensityd", "nonzero": True},
            {"scaling": "zscore", "pad": 0, "nonzero": True},
        ),
        (
            {"_target_": "monai.transforms.ScaleIntensityRangePercentilesd", "lower": 1, "upper": 99},
            {"scaling": "percentile", "low": 1, "high": 99},
        ),
        ({"_target_": "ScaleIntensityd"}, {"scaling": "percentile", "low": 0, "high": 100}),
        ({"_target_": "ScaleIntensityd", "_disabled_": True}, {"scaling": None, "low": None, "high": None}),
    ],
)  # fmt: skip
def test_what_scales_in_a_bundle_scales_here(
    tmp_path: Path, transform: dict[str, Any], intensity: dict[str, Any]
) -> None:
    """What is not clipped or not known is asked and never guessed."""
    bundle = foreign.monai_bundle(
        tmp_path / "zoo", foreign.threshold(), definition(3),
        preprocessing={"transforms": [transform]},
    )  # fmt: skip
    assert proposed(drafted(bundle), "a", None)["intensity"] == intensity


@pytest.mark.parametrize(
    ("changes", "dataset", "expected"),
    [
        pytest.param(
            {"transpose_forward": [2, 0, 1], "patch_size": [8, 12, 16], "spacing": [3, 2, 1]},
            {},
            {"axes": "RSA", "roi_size": [12, 16, 8], "spacing_mm": [2, 1, 3]},
            id="axes in another order",
        ),
        pytest.param(
            {"image_reader_writer": "NibabelIOWithReorient"},
            {},
            {"axes": "SAR", "roi_size": [12, 16, 16], "spacing_mm": [2.5, 0.8, 0.8]},
            id="a reader that turns every image the same way",
        ),
    ],
)
def test_plans_are_read_in_the_order_of_their_axes(
    tmp_path: Path, changes: dict[str, Any], dataset: dict[str, Any], expected: dict[str, Any]
) -> None:
    """nnU-Net puts the axis with the largest spacing first."""
    of = foreign.plans(**changes)
    built = foreign.nnunet_network(of)
    results = foreign.nnunet_folder(tmp_path / "results", of, {0: built}, **dataset)
    facts = drafted(results, axes="SAR").facts
    assert facts["network"]["axes"] == expected["axes"]
    assert facts["window"]["roi_size"] == expected["roi_size"]
    assert facts["grid"]["spacing_mm"] == expected["spacing_mm"]


@pytest.mark.parametrize(
    ("scheme", "masked", "intensity"),
    [
        ("CTNormalization", False, {"scaling": "standard", "low": -160, "high": 240, "mean": 40, "deviation": 100}),
        ("ZScoreNormalization", False, {"scaling": "zscore", "pad": 0}),
        ("ZScoreNormalization", True, {"scaling": "zscore", "pad": 0, "nonzero": True}),
        ("RescaleTo01Normalization", False, {"scaling": "percentile", "low": 0, "high": 100}),
        ("RGBTo01Normalization", False, {"scaling": "window", "low": 0, "high": 255}),
    ],
)  # fmt: skip
def test_intensities_are_scaled_as_the_plans_say(
    tmp_path: Path, scheme: str, masked: bool, intensity: dict[str, Any]
) -> None:
    """With the statistics of the training data where they were used."""
    of = foreign.plans(normalization_schemes=[scheme], use_mask_for_norm=[masked])
    results = foreign.nnunet_folder(tmp_path / "r", of, {0: foreign.nnunet_network(of)})
    assert drafted(results).facts["intensity"] == intensity


@pytest.mark.parametrize(
    ("changes", "dataset", "message"),
    [
        pytest.param({"previous_stage": "3d_lowres"}, {}, "another stage", id="a cascade"),
        pytest.param(
            {}, {"channel_names": {"0": "T1", "1": "T2"}}, "takes 2 channels", id="two channels"
        ),
        pytest.param(
            {}, {"labels": {"background": 0, "all": [1, 2]}}, "regions that overlap", id="regions"
        ),
        pytest.param({}, {"labels": {"background": 0, "a": 2}}, "without a gap", id="a gap"),
        pytest.param(
            {"normalization_schemes": ["MyNormalization"]}, {}, "not those of nnU-Net", id="own code"
        ),
        pytest.param({"patch_size": None}, {}, "not those of nnU-Net", id="no window"),
        pytest.param(
            {"patch_size": [16, 16], "transpose_forward": [1, 0, 2]}, {}, "not those of the images",
            id="slices across",
        ),
    ],
)  # fmt: skip
def test_results_that_this_node_cannot_repeat_are_refused(
    tmp_path: Path, changes: dict[str, Any], dataset: dict[str, Any], message: str
) -> None:
    """Before anything is installed, and with the reason."""
    of = foreign.plans(**changes)
    network_ = foreign.nnunet_network(foreign.plans())
    results = foreign.nnunet_folder(tmp_path / "results", of, {0: network_}, **dataset)
    with pytest.raises(ModelUnusable, match=message):
        drafted(results)


@pytest.mark.parametrize("format_", ["monai", "onnx", "nnunet"])
def test_a_model_is_installed_with_a_golden_test_that_it_passes(
    tmp_path: Path, format_: str
) -> None:
    """From its files alone, and the card claims nothing that nobody has measured."""
    facts = adopted(threshold_file(format_, tmp_path / "from"), tmp_path / "models", "bright")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["bright"]
    catalog = Catalog([tmp_path / "models"])
    catalog.verify("bright")
    check_golden(facts, task_of(facts, network(facts)))
    card = (facts.folder / "docs/README.md").read_text()
    assert "RESEARCH USE ONLY" in card
    assert "not that the model is right" in card
    if format_ == "monai":
        assert "Made in a test." in card


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        pytest.param({"modality": []}, ConfigError, "bright.modality: must name", id="facts"),
        pytest.param(
            {"settings": {"mood": 1}}, ConfigError, "settings.mood: unknown key", id="settings"
        ),
        pytest.param(
            {"segments": [SEGMENT, {**SEGMENT, "number": 2, "type": ["10200004", "SCT", "Liver"]}]},
            ModelUnusable,
            "did not give logits",
            id="another number of channels",
        ),
        pytest.param({"kind": "mood"}, ConfigError, "no task of kind", id="kind"),
    ],
)
def test_what_is_wrong_leaves_nothing_behind(
    tmp_path: Path, answers: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Neither a model nor half of one."""
    path = threshold_file("monai", tmp_path / "from")
    with pytest.raises(error, match=message):
        adopted(path, tmp_path / "models", "bright", **answers)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_model_that_says_nothing_to_noise_proves_nothing(tmp_path: Path) -> None:
    """Its golden test could not fail, so that it is not installed."""
    of, built = foreign.threshold_nnunet()
    built.decoder.seg_layers[0].bias.data[1] = -1e4
    results = foreign.nnunet_folder(tmp_path / "results", of, {0: built})
    with pytest.raises(ModelUnusable, match="finds nothing in 8 images of noise"):
        adopted(results, tmp_path / "models", "bright")


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """The model that is there stays as it is."""
    path = threshold_file("monai", tmp_path / "from")
    first = adopted(path, tmp_path / "models", "bright")
    with pytest.raises(ConfigError, match="there is a model of this name"):
        adopted(path, tmp_path / "models", "bright", title="Another")
    assert Catalog([tmp_path / "models"]).facts("bright").digest == first.digest


def test_a_folder_of_another_node_is_taken_as_it_is(tmp_path: Path) -> None:
    """If its files are as listed and its golden test holds on this machine."""
    theirs = threshold_model(tmp_path / "theirs")
    (theirs / "docs/README.md").write_text("# Theirs\n")
    ours = adopt_folder(theirs, Place(tmp_path / "models"))
    assert ours.digest == Catalog([tmp_path / "theirs"]).facts("bright_ct").digest
    assert (ours.folder / "docs/README.md").read_text() == "# Theirs\n"
    remove_folder(ours.folder)
    assert list((tmp_path / "models").iterdir()) == []
    (theirs / "configs/metadata.json").write_text("{}")
    with pytest.raises(ModelUnusable, match="has changed"):
        adopt_folder(theirs, Place(tmp_path / "models"))
    seal(theirs)
    assert adopt_folder(theirs, Place(tmp_path / "models")).name == "bright_ct"
