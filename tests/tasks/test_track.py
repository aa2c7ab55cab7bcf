"""The track task follows what a route points at, or what has the most texture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from scipy.ndimage import gaussian_filter, shift
from torch import nn

from dicom_ai_node.domain.errors import ConfigError, Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings, Segment, Trajectory
from dicom_ai_node.domain.image import Frames, Geometry, SourceFrame, Volume
from dicom_ai_node.domain.model import Golden, Grid, Intensity, ModelFacts, Scaling, Sees
from dicom_ai_node.domain.outline import Outline
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import Sha256, SOPInstanceUID
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.tasks.track import Settings, Track

ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
THING = Segment(number=1, label="Thing", category=ANATOMY, type=Code("2", "99TEST", "Thing"))
RULES = {
    "features": 2,
    "template_px": 9,
    "search_px": 6,
    "first_weight": 0.5,
    "half_at": 0.7,
    "per_similarity": 20.0,
    "per_px": 1.0,
}
FACTS = ModelFacts(
    name="toy",
    version="1",
    digest=Sha256("0" * 64),
    folder=Path(),
    kind="track",
    title="Toy",
    manufacturer="tests",
    modality=("US",),
    sees=Sees.FRAMES,
    intensity=Intensity(scaling=Scaling.WINDOW, low=0.0, high=100.0),
    grid=Grid(size_px=(64, 80)),
    golden=Golden(file="", max_difference=0.01),
    segments=(THING,),
    settings=RULES,
)
WAY = np.array([(0, 0), (1, -2), (3, -4), (4, -6), (2, -5)], np.float64)


class Toy(nn.Module):
    """Its features are the image and a constant, of which there are `constants`."""

    def __init__(self, constants: int = 1, value: float = 0.0) -> None:
        super().__init__()
        self.constants = constants
        self.value = value

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features."""
        ones = [torch.ones_like(images)] * self.constants
        return torch.cat([8 * (images - 0.4), *ones], dim=1) + self.value


def _settings(facts: ModelFacts = FACTS) -> tuple[Settings, list[str]]:
    w = Wording(facts.settings, "toy.settings")
    settings = Track.settings(w, facts)
    w.no_more()
    return settings, w.mistakes


def _task(network: nn.Module | None = None, facts: ModelFacts = FACTS) -> Track:
    return Track(facts, _settings(facts)[0], network or Toy())


def _cine(way: NDArray[np.float64] = WAY) -> Frames:
    """Return tissue with a bright block of 14 x 16 around (27, 42), moved along `way`."""
    tissue = gaussian_filter(np.random.default_rng(1).normal(size=(60, 80)), 1.5) * 60 + 40
    still = np.clip(tissue, 0, 75)
    still[20:34, 34:50] = np.clip(tissue[20:34, 34:50] + 60, 85, 100)
    frames = np.stack([shift(still, step, order=1, mode="nearest") for step in way])
    return Frames(
        array=frames.astype(np.float32),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(len(way))),
        spacing_mm=(0.5, 0.5),
        region=(0, 60, 0, 80),
        times_ms=tuple(40.0 * n for n in range(len(way))),
    )


def _followed(image: Frames, facts: ModelFacts = FACTS, **options: Option) -> Findings:
    return _task(facts=facts)({"image": image}, options)


