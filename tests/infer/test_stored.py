"""A restored image is brought back to what its source stores, whatever led from there to here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import Grid, Sees
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.pictures import DerivedPixels, Restoration
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.encode.headers import read_sources
from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from dicom_ai_node.infer.read import read_series
from dicom_ai_node.infer.run import run_inference
from tests import phantoms
from tests.encode import scenes

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def _inverted(image: Dataset) -> Dataset:
    image.PhotometricInterpretation = "MONOCHROME1"
    return image


def _scaled_by_slice() -> list[Dataset]:
    series = phantoms.pet()
    for number, image in enumerate(series):
        image.RescaleSlope = round(1 + number / 4, 2)
    return list(series)


SOURCES: Mapping[str, tuple[Sees, Callable[[], Dataset | Sequence[Dataset]]]] = {
    "CT": (Sees.SLICES, phantoms.ct),
    "CT, tilted": (Sees.SLICES, scenes.tilted),
    "MR": (Sees.SLICES, phantoms.mr),
    "PET with a scale per slice": (Sees.SLICES, _scaled_by_slice),
    "CR": (Sees.FRAMES, phantoms.cr),
    "DX": (Sees.FRAMES, phantoms.dx),
    "DX, bright is low": (Sees.FRAMES, lambda: _inverted(phantoms.dx())),
    "US in colour": (Sees.FRAMES, phantoms.us),
    "US cine in colour": (Sees.FRAMES, phantoms.us_cine),
}


def _run(
    source: str, change: Change, folder: Path, factor: int = 1
) -> tuple[Findings, list[Path], Frames]:
    """Return what becomes of a source that a task has changed, its files, and what it was."""
    sees, make = SOURCES[source]
    made = make()
    paths = phantoms.write([made] if isinstance(made, Dataset) else made, folder / "source")
    facts = replace(
        scenes.RESTORER, sees=sees, modality=("CT", "MR", "PT", "CR", "DX", "US"), grid=Grid()
    )

    def task(inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        (image,) = inputs.values()
        large = image.array.repeat(factor, axis=1).repeat(factor, axis=2)
        return Findings(
            restoration=Restoration(
                array=change(large),
                sources=image.sources,
                factor=factor,
                unit=image.unit,
                derivation=scenes.SMOOTHING,
            )
        )

    order = InferenceOrder(
        kind="restore",
        model=facts.name,
        model_digest=Sha256("0" * 64),
        inputs={"image": tuple(paths)},
        options={},
    )
    image = read_series(paths, sees)
    assert isinstance(image, Frames)
    return run_inference(order, facts, task), paths, image


def _derived(found: Findings) -> DerivedPixels:
    assert found.derived is not None
    assert found.restoration is None
    return found.derived


def _read_again(found: Findings, paths: Sequence[Path], sees: Sees, folder: Path) -> Frames:
    """Return what another node would read from the derived series."""
    origin = scenes.origin(read_sources(paths), model=scenes.RESTORER)
    objects = encode_job(found, origin, {"derived_image": ENCODERS["derived_image"]})
    again = read_series(
        write_objects(folder / "again", objects), sees, options={"allow_derived": True}
    )
    assert isinstance(again, Frames)
    return again


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_model_leaves_alone_keeps_its_stored_value(source: str, tmp_path: Path) -> None:
    """To the last bit, in every frame and every colour."""
    found, paths, _ = _run(source, lambda array: array, tmp_path)
    derived = _derived(found)
    sources = {image.SOPInstanceUID: image for image in map(_whole, paths)}
    for pixels, frame in zip(derived.pixels, derived.sources, strict=True):
        stored = sources[frame.sop_instance_uid].pixel_array
        several = int(sources[frame.sop_instance_uid].get("NumberOfFrames") or 1) > 1
        assert np.array_equal(pixels, stored[frame.number - 1] if several else stored)
        assert pixels.dtype == stored.dtype
    assert derived.mean_change == 0


@pytest.mark.parametrize("source", SOURCES)
def test_the_derived_series_is_read_as_what_the_model_said(source: str, tmp_path: Path) -> None:
    """In HU, SUV or grey values, to half a stored step: rescaling, windows and inversion undone."""
    found, paths, image = _run(source, lambda array: array * np.float32(0.9), tmp_path)
    again = _read_again(found, paths, SOURCES[source][0], tmp_path)
    assert again.unit == image.unit
    assert again.spacing_mm == pytest.approx(image.spacing_mm)
    top, end, left, stop = image.region
    wanted = image.array.copy()
    wanted[:, top:end, left:stop] *= np.float32(0.9)
    wanted = np.maximum(wanted, again.array.min())  # what cannot be stored is clipped
    # A window cuts what is shown at both ends, and a stored step is at least one grey value wide.
    step = 0.51 * max(_step(image, _derived(found)), 1e-6)
    inside = (image.array > image.array.min()) & (image.array < image.array.max())
    assert np.abs(again.array - wanted)[inside].max() <= step + 1e-4 * np.abs(wanted).max()


def test_twice_the_pixels_hold_the_same_values(tmp_path: Path) -> None:
    """Where every pixel became four alike, every pixel is stored as four alike."""
    found, paths, image = _run("CT", lambda array: array, tmp_path, factor=2)
    again = _read_again(found, paths, Sees.SLICES, tmp_path)
    assert np.array_equal(again.array[:, ::2, 1::2], image.array)
    assert again.spacing_mm == pytest.approx([step / 2 for step in image.spacing_mm or ()])


def test_nothing_changes_outside_of_the_region_of_an_ultrasound_image(tmp_path: Path) -> None:
    """The scanner's own text stays as it is."""
    found, paths, image = _run("US in colour", lambda array: array * 0, tmp_path)
    top, end, left, stop = image.region
    (pixels,) = _derived(found).pixels
    stored = _whole(paths[0]).pixel_array
    outside = np.ones(stored.shape[:2], bool)
    outside[top:end, left:stop] = False
    assert outside.any()
    assert np.array_equal(pixels[outside], stored[outside])
    assert not pixels[top:end, left:stop].any()


