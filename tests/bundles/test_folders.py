"""Every model folder that we ship is whole, honest and runs."""

import hashlib
import json
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.sr._concepts_dict import concepts

from dicom_ai_node.domain.errors import ModelUnusable
from dicom_ai_node.domain.findings import Segmentation
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.resample import placed
from dicom_ai_node.training import folder as model_folder
from dicom_ai_node.training.case import Case
from dicom_ai_node.training.predict import labels_of
from dicom_ai_node.training.scores import dice
from tests.bundles.models import (
    BUNDLES,
    NAMES,
    SEGMENTERS,
    facts_of,
    spoilt_network,
)

CHANNELS: Mapping[str, Callable[[ModelFacts], int]] = {
    "segment": lambda facts: 1 + len(facts.segments),
    "classify": lambda facts: len(facts.classes),
    "fuse": lambda facts: len(facts.classes),
    "detect": lambda facts: len(facts.classes) + 4,
    "restore": lambda _facts: 1,
    "track": lambda facts: facts.settings["features"],
    "retrieve": lambda facts: int(facts.settings["length"]),
    "segment_instances": lambda _facts: 3,  # background, rim and core
}
"""What the network of a model of each kind gives."""
EVERY_MODEL = pytest.mark.parametrize("name", NAMES)
EVERY_SEGMENTER = pytest.mark.parametrize("name", SEGMENTERS)
MIB = 1024**2


def test_there_are_models() -> None:
    """Otherwise the tests below would be about nothing."""
    assert {"fetal_head_us", "hippocampus_mr", "ct_tissue"} <= set(SEGMENTERS)
    assert {facts_of(name).kind for name in NAMES} <= CHANNELS.keys()


@EVERY_MODEL
def test_the_checksums_are_those_of_the_files(name: str) -> None:
    """SHA256SUMS covers configs, weights and golden case, and nothing was changed after it."""
    folder = BUNDLES / name
    assert (folder / "SHA256SUMS").read_text() == model_folder.checksums(folder)


def test_the_node_vouches_for_every_model_that_comes_with_it() -> None:
    """`cd dicom_ai_node/bundles && sha256sum */SHA256SUMS > SHA256SUMS` writes the list anew."""
    assert (BUNDLES / "SHA256SUMS").read_text() == model_folder.listed(BUNDLES)


@EVERY_MODEL
def test_a_model_is_small_enough_for_a_repository(name: str) -> None:
    """Less than 8 MB each."""
    assert sum(path.stat().st_size for path in (BUNDLES / name).rglob("*")) < 8 * MIB


def test_all_models_together_are_small() -> None:
    """Less than 60 MB."""
    assert sum(path.stat().st_size for path in BUNDLES.rglob("*") if path.is_file()) < 60 * MIB


@EVERY_SEGMENTER
def test_the_weights_fit_the_network_and_give_one_channel_per_segment(name: str) -> None:
    """And one for the background, on the grid that went in."""
    facts = facts_of(name)
    grid = facts.window.roi_size if facts.window else facts.grid.size_px or (64, 80)
    logits = network(facts)(torch.zeros((1, len(facts.inputs) or 1, *grid)))
    assert tuple(logits.shape) == (1, 1 + len(facts.segments), *grid)
    assert bool(torch.isfinite(logits).all())


@EVERY_SEGMENTER
def test_the_golden_case_comes_out_as_it_did_at_release(name: str) -> None:
    """As the node checks it before a model takes work."""
    facts = facts_of(name)
    check_golden(facts, task_of(facts, network(facts)))


@EVERY_SEGMENTER
def test_the_golden_case_shows_every_segment(name: str) -> None:
    """A segment that is not in it could be broken without anyone noticing."""
    facts = facts_of(name)
    with np.load(facts.folder / facts.golden.file) as golden:
        assert set(np.unique(golden["labels"])) == {0, *(s.number for s in facts.segments)}


@EVERY_SEGMENTER
def test_weights_that_were_changed_fail_the_golden_case(name: str) -> None:
    """The golden case is not one that anything would pass."""
    facts = facts_of(name)
    with pytest.raises(ModelUnusable, match="golden"):
        check_golden(facts, task_of(facts, spoilt_network(facts)))


@EVERY_SEGMENTER
def test_the_codes_are_those_of_the_dictionary(name: str) -> None:
    """Each SNOMED code stands in pydicom's dictionary under the meaning that we give it."""
    meanings = {
        (scheme, value): {meaning.casefold() for meaning, _ in entries.values()}
        for scheme, keywords in concepts.items()
        for value, entries in _by_value(keywords).items()
    }
    for segment in facts_of(name).segments:
        for code in filter(None, (segment.category, segment.type, segment.modifier)):
            found = meanings[(code.scheme_designator, code.value)]
            assert code.meaning.casefold() in found


def _by_value(
    keywords: dict[str, dict[str, tuple[str, list[int]]]],
) -> dict[str, dict[str, tuple[str, list[int]]]]:
    values: dict[str, dict[str, tuple[str, list[int]]]] = {}
    for keyword, entries in keywords.items():
        for value, entry in entries.items():
            values.setdefault(value, {})[keyword] = entry
    return values