def _at(row: float, column: float, way: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where a point of the first frame is on every frame."""
    return way + np.array([row, column])


def _path(found: Findings) -> Trajectory:
    (path,) = found.trajectories
    return path


def test_a_point_that_the_route_names_is_followed() -> None:
    """It has a trajectory, a confidence on every frame, and no pixels of its own."""
    found = _followed(_cine(), start="30, 20")
    path = _path(found)
    assert np.abs(path.points - _at(30, 20, WAY)).max() < 0.3
    assert path.confidence[0] == 1
    assert path.confidence.min() > 0.5
    assert path.of == THING
    assert (len(path.sources), path.times_ms) == (5, (0.0, 40.0, 80.0, 120.0, 160.0))
    assert found.segmentation is None
    assert found.notes == ("the place on the first frame is the one that the route names",)


def test_a_box_that_the_route_names_moves_as_a_whole() -> None:
    """Its pixels go with its middle."""
    found = _followed(_cine(), start="18, 14, 40, 30")
    path, segmentation = _path(found), found.segmentation
    assert np.abs(path.points - _at(29, 22, WAY)).max() < 0.3
    assert segmentation is not None
    assert segmentation.segments == (THING,)
    assert set(np.unique(segmentation.labels)) == {0, 1}
    rows, columns = np.nonzero(segmentation.labels[3])
    assert (rows.min(), columns.min()) == (22, 8)


@pytest.mark.parametrize("options", [{}, {"start": "auto"}])
def test_without_a_start_what_has_the_most_texture_is_followed(options: dict[str, Option]) -> None:
    """Up to four places, each with a name and a colour of its own, and without pixels."""
    found = _followed(_cine(), **options)
    assert len(found.trajectories) == 4
    assert {path.of.number for path in found.trajectories} == {1, 2, 3, 4}
    assert {path.of.label for path in found.trajectories} == {f"Thing {n}" for n in range(1, 5)}
    assert len({path.of.colour_rgb for path in found.trajectories}) == 4
    for path in found.trajectories:
        assert np.abs(path.points - path.points[0] - WAY).max() < 0.3
    assert found.segmentation is None
    assert found.notes == ("the place on the first frame is chosen by its texture",)


def _outlined(mask: NDArray[np.bool_], image: Frames, frame: int = 0) -> Findings:
    outline = Outline(mask=mask, frame=frame, segment=replace(THING, label="Heart"))
    return _task().starting(outline)({"image": image}, {})


def test_what_is_outlined_in_the_middle_is_followed_to_both_ends() -> None:
    """It keeps its name, and on its own frame its pixels."""
    mask = np.zeros((60, 80), np.bool_)
    mask[23:37, 30:46] = True
    found = _outlined(mask, _cine(), frame=2)
    path, segmentation = _path(found), found.segmentation
    assert np.abs(path.points - _at(29.5, 37.5, WAY - WAY[2])).max() < 0.3
    assert (path.of.label, path.confidence[2]) == ("Heart", 1)
    assert segmentation is not None
    assert np.array_equal(segmentation.labels[2] > 0, mask)
    assert segmentation.segments == (path.of,)


def test_an_outline_is_brought_to_the_pixels_that_the_model_sees() -> None:
    """Also one that is smaller than a pixel there; one where nothing is seen is refused."""
    placed = replace(_cine(), corner_px=(100.5, 50.5), step_px=(2.0, 2.0))
    mask = np.zeros((260, 240), np.bool_)
    mask[160, 90] = True
    assert np.abs(_path(_outlined(mask, placed)).points[0] - [30, 20]).max() <= 0.5
    beyond = np.zeros((260, 240), np.bool_)
    beyond[:90] = True
    with pytest.raises(Rejected) as refusal:
        _outlined(beyond, placed)
    assert refusal.value.code is RejectCode.SEG_UNUSABLE


def test_where_nothing_has_texture_nothing_is_followed() -> None:
    """Nothing found is an answer: a segmentation without pixels, and no path."""
    dark = replace(_cine(), array=np.full((5, 60, 80), 20, np.float32))
    found = _followed(dark)
    assert found.trajectories == ()
    assert found.segmentation is not None
    assert not found.segmentation.labels.any()
    assert "texture enough" in found.notes[0]


def test_a_place_is_named_in_pixels_of_the_source_whatever_the_grid() -> None:
    """An image that was cut and scaled is pointed at in the pixels that a person sees."""
    placed = replace(_cine(), corner_px=(100.0, 50.0), step_px=(2.0, 2.0))
    path = _path(_followed(placed, start="160, 90"))
    assert np.abs(path.points - _at(30, 20, WAY)).max() < 0.3


def test_what_is_lost_has_no_place_until_it_is_seen_again() -> None:
    """The curtain falls for a frame: no place is claimed, and no pixel labelled."""
    cine = _cine()
    array = cine.array.copy()
    array[2] = np.random.default_rng(5).uniform(0, 100, array[2].shape)
    found = _followed(replace(cine, array=array), start="20, 34, 33, 49")
    path = _path(found)
    assert np.isnan(path.points[2]).all()
    assert np.abs(path.points[3:] - _at(26.5, 41.5, WAY[3:])).max() < 0.5
    assert found.segmentation is not None
    assert [bool(labels.any()) for labels in found.segmentation.labels] == [
        True, True, False, True, True,
    ]  # fmt: skip


def test_what_leaves_the_image_is_lost() -> None:
    """A place outside of the image is none."""
    way = np.array([(0, 5 * n) for n in range(9)], np.float64)
    path = _path(_followed(_cine(way), start="20, 34, 33, 49"))
    seen = np.isfinite(path.points).all(axis=1)
    assert seen[:4].all()
    assert (path.points[seen] < [60, 80]).all()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        pytest.param("here", "must be auto, row, column", id="words"),
        pytest.param("1, 2, 3", "must be auto, row, column", id="three numbers"),
        pytest.param("nan, 2", "must be auto, row, column", id="no number"),
        pytest.param(7, "must be auto, row, column", id="one number"),
        pytest.param("60, 2", "lies outside", id="below the image"),
        pytest.param("-1, 2", "lies outside", id="above the image"),
        pytest.param("30, 20, 10, 40", "no size", id="a box whose ends are exchanged"),
    ],
)
def test_a_start_that_is_none_is_the_operators_to_mend(said: Option, why: str) -> None:
    """The route is wrong, not the image."""
    with pytest.raises(ConfigError, match=why):
        _followed(_cine(), start=said)


def test_only_a_cine_can_be_followed_through() -> None:
    """A still has no motion, a volume no time, and two inputs no order."""
    cine = _cine()
    still = replace(cine, array=cine.array[:1], sources=cine.sources[:1])
    volume = Volume(
        array=cine.array, geometry=Geometry(np.eye(4), (5, 60, 80), ""), unit="1", sources=()
    )
    with pytest.raises(TaskFailed, match="only one image"):
        _task()({"image": still}, {})
    with pytest.raises(TaskFailed, match="a volume was given"):
        _task()({"image": volume}, {})
    with pytest.raises(TaskFailed, match="2 were given"):
        _task()({"a": cine, "b": cine}, {})


def test_a_network_that_gives_something_else_fails() -> None:
    """Too few channels, or no numbers."""
    with pytest.raises(TaskFailed, match="did not give"):
        _task(Toy(constants=2))({"image": _cine()}, {})
    with pytest.raises(TaskFailed, match="no numbers"):
        _task(Toy(value=float("nan")))({"image": _cine()}, {})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"template_px": 8}, "must be odd", id="a patch without a middle"),
        pytest.param({"first_weight": 1.5}, "between 0 and 1", id="more than all votes"),
        pytest.param({"least": -0.5}, "between 0 and 1", id="a chance below none"),
        pytest.param({"features": None}, "is missing", id="no features"),
        pytest.param({"speed": 3}, "unknown key", id="a word that nobody knows"),
    ],
)
def test_settings_that_cannot_be_are_told(changes: dict[str, object], why: str) -> None:
    """Before the model takes work."""
    facts = replace(FACTS, settings={**RULES, **changes})
    _, mistakes = _settings(facts)
    assert any(why in mistake for mistake in mistakes)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        pytest.param(replace(FACTS, sees=Sees.SLICES), "sees frames", id="slices are no moments"),
        pytest.param(
            replace(FACTS, segments=(THING, replace(THING, number=2))),
            "has one segment",
            id="nobody could say which",
        ),
    ],
)
def test_a_model_that_follows_sees_frames_and_has_one_thing_to_point_at(
    facts: ModelFacts, why: str
) -> None:
    """Whatever else is no model that follows."""
    _, mistakes = _settings(facts)
    assert len(mistakes) == 1
    assert why in mistakes[0]
