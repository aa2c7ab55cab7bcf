"""A slide is looked at region by region, and every object is counted once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings, Instances
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.slide import slide_of
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.regions import Mosaic, Region, regions_of
from dicom_ai_node.infer.run import run_inference
from dicom_ai_node.infer.slide import open_slide
from tests import phantoms
from tests.model_folders import instance_model

DISC_PX = 253
"""Pixels of one disc of the phantom."""


@pytest.fixture
def facts(tmp_path: Path) -> ModelFacts:
    """Return a model that takes what is bright for the cores of nuclei, in regions of 128."""
    return Catalog([instance_model(tmp_path / "models").parent]).facts("bright_nuclei")


def found_in(facts: ModelFacts, folder: Path, *images: FileDataset) -> Findings:
    """Return what a model finds in a series, as a worker asks it."""
    order = InferenceOrder(
        kind=facts.kind,
        model=facts.name,
        model_digest=facts.digest,
        inputs={"image": tuple(phantoms.write(images, folder))},
        options={},
    )
    return run_inference(order, facts, task_of(facts, network(facts)))


def middles_of(found: Instances) -> list[tuple[int, int]]:
    """Return the middles of all objects."""
    return sorted((int(r), int(c)) for r, c in (o.mean(axis=0).round() for o in found.outlines()))


@pytest.mark.parametrize(("tile_px", "region_px"), [(64, 104), (32, 128), (64, 160), (32, 512)])
def test_every_nucleus_is_counted_once(
    tile_px: int, region_px: int, facts: ModelFacts, tmp_path: Path
) -> None:
    """Whatever borders of tiles and regions lie across it, and its pixels are all there."""
    facts = replace(facts, grid=replace(facts.grid, size_px=(region_px, region_px)))
    slide = phantoms.sm(tile_px=tile_px)
    pixels, middles = phantoms.sm_values(192, 256)
    found = found_in(facts, tmp_path / "series", slide)
    assert found.instances is not None
    assert middles_of(found.instances) == sorted(middles)
    assert set(found.instances.areas_px) == {DISC_PX}
    assert found.segmentation is not None
    matrix = np.zeros((192, 256), np.uint8)
    tiles = {tile.frame: tile for tile in slide_of(slide).tiles}
    for labels, source in zip(found.segmentation.labels, found.segmentation.sources, strict=True):
        tile = tiles[source.number]
        matrix[tile.row : tile.row + tile_px, tile.column : tile.column + tile_px] = labels
    assert np.array_equal(matrix == 1, pixels[..., 0] == 90)


def test_borders_really_lie_across_nuclei() -> None:
    """Otherwise the test above would prove nothing."""
    _, middles = phantoms.sm_values(192, 256)
    assert any(abs(row - 64 * n) < 9 for row, _ in middles for n in (1, 2))
    ends = {r.rows[1] for r in regions_of((192, 256), (128, 128))}
    assert any(abs(row - end) < 9 for row, _ in middles for end in ends)


def test_a_nucleus_belongs_to_the_tile_on_which_its_middle_lies(
    facts: ModelFacts, tmp_path: Path
) -> None:
    """So that each is shown and counted with one tile."""
    found = found_in(facts, tmp_path / "series", phantoms.sm()).instances
    assert found is not None
    tiles = {tile.frame: tile for tile in slide_of(phantoms.sm()).tiles}
    for outline, place in zip(found.outlines(), found.frames, strict=True):
        tile = tiles[found.sources[place].number]
        row, column = outline.mean(axis=0)
        assert tile.row <= row < tile.row + 64
        assert tile.column <= column < tile.column + 64


def test_numbers_have_their_units(facts: ModelFacts, tmp_path: Path) -> None:
    """How many, how many on a square millimetre of what was imaged, and how large in the mean."""
    found = found_in(facts, tmp_path / "series", phantoms.sm(um=0.5))
    count = len(phantoms.sm_values(192, 256)[1])
    area_mm2 = 192 * 256 * 0.0005**2
    assert {item.unit.value: item.value for item in found.measurements} == {
        "1": count,
        "/mm2": pytest.approx(count / area_mm2),
        "um2": pytest.approx(DISC_PX * 0.25),
    }
    assert {item.of for item in found.measurements} == {1}


def test_without_a_spacing_there_is_a_count_and_no_more(facts: ModelFacts, tmp_path: Path) -> None:
    """And a note that says why."""
    found = found_in(facts, tmp_path / "series", phantoms.vl_microscopic())
    assert [item.unit.value for item in found.measurements] == ["1"]
    assert "no pixel spacing" in found.notes[0]
    assert found.instances is not None
    assert len(found.instances) == len(phantoms.sm_values(100, 120)[1])


def test_nothing_is_found_where_there_is_no_tile(facts: ModelFacts, tmp_path: Path) -> None:
    """The density counts only what was imaged."""
    slide = phantoms.sparse(phantoms.sm(), [0, 5])
    found = found_in(facts, tmp_path / "series", slide)
    assert found.instances is not None
    for row, column in middles_of(found.instances):
        assert (row < 64 and column < 64) or (64 <= row < 128 and 64 <= column < 128)
    density = next(item for item in found.measurements if item.unit.value == "/mm2")
    assert density.value == pytest.approx(len(found.instances) / (2 * 64 * 64 * 0.0005**2))


def test_the_picture_shows_the_tile_with_most_nuclei_in_colour(
    facts: ModelFacts, tmp_path: Path
) -> None:
    """As a pathologist knows it."""
    found = found_in(facts, tmp_path / "series", phantoms.sm())
    assert found.backdrop is not None
    assert found.instances is not None
    assert found.backdrop.array.shape == (1, 64, 64, 3)
    shown = found.instances.sources.index(found.backdrop.sources[0])
    counts = np.bincount(found.instances.frames)
    assert counts[shown] == counts.max()


def test_an_empty_slide_has_no_nuclei_and_still_a_picture(
    facts: ModelFacts, tmp_path: Path
) -> None:
    """Nothing found is a finding, too."""
    slide = phantoms.sm()
    slide.PixelData = bytes([225, 205, 235]) * (192 * 256)
    found = found_in(facts, tmp_path / "series", slide)
    assert found.instances is not None
    assert len(found.instances) == 0
    assert found.instances.outlines() == []
    assert found.segmentation is not None
    assert not found.segmentation.labels.any()
    assert found.measurements == ()
    assert "Nucleus: not found" in found.notes
    assert found.backdrop is not None


def test_a_slide_of_another_modality_or_size_is_declined(facts: ModelFacts, tmp_path: Path) -> None:
    """Before any network looks at it, or by what the network knows."""
    with pytest.raises(Rejected, match="SM_NO_LEVEL"):
        found_in(facts, tmp_path / "far", phantoms.sm(um=2))
    with pytest.raises(Rejected, match="IN_COVERAGE"):
        found_in(facts, tmp_path / "ct", *phantoms.ct(slices=1))


def test_it_takes_one_series_and_objects_only(facts: ModelFacts, tmp_path: Path) -> None:
    """Anything else is a mistake of the route or of the model."""
    paths = tuple(phantoms.write(phantoms.sm(), tmp_path / "series"))
    order = InferenceOrder(
        kind=facts.kind,
        model=facts.name,
        model_digest=facts.digest,
        inputs={"one": paths, "other": paths},
        options={},
    )
    with pytest.raises(TaskFailed, match="takes one input, not 2"):
        run_inference(order, facts, lambda _inputs, _options: Findings())
    with pytest.raises(TaskFailed, match="one by one"):
        run_inference(
            replace(order, inputs={"one": paths}), facts, lambda _inputs, _options: Findings()
        )


def test_what_two_regions_see_differently_is_still_one(facts: ModelFacts, tmp_path: Path) -> None:
    """One outlines it two pixels further than the other, and its middle moves over the border."""
    opened = open_slide(phantoms.write(phantoms.sm(), tmp_path), {}, 2**30)
    mosaic = Mosaic(opened)
    left = Region(0, 0, (0, 192), (0, 100))
    right = Region(0, 52, (0, 192), (100, 256))
    square = np.array([[-6, -6], [-6, 6], [6, 6], [6, -6]], np.float32)
    for region, column in ((left, 101), (right, 99)):
        placed = square + np.array([50, column - region.column], np.float32)
        mosaic.add(
            [region],
            Instances(
                points=placed,
                starts=np.array([0, 4]),
                numbers=np.ones(1, np.uint8),
                areas_px=np.array([144], np.int32),
                frames=np.zeros(1, np.int32),
                sources=(),
                segments=facts.segments,
            ),
        )
    found = mosaic.findings(facts, ()).instances
    assert found is not None
    assert len(found) == 1