@EVERY_MODEL
def test_the_bundle_metadata_agree_with_the_facts(name: str) -> None:
    """The same version, and as many output channels as models of this kind have."""
    facts = facts_of(name)
    metadata = json.loads((facts.folder / "configs/metadata.json").read_text())
    needed = {
        "version", "monai_version", "pytorch_version", "numpy_version", "task", "description",
        "authors", "copyright", "data_source", "intended_use", "network_data_format",
    }  # fmt: skip
    assert needed <= metadata.keys()
    assert metadata["version"] == facts.version
    output = metadata["network_data_format"]["outputs"]["pred"]
    channels = CHANNELS[facts.kind](facts)
    assert output["num_channels"] == channels
    assert len(output["channel_def"]) == (1 if facts.kind == "retrieve" else channels)
    assert "research use only" in metadata["intended_use"].casefold()


@EVERY_MODEL
def test_the_card_tells_the_scores_of_these_weights(name: str) -> None:
    """The table is the one in score.json, and score.json is about the weights that lie here."""
    folder = BUNDLES / name
    score = json.loads((folder / "docs/score.json").read_text())
    assert (
        score["weights_sha256"]
        == hashlib.sha256((folder / "models/model.safetensors").read_bytes()).hexdigest()
    )
    assert (score["model"], score["version"]) == (name, facts_of(name).version)
    assert model_folder.score_table(score["test"]) in (folder / "docs/README.md").read_text()


@EVERY_MODEL
def test_the_card_tells_what_a_user_must_know(name: str) -> None:
    """What it may be used for, what it was made from, where it ends, how to make it again."""
    card = (BUNDLES / name / "docs/README.md").read_text()
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert {"Data and licence", "Split", "Scores", "Limits", "Make it again"} <= set(headings)
    assert "RESEARCH USE ONLY" in card
    assert "published" in card.casefold()
    assert f"python dicom_ai_node/bundles/{name}/configs/train.py --data" in card


@EVERY_SEGMENTER
def test_every_segment_has_a_score_on_held_out_data(name: str) -> None:
    """No structure is shipped that nobody has measured."""
    score = json.loads((BUNDLES / name / "docs/score.json").read_text())
    for segment in facts_of(name).segments:
        assert any(key.startswith(f"Dice, {segment.label}") for key in score["test"])


FRAME_MODELS = [name for name in SEGMENTERS if facts_of(name).sees is not Sees.VOLUME]


@pytest.mark.parametrize("name", FRAME_MODELS)
def test_the_node_gives_what_the_recipe_scored(name: str) -> None:
    """Two programs follow the grid rules; on a frame of another size their results agree."""
    facts = facts_of(name)
    with np.load(facts.folder / facts.golden.file) as golden:
        frames = golden["image"] if golden["image"].ndim == 3 else golden["image"][None]
    frames = np.repeat(np.repeat(frames, 2, axis=1), 2, axis=2)[:, 3:, 5:]
    spacing_mm = tuple(s / 2 for s in facts.grid.spacing_mm or (1.0, 1.0))
    image = _frames(frames, (spacing_mm[0], spacing_mm[1]))
    there = placed(image, facts.grid)
    task = task_of(facts, network(facts))
    found = task({"image": there.image}, {"keep_probabilities": True}).segmentation
    assert found is not None
    ours = _back(there.back(found))
    plain = model_folder.facts_of(facts.folder)
    shipped = model_folder.shipped_network(facts.folder)
    for labels, frame in zip(ours, frames, strict=True):
        case = Case(name="frame", image=frame, labels=labels, spacing_mm=spacing_mm)
        scored = labels_of(shipped, case, plain)
        for segment in facts.segments:
            assert dice(scored, labels, segment.number) > 0.995


def _back(segmentation: Segmentation) -> np.ndarray:
    return segmentation.labels


def _frames(frames: np.ndarray, spacing_mm: tuple[float, float]) -> Frames:
    return Frames(
        array=np.ascontiguousarray(frames),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("2.25.1"), n + 1) for n in range(len(frames))),
        spacing_mm=spacing_mm,
        region=(0, frames.shape[1], 0, frames.shape[2]),
    )


def test_no_model_folder_brings_code_that_the_node_would_run() -> None:
    """The recipe is the only Python in it, and no stage of the node imports a recipe."""
    python = {path.name for path in BUNDLES.rglob("*.py")}
    assert python == {"train.py"}
    package = BUNDLES.parent
    stages = chain.from_iterable(
        (package / stage).rglob("*.py")
        for stage in ("infer", "tasks", "encode", "route", "deliver")
    )
    assert not [path for path in stages if _imports_a_recipe(path)]


def _imports_a_recipe(path: Path) -> bool:
    text = path.read_text()
    return "dicom_ai_node.bundles" in text or "dicom_ai_node.training" in text