def test_what_the_source_cannot_store_is_clipped(tmp_path: Path) -> None:
    """Twelve bits end at 4095."""
    found, _, _ = _run("CT", lambda array: array + np.float32(1e6), tmp_path)
    assert int(_derived(found).pixels.max()) == 4095


def test_three_pictures_show_what_was_done(tmp_path: Path) -> None:
    """Source, result and difference side by side, of the slice that has changed most."""

    def darker(array: NDArray[np.float32]) -> NDArray[np.float32]:
        changed = array.copy()
        changed[2] -= 30
        return changed

    found, _, image = _run("CT", darker, tmp_path)
    assert found.backdrop is not None
    (shown,) = found.backdrop.array
    assert found.backdrop.sources == (image.sources[2],)
    assert _derived(found).shown_change == 50
    columns = image.array.shape[2]
    assert shown.shape[1] > 3 * columns
    assert (shown[:, -columns:] == round(127.5 - 127.5 * 30 / 50)).all()


def test_a_curve_that_cannot_be_undone_is_refused(tmp_path: Path) -> None:
    """A sigmoid shows many stored values as one; nobody could say which is meant."""
    image = phantoms.dx()
    image.VOILUTFunction = "SIGMOID"
    paths = phantoms.write([image], tmp_path / "source")
    order = InferenceOrder(
        kind="restore", model="m", model_digest=Sha256("0"), inputs={"x": tuple(paths)}, options={}
    )

    def task(inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        seen = inputs["x"]
        return Findings(
            restoration=Restoration(
                array=seen.array,
                sources=seen.sources,
                factor=1,
                unit="1",
                derivation=scenes.SMOOTHING,
            )
        )

    facts = replace(scenes.RESTORER, sees=Sees.FRAMES, modality=("DX",))
    with pytest.raises(Rejected, match="curve"):
        run_inference(order, facts, task)


def test_a_restoration_of_other_pixels_is_refused(tmp_path: Path) -> None:
    """Half an image is no image."""
    with pytest.raises(TaskFailed, match="grid"):
        _run("CT", lambda array: array[:, ::2], tmp_path)


def _whole(path: Path) -> Dataset:
    return dcmread(path)


def _step(image: Frames, derived: DerivedPixels) -> float:
    """Return how much of the unit one stored step is, at most, from two pixels of each frame."""
    steps = []
    for seen, pixels in zip(image.array, derived.pixels, strict=True):
        stored = pixels[..., 0] if pixels.ndim == 3 else pixels
        span = float(np.ptp(stored.astype(np.float64)))
        if span:
            steps.append(float(np.ptp(seen)) / span)
    return max(steps)
