"""What a guard looks at: the same grid as the task, and no more of it than time allows."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import dicom_ai_node
from dicom_ai_node.domain.image import Frames, Geometry, SourceFrame, Volume
from dicom_ai_node.domain.model import ModelFacts, Scaling
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.golden import golden_images
from dicom_ai_node.infer.looked_at import looked_at

CATALOG = Catalog([Path(dicom_ai_node.__file__).parent / "bundles"])
RANDOM = np.random.default_rng(5)


def _frames(count: int, rows: int, columns: int) -> Frames:
    return Frames(
        array=RANDOM.uniform(0, 255, (count, rows, columns)).astype(np.float32),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(count)),
        spacing_mm=None,
        region=(0, rows, 0, columns),
    )


def _volume(shape: tuple[int, int, int]) -> Volume:
    return Volume(
        array=RANDOM.normal(100, 10, shape).astype(np.float32),
        geometry=Geometry(np.eye(4), shape, "1.2"),
        unit="1",
        sources=tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(shape[0])),
    )


def _facts(name: str) -> ModelFacts:
    return CATALOG.facts(name)


def test_a_single_image_of_one_grid_is_looked_at_whole() -> None:
    """Padded as the network takes it; nothing has to be said about it."""
    found = looked_at({"image": _frames(1, 100, 128)}, _facts("breast_us"))
    assert found.items.shape == (1, 1, 112, 128)
    assert found.inside == (100, 128)
    assert not found.said


def test_of_a_long_cine_sixteen_frames_are_looked_at() -> None:
    """And the report says so."""
    found = looked_at({"image": _frames(60, 112, 128)}, _facts("breast_us"))
    assert len(found.items) == 16
    assert found.said == "the guard looked at 16 of 60 images"


def test_of_images_of_any_size_windows_are_looked_at() -> None:
    """Of 128 pixels: the network takes them as it takes a whole image."""
    found = looked_at({"image": _frames(2, 300, 260)}, _facts("us_despeckle"))
    assert found.items.shape[1:] == (1, 128, 128)
    assert found.said == f"the guard looked at {len(found.items)} parts of 2 of 2 images"


def test_windows_of_a_volume_are_those_of_the_network() -> None:
    """Eight at the most, and z-scores are brought to their range."""
    facts = _facts("hippocampus_mr")
    found = looked_at({"image": _volume((80, 112, 80))}, facts)
    assert facts.intensity.scaling is Scaling.ZSCORE
    assert found.items.shape == (8, 1, 40, 56, 40)
    assert float(found.items.std()) < 0.3
    assert found.said == "the guard looked at 8 parts of the volume"


def test_every_input_of_a_model_with_several_is_looked_at() -> None:
    """In the order in which its network takes them, without padding where it takes any size."""
    facts = _facts("petct_understanding")
    images = golden_images(facts)
    found = looked_at(dict(reversed(images.items())), facts)
    assert found.items.shape[:2] == (1, 2)
    assert found.inside == images["ct"].array.shape == found.items.shape[2:]


def test_regions_of_a_slide_are_made_bright_as_the_task_does_it() -> None:
    """Stained tissue is dark in the picture, and bright to the network."""
    image = _frames(1, 512, 512)
    dark = replace(image, array=np.where(image.array > 20, 250, 30).astype(np.float32))
    found = looked_at({"image": dark}, _facts("nuclei"))
    assert found.items.shape[1:] == (1, 128, 128)
    assert float(np.median(found.items)) == 0
