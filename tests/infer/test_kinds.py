"""Every kind of task reads its own settings, and says at once all that is wrong with them."""

from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.explaining import Explain
from dicom_ai_node.domain.findings import OperatingPoint
from dicom_ai_node.domain.pictures import Explained
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.kinds import settings_of
from dicom_ai_node.tasks.classify import Settings as OfClassify
from dicom_ai_node.tasks.detect import Settings as OfDetect
from dicom_ai_node.tasks.segment import Settings as OfSegment
from tests.model_folders import (
    BOX_CLASSES,
    CLASSES,
    SEGMENT,
    box_model,
    class_model,
    threshold_model,
)


def test_a_model_that_segments_says_what_to_tidy(tmp_path: Path) -> None:
    """And nothing is tidied where it says nothing."""
    threshold_model(tmp_path / "a", settings={"largest_only": True})
    threshold_model(tmp_path / "b")
    one, other = (Catalog([tmp_path / name]).facts("bright_ct") for name in "ab")
    assert settings_of(one) == OfSegment(largest_only=True)
    assert settings_of(other) == OfSegment()


def test_a_model_that_classifies_says_how_it_decides(tmp_path: Path) -> None:
    """Or takes logits as they are, the likeliest class, and explains nothing."""
    class_model(tmp_path / "a")
    class_model(tmp_path / "b", settings=None)
    one, other = (Catalog([tmp_path / name]).facts("bright_cxr") for name in "ab")
    assert settings_of(one) == OfClassify(
        temperature=1.5,
        operating_point=OperatingPoint(label="Pneumonia", threshold=0.4),
        explain=Explain(method=Explained.GRAD_CAM, layer="layer4"),
    )
    assert settings_of(other) == OfClassify()


def test_a_model_that_detects_says_what_its_heat_means(tmp_path: Path) -> None:
    """One class is enough: a model may look for one thing alone."""
    box_model(tmp_path / "a", classes=BOX_CLASSES[:1])
    assert settings_of(Catalog([tmp_path / "a"]).facts("bright_boxes")) == OfDetect(
        slope=0.5,
        offset=-1.0,
        threshold=0.4,
        limit=3,
        explain=Explain(method=Explained.GRAD_CAM, layer="model.0"),
    )
    class_model(tmp_path / "b", classes=CLASSES[:1])
    with pytest.raises(ConfigError, match="at least 2 classes"):
        settings_of(Catalog([tmp_path / "b"]).facts("bright_cxr"))


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """What belongs to a model of another kind is one of them."""
    class_model(
        tmp_path,
        sees="volume",
        grid={"spacing_mm": [1.0, 1.0, 1.0]},
        segments=[SEGMENT],
        measure=["area"],
        window={"roi_size": [8, 8, 8]},
        settings={
            "temperature": -1,
            "operating_point": {"label": "z", "threshold": 1.5, "sure": True},
            "explain_layer": 4,
            "most_certain_of": "z",
            "fill_holes": True,
        },
    )
    with pytest.raises(ConfigError) as caught:
        settings_of(Catalog([tmp_path]).facts("bright_cxr"))
    told = str(caught.value).splitlines()
    wanted = (
        "bright_cxr.segments: is nothing that a model of kind classify has",
        "bright_cxr.measure: is nothing that",
        "bright_cxr.window: is nothing that",
        "bright_cxr.settings: a model that classifies sees slices or frames",
        "bright_cxr.settings.temperature: must be above 0",
        "bright_cxr.settings.operating_point.label: must be one of",
        "bright_cxr.settings.operating_point.threshold: must be above 0 and at most 1",
        "bright_cxr.settings.operating_point.sure: unknown key",
        "bright_cxr.settings.explain_layer: must be a text",
        "bright_cxr.settings.most_certain_of: must be one of",
        "bright_cxr.settings.fill_holes: unknown key",
    )
    for part in wanted:
        assert any(line.startswith(part) for line in told), part
    assert len(told) == len(wanted)


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        pytest.param({"segments": None}, "segments: is missing", id="nothing to segment"),
        pytest.param({"classes": CLASSES}, "classes: is nothing", id="classes"),
        pytest.param(
            {"settings": {"temperature": 1.5}}, "temperature: unknown key", id="a temperature"
        ),
        pytest.param(
            {"settings": {"fill_holes": "no"}},
            "must be true or false",
            id="a text where yes or no is asked",
        ),
        pytest.param(
            {"settings": {"outline": {"part_of_rise": 1.5}}},
            "outline: part_of_rise must lie between 0 and 1",
            id="an outline above the maximum",
        ),
        pytest.param(
            {"settings": {"outline": {"fraction": 0.4}}},
            "part_of_rise: is missing",
            id="an outline without its part",
        ),
        pytest.param({"kind": "subprocess"}, "there is no task of kind", id="no kind"),
    ],
)
def test_a_word_that_the_kind_does_not_know_is_a_mistake(
    tmp_path: Path, changes: dict[str, object], mistake: str
) -> None:
    """A word that is silently ignored is worse than an error."""
    threshold_model(tmp_path, **changes)
    with pytest.raises(ConfigError, match=mistake):
        settings_of(Catalog([tmp_path]).facts("bright_ct"))
