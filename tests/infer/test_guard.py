"""The guard: attacks on the shipped networks are noticed, and what follows is the route's choice."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom

from dicom_ai_node.domain.errors import ModelUnusable, Rejected
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Volume
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.reject import RejectCode, Who
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.golden import golden_images
from dicom_ai_node.infer.guard import Guard, guarded, tolerated, words
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.looked_at import asked, looked_at
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.run import run_inference
from dicom_ai_node.samples.studies import write_samples
from dicom_ai_node.training.attack import Attack, attacked, displacement
from tests import phantoms
from tests.attacked import BUNDLES, MODEL, xray


def _run(
    folder: Path, paths: list[Path], options: Mapping[str, Option], model: str = MODEL
) -> Findings:
    facts = Catalog([BUNDLES]).facts(model)
    net = network(facts)
    order = InferenceOrder(
        kind=facts.kind,
        model=facts.name,
        model_digest=facts.digest,
        inputs={"image": tuple(paths)},
        options=options,
    )
    return run_inference(order, facts, task_of(facts, net), Guard(facts, net))


def _xray(folder: Path, reach: int, options: Mapping[str, Option] | None = None) -> Findings:
    return _run(folder, phantoms.write(xray(reach=reach), folder), options or {})


def test_an_unharmed_image_passes_and_says_what_was_measured(tmp_path: Path) -> None:
    """Both scores lie below their thresholds, and the notes have nothing to tell."""
    found = _xray(tmp_path, 0)
    assert found.quality is not None
    assert [check.is_over for check in found.quality.checks] == [False, False]
    assert found.quality.sources == found.classification.sources  # type: ignore[union-attr]
    assert not any("the input" in note for note in found.notes)


@pytest.mark.parametrize("reach", [4, 8])
def test_an_attack_on_the_shipped_network_is_noticed(reach: int, tmp_path: Path) -> None:
    """The answer turns, but by default the report warns of the input."""
    clean, harmed = _xray(tmp_path / "a", 0), _xray(tmp_path / "b", reach)
    assert clean.classification is not None
    assert harmed.classification is not None
    if reach == 8:
        assert clean.classification.present != harmed.classification.present
    assert harmed.quality is not None
    assert harmed.quality.checks[0].is_over
    assert any("the input looks manipulated" in note for note in harmed.notes)


def test_an_input_can_be_smoothed_before_the_model_sees_it(tmp_path: Path) -> None:
    """The notes say so, and the probability of the true class rises again."""
    warned, softened = (_xray(tmp_path / wish, 8, {"guard": wish}) for wish in ("warn", "purify"))
    assert softened.quality is not None
    assert softened.quality.is_purified
    assert "the model saw a smoothed copy of the input" in softened.notes
    true = _xray(tmp_path / "clean", 0).classification
    assert true is not None
    before, after = (
        found.classification.probabilities[true.present]  # type: ignore[union-attr]
        for found in (warned, softened)
    )
    assert after > before


def test_an_input_can_be_refused(tmp_path: Path) -> None:
    """A person has to look, and what was measured is kept for the report."""
    with pytest.raises(Rejected, match="the input looks manipulated") as caught:
        _xray(tmp_path, 8, {"guard": "refuse"})
    assert caught.value.code is RejectCode.IN_MANIPULATED
    assert caught.value.who is Who.PERSON
    assert caught.value.quality is not None
    assert caught.value.quality.is_flagged


def test_an_unharmed_image_is_neither_smoothed_nor_refused(tmp_path: Path) -> None:
    """What the guard does not report it does not touch: the probabilities are the same."""
    answers = {
        _xray(tmp_path / wish, 0, {"guard": wish}).classification
        for wish in ("off", "warn", "purify", "refuse")
    }
    assert len(answers) == 1


def test_a_guard_that_is_off_measures_nothing(tmp_path: Path) -> None:
    """Not even where it would have found something."""
    assert _xray(tmp_path, 8, {"guard": "off"}).quality is None


def test_an_image_of_another_kind_is_called_unfamiliar(tmp_path: Path) -> None:
    """Stripes are no chest: nobody manipulated them, but the model has never seen their like."""
    stripes = np.tile(np.array([0, 255], np.uint16), (28, 14))
    made = xray(PixelData=stripes.tobytes())
    found = _run(tmp_path, phantoms.write(made, tmp_path), {"guard": "warn"})
    assert found.quality is not None
    assert found.quality.checks[1].is_over


def test_a_grown_up_chest_is_unfamiliar_and_not_manipulated(tmp_path: Path) -> None:
    """The model has seen children only; the sample film is of an adult, and nobody changed it."""
    (path,) = [path for path in write_samples(tmp_path) if path.parent.name == "cr-chest"]
    quality = _run(tmp_path, [path], {}).quality
    assert quality is not None
    assert [check.is_over for check in quality.checks] == [False, True]


def test_many_slices_are_allowed_some_chance(tmp_path: Path) -> None:
    """No series is reported because it is long: one alarm in a hundred holds for it as a whole."""
    assert tolerated(1) == 0
    for items in (1, 2, 10, 200, 1000):
        assert binom.sf(tolerated(items), items, 0.005) <= 0.005


def test_a_guard_that_names_no_layer_of_its_network_is_unusable() -> None:
    """The operator hears of it when the model is loaded."""
    facts = Catalog([BUNDLES]).facts(MODEL)
    with pytest.raises(ModelUnusable, match="no layer layer2"):
        Guard(facts, network(Catalog([BUNDLES]).facts("fetal_head_us")))


FUSING = "petct_understanding"


def _attacked_ct(reach: int) -> tuple[Guard, dict[str, Volume]]:
    """Return golden PET and CT of which only the CT was attacked, by its grey values."""
    facts = Catalog([BUNDLES]).facts(FUSING)
    net = network(facts).requires_grad_(requires_grad=False)
    images = golden_images(facts)
    items = torch.from_numpy(looked_at(images, facts).items)
    harm = attacked(
        items,
        tuple(items.shape[2:]),
        displacement(asked(facts, net), items),
        Attack(reach=reach / 255, steps=20),
        torch.Generator().manual_seed(2),
        slice(1, 2),
    )
    low, high = facts.input("ct").intensity.low, facts.input("ct").intensity.high
    ct, pet = images["ct"], images["pet"]
    assert isinstance(ct, Volume)
    assert isinstance(pet, Volume)
    change = (harm - items)[0, 1].numpy() * (high - low)
    return Guard(facts, net), {"pet": pet, "ct": replace(ct, array=ct.array + change)}


def test_of_several_inputs_the_one_that_was_attacked_is_named_and_smoothed() -> None:
    """The other one reaches the task as it came."""
    guard, images = _attacked_ct(8)
    seen, quality = guarded(images, guard, {"guard": "purify"})
    assert quality is not None
    assert quality.checks[0].is_over
    assert quality.checks[0].of == "ct"
    assert any("the input ct looks manipulated" in word for word in words(quality))
    assert not np.array_equal(seen["ct"].array, images["ct"].array)
    assert guard.quality(images)["pet"].checks[0].score < quality.checks[0].score


def test_of_several_unharmed_inputs_none_is_reported() -> None:
    """Both pass, and the quality speaks of the sources of both."""
    guard, images = _attacked_ct(0)
    seen, quality = guarded(images, guard, {"guard": "purify"})
    assert quality is not None
    assert not quality.is_flagged
    assert seen is images
    assert set(quality.sources) == {*images["pet"].sources, *images["ct"].sources}
