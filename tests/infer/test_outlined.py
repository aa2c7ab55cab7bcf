"""A segmentation that was made elsewhere says where a task begins, or why it cannot."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Frames
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.encode import segmentation, segmentation_fractional, segmentation_labelmap
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.outlined import outline_on
from dicom_ai_node.infer.run import run_inference
from tests import phantoms
from tests.encode.scenes import LIVER, followed
from tests.infer.reading import frames_of, material, slices_of
from tests.infer.test_run import _order
from tests.tasks.test_track import THING
from tests.track_folder import track_model

Encode = Callable[[Findings, Origin], Sequence[Dataset]]
KINDS = pytest.mark.parametrize(
    "encode",
    [
        pytest.param(segmentation.encode, id="binary"),
        pytest.param(segmentation_fractional.encode, id="fractional"),
        pytest.param(segmentation_labelmap.encode, id="label map"),
    ],
)


def _cine() -> Dataset:
    return phantoms.us_tissue_cine(np.array([(n * 0.5, 3 * np.sin(n)) for n in range(8)]))


def _masked(cine: Sequence[Dataset], mask: np.ndarray, frame: int) -> tuple[Findings, Origin]:
    """Return findings of the liver where `mask` is true, on one frame of the cine."""
    it = followed(cine, has_pixels=True)
    found = it.findings.segmentation
    assert found is not None
    labels = np.zeros_like(found.labels)
    labels[frame] = mask
    probabilities = labels[None].astype(np.float16)
    changed = replace(found, labels=labels, probabilities=probabilities)
    return replace(it.findings, segmentation=changed, lesions=None), it.origin


def _box(top: int, left: int, bottom: int, right: int, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


MASK = _box(31, 41, 49, 58, (80, 96))
"""Its number of pixels is no multiple of eight."""


def _seg(encode: Encode, folder: Path, cine: Dataset | None = None, frame: int = 3) -> list[Path]:
    objects = encode(*_masked([cine or _cine()], MASK, frame))
    return phantoms.write(objects, folder / "seg")


def _outline(paths: Sequence[Path], image: Frames, **options: Option):  # noqa: ANN202
    return outline_on(paths, image, THING, options, 2**30)


def _refused(paths: Sequence[Path], image: Frames, **options: Option) -> str:
    with pytest.raises(Rejected) as refusal:
        _outline(paths, image, **options)
    assert refusal.value.code is RejectCode.SEG_UNUSABLE
    return str(refusal.value)


@KINDS
def test_what_is_outlined_is_read_with_its_frame_and_its_name(
    encode: Encode, tmp_path: Path
) -> None:
    """Pixel for pixel, from every kind of segmentation."""
    image = frames_of(_cine(), tmp_path / "cine")
    outline = _outline(_seg(encode, tmp_path), image)
    assert outline.frame == 3
    assert np.array_equal(outline.mask, MASK)
    assert (outline.segment.label, outline.segment.type) == (LIVER.label, LIVER.type)
    assert outline.segment.number == THING.number


def _other_image(ds: Dataset) -> None:
    for group in ds.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        source.ReferencedSOPInstanceUID = "1.2.3"


def _other_size(ds: Dataset) -> None:
    ds.Rows, ds.Columns = int(ds.Columns), int(ds.Rows)


def _no_pixels(ds: Dataset) -> None:
    ds.PixelData = bytes(len(ds.PixelData))


def _two_segments(ds: Dataset) -> None:
    other = Dataset()
    other.update(ds.SegmentSequence[0])
    other.SegmentNumber = 2
    ds.SegmentSequence.append(other)


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(_other_image, "of another image", id="made of another cine"),
        pytest.param(_other_size, "another size", id="made on another grid"),
        pytest.param(_no_pixels, "nothing is outlined", id="empty"),
        pytest.param(_two_segments, "2 segments", id="which of the two"),
    ],
)
def test_a_segmentation_that_does_not_belong_is_refused_with_its_reason(
    harm: Callable[[Dataset], None], why: str, tmp_path: Path
) -> None:
    """Nothing is guessed, resampled or followed instead."""
    image = frames_of(_cine(), tmp_path / "cine")
    (path,) = _seg(segmentation.encode, tmp_path)
    ds = dcmread(path)
    harm(ds)
    ds.save_as(path)
    assert why in _refused([path], image)


def test_of_several_segments_the_route_names_one(tmp_path: Path) -> None:
    """By its number; a number that is not there is refused."""
    image = frames_of(_cine(), tmp_path / "cine")
    (path,) = _seg(segmentation.encode, tmp_path)
    ds = dcmread(path)
    _two_segments(ds)
    ds.save_as(path)
    assert np.array_equal(_outline([path], image, segment=1).mask, MASK)
    assert "no segment 7" in _refused([path], image, segment=7)
    assert "nothing is outlined" in _refused([path], image, segment=2)


def test_a_single_frame_may_name_its_image_in_the_header_alone(tmp_path: Path) -> None:
    """As some makers write it: of a cine it is then the first frame."""
    image = frames_of(_cine(), tmp_path / "cine")
    (path,) = _seg(segmentation.encode, tmp_path)
    ds = dcmread(path)
    for group in ds.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    ds.save_as(path)
    assert _outline([path], image).frame == 0


def test_what_is_no_segmentation_is_refused(tmp_path: Path) -> None:
    """Neither the cine itself, nor two segmentations at once."""
    image = frames_of(_cine(), tmp_path / "cine")
    cine = phantoms.write(_cine(), tmp_path / "other")
    assert "not one segmentation" in _refused(cine, image)
    paths = _seg(segmentation.encode, tmp_path)
    assert "not one segmentation" in _refused([*paths, *paths], image)


def test_the_segmentation_of_another_maker_is_read(tmp_path: Path) -> None:
    """The liver that dcmqi's test data outlines on a CT, as dcmqi itself wrote it."""
    paths = material("dcmqi/data/segmentations/ct-3slice/*.dcm")
    image = slices_of([dcmread(path) for path in paths], tmp_path)
    outline = _outline(material("dcmqi/data/segmentations/liver.dcm"), image)
    assert 100 < outline.mask.sum() < outline.mask.size / 2
    assert outline.segment.type.meaning == "Liver"


@pytest.mark.parametrize("frame", [0, 3])
def test_the_mask_is_followed_from_its_frame_to_both_ends(frame: int, tmp_path: Path) -> None:
    """It moves with the tissue, at the size of the model's grid, and keeps its name."""
    way = np.array([(n * 0.5, 3 * np.sin(n)) for n in range(8)])
    folder = track_model(tmp_path / "models", outline="mask", grid={"size_px": [96, 128]})
    facts = Catalog([tmp_path / "models"]).facts(folder.name)
    cine = phantoms.write(_cine(), tmp_path / "cine")
    inputs = {"cine": cine, "mask": _seg(segmentation.encode, tmp_path, frame=frame)}
    found = run_inference(_order(facts, {}, **inputs), facts, task_of(facts, network(facts)))
    (path,) = found.trajectories
    assert path.of.label == LIVER.label
    assert np.abs(path.points - (way - way[frame] + np.array([40.0, 49.5]))).max() < 1
    assert found.segmentation is not None
    labels = found.segmentation.labels
    assert np.count_nonzero(labels[frame] != MASK) < 0.05 * MASK.sum()
    assert all(abs(int(one.sum()) - int(MASK.sum())) < 0.15 * MASK.sum() for one in labels)
    assert f"followed is what a segmentation outlines on frame {frame + 1}" in found.notes


def test_a_cine_mr_is_followed_in_millimetres(tmp_path: Path) -> None:
    """A mask on one of its images is the start; speeds come from the trigger times."""
    way = np.stack([np.zeros(24), 4 * np.sin(2 * np.pi * np.arange(24) / 8)], axis=1)
    cine = phantoms.mr_tissue_cine(way)
    in_time = sorted(cine, key=lambda ds: ds.TriggerTime)
    folder = track_model(tmp_path / "models", outline="mask", modality=["MR"])
    facts = Catalog([tmp_path / "models"]).facts(folder.name)
    seg = phantoms.write(segmentation.encode(*_masked(in_time, MASK, 5)), tmp_path / "seg")
    inputs = {"cine": phantoms.write(cine, tmp_path / "cine"), "mask": seg}
    found = run_inference(_order(facts, {}, **inputs), facts, task_of(facts, network(facts)))
    said = {item.concept.meaning: item for item in found.measurements}
    assert said["Excursion Distance"].value == pytest.approx(8 * 1.5, abs=0.8)
    assert said["Excursion Distance"].unit.value == "mm"
    assert said["Period of motion"].value == pytest.approx(0.32, rel=0.05)


def test_a_task_that_begins_nowhere_cannot_be_told_to(tmp_path: Path) -> None:
    """That is a mistake of the model folder."""
    folder = track_model(tmp_path / "models", outline="mask")
    facts = Catalog([tmp_path / "models"]).facts(folder.name)
    inputs = {
        "cine": phantoms.write(_cine(), tmp_path / "cine"),
        "mask": _seg(segmentation.encode, tmp_path),
    }
    with pytest.raises(TaskFailed, match="begins with no segmentation"):
        run_inference(_order(facts, {}, **inputs), facts, lambda _inputs, _options: Findings())
