"""From files to findings: what comes out of a phantom can be foreseen to the pixel."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.domain.errors import ConfigError, Rejected, TaskFailed
from dicom_ai_node.domain.findings import Box, Detection, Findings, Segmentation
from dicom_ai_node.domain.image import Frames, Image, SourceFrame
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.domain.pictures import HeatMap
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.back import frames_to_explain, frames_to_show, frames_with_boxes
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.run import run_inference
from tests import phantoms
from tests.model_folders import box_model, class_model, pair_model, threshold_model
from tests.track_folder import track_model

CT = phantoms.ct_values(12, 64, 48)
"""The ball of the CT phantom has 120 HU, which the model calls bright; the body has 40."""


def _order(
    facts: ModelFacts, options: Mapping[str, Option] | None = None, **inputs: Sequence[Path]
) -> InferenceOrder:
    return InferenceOrder(
        kind=facts.kind,
        model=facts.name,
        model_digest=facts.digest,
        inputs={name: tuple(paths) for name, paths in inputs.items()},
        options=options or {},
    )


def _run(
    tmp_path: Path,
    series: list[Dataset] | Dataset,
    options: Mapping[str, Option] | None = None,
    **changes: object,
) -> Findings:
    threshold_model(tmp_path, **changes)
    facts = Catalog([tmp_path]).facts("bright_ct")
    order = _order(facts, options, image=phantoms.write(series, tmp_path / "series"))
    task = task_of(facts, network(facts), "cpu")
    return run_inference(order, facts, task)


def _segmentation(found: Findings) -> Segmentation:
    assert found.segmentation is not None
    return found.segmentation


def test_a_volume_is_labelled_and_measured_on_its_own_pixels(tmp_path: Path) -> None:
    """On the model's own grid nothing is interpolated: the labels are the ball, voxel for voxel."""
    series = phantoms.ct()
    found = _run(tmp_path, series)
    segmentation = _segmentation(found)
    assert np.array_equal(segmentation.labels, CT == 120)
    assert [s.sop_instance_uid for s in segmentation.sources] == [
        ds.SOPInstanceUID for ds in series
    ]
    assert segmentation.probabilities is None
    values = {
        (m.derivation.meaning if m.derivation else m.concept.meaning): m.value
        for m in found.measurements
    }
    assert values["Volume"] == pytest.approx((CT == 120).sum() * 2.5 * 0.8 * 0.8 / 1000)
    assert values["Mean"] == 120
    assert values["Standard Deviation"] == 0


PET = phantoms.pet_values(12, 64, 48)
"""The ball of the PET phantom lies where that of the CT does."""


def _run_pair(tmp_path: Path, inputs: Mapping[str, list[Dataset]], **changes: object) -> Findings:
    pair_model(tmp_path, **changes)
    facts = Catalog([tmp_path]).facts("bright_pair")
    paths = {name: phantoms.write(series, tmp_path / name) for name, series in inputs.items()}
    order = _order(facts, **paths)
    return run_inference(order, facts, task_of(facts, network(facts)))


def test_a_pair_is_labelled_on_the_pixels_of_the_reference(tmp_path: Path) -> None:
    """The network sees both on one grid; labels, uptake and picture are those of the PET."""
    pet, ct = phantoms.pet(), phantoms.ct()
    found = _run_pair(tmp_path, {"pet": pet, "ct": ct}, measure=["uptake"])
    segmentation = _segmentation(found)
    assert np.array_equal(segmentation.labels, PET == 8000)
    assert [s.sop_instance_uid for s in segmentation.sources] == [ds.SOPInstanceUID for ds in pet]
    suv = 8000 * 1.5 * phantoms.SUV_PER_BQML
    assert found.measurements[0].value == pytest.approx(suv, rel=1e-4)
    assert found.notes == ()


def test_the_partner_lies_where_it_lies_in_the_patient(tmp_path: Path) -> None:
    """A CT with other slices, in the other order, over half of the PET, meets it where it should."""
    ct = phantoms.ct(slices=12)[::-1]
    found = _run_pair(tmp_path, {"pet": phantoms.pet(), "ct": ct[:6]})
    labels = _segmentation(found).labels
    assert np.array_equal(labels[6:], (PET == 8000)[6:])
    assert not labels[:5].any()
    assert "ct covers 50 %; the rest counts as -1000" in found.notes


@pytest.mark.parametrize(
    ("inputs", "code", "why"),
    [
        pytest.param(
            {"pet": phantoms.pet(), "ct": phantoms.ct(FrameOfReferenceUID="1.2.3")},
            RejectCode.FUSION_NO_FOR, "ct lies in another frame of reference", id="other frame",
        ),
        pytest.param(
            {"pet": phantoms.ct(), "ct": phantoms.ct()},
            RejectCode.IN_COVERAGE, "made for PT as pet", id="two CT",
        ),
    ],
)  # fmt: skip
def test_a_pair_that_is_none_is_rejected(
    tmp_path: Path, inputs: Mapping[str, list[Dataset]], code: RejectCode, why: str
) -> None:
    """With the reason, for whoever has sent it."""
    with pytest.raises(Rejected, match=why) as caught:
        _run_pair(tmp_path, inputs)
    assert caught.value.code is code


def test_inputs_of_other_names_are_no_answer(tmp_path: Path) -> None:
    """A route that calls them otherwise fails, before anything is read."""
    with pytest.raises(TaskFailed, match="takes the inputs ct, pet, not ct, pt"):
        _run_pair(tmp_path, {"pt": phantoms.pet(), "ct": phantoms.ct()})


def test_a_volume_in_any_order_and_direction_gives_the_same(tmp_path: Path) -> None:
    """Files come in any order, and a stack may run head to feet in the file system."""
    found = _run(tmp_path, phantoms.ct()[::-1])
    assert np.array_equal(_segmentation(found).labels, CT == 120)


def test_another_spacing_of_the_model_blurs_but_does_not_move(tmp_path: Path) -> None:
    """At 1.5 mm the ball comes back at the same place with nearly the same volume."""
    found = _run(tmp_path, phantoms.ct(), grid={"spacing_mm": [1.5, 1.5, 1.5]})
    labels = _segmentation(found).labels
    assert _segmentation(found).probabilities is None
    truth = CT == 120
    assert 2 * (truth & (labels == 1)).sum() / (truth.sum() + labels.sum()) > 0.9
    centres = [np.argwhere(mask).mean(axis=0) for mask in (labels == 1, truth)]
    assert np.allclose(*centres, atol=0.3)


@pytest.mark.parametrize(
    "grid",
    [
        pytest.param({"spacing_mm": [2.5, 0.8, 0.8]}, id="the grid of the source"),
        pytest.param({"spacing_mm": [2.0, 1.0, 1.0]}, id="another grid"),
    ],
)
def test_probabilities_are_kept_where_the_route_wants_them(
    tmp_path: Path, grid: dict[str, Any]
) -> None:
    """A fractional segmentation needs them on the pixels of the source."""
    found = _segmentation(_run(tmp_path, phantoms.ct(), {"keep_probabilities": True}, grid=grid))
    assert found.probabilities is not None
    assert found.probabilities.shape == (1, 12, 64, 48)
    assert np.array_equal(found.probabilities[0] > 0.5, found.labels == 1)


def test_slices_are_looked_at_one_by_one(tmp_path: Path) -> None:
    """The same ball, found in two dimensions, with a volume from the thickness of the slices."""
    found = _run(tmp_path, phantoms.ct(), sees="slices", grid={"spacing_mm": [0.8, 0.8]})
    assert np.array_equal(_segmentation(found).labels, CT == 120)
    assert found.measurements[0].value == pytest.approx((CT == 120).sum() * 1.6 / 1000)


def test_a_cine_is_labelled_and_shown_frame_by_frame(tmp_path: Path) -> None:
    """Each frame has its label, its area and its time; outside of the region is nothing."""
    values = phantoms.us_values(8, 80, 96)
    found = _run(
        tmp_path,
        phantoms.us_cine(),
        modality=["US"],
        sees="frames",
        intensity={"scaling": "window", "low": 0, "high": 255},
        grid={"size_px": [128, 160]},
        measure=["area", "ellipse", "head_circumference"],
    )
    labels = _segmentation(found).labels
    assert labels.shape == (8, 80, 96)
    truth = values == 200
    assert 2 * (truth & (labels == 1)).sum() / (truth.sum() + labels.sum()) > 0.97
    top, end, left, stop = phantoms.us_region(80, 96)
    assert not labels[:, :top].any()
    assert not labels[:, end:].any()
    assert not labels[:, :, :left].any()
    assert not labels[:, :, stop:].any()
    areas = [m for m in found.measurements if m.concept.meaning == "Area"]
    assert [m.frame.number for m in areas if m.frame] == list(range(1, 9))
    assert areas[0].value == pytest.approx(truth[0].sum() * 0.25, rel=0.05)
    diameters = [m.value for m in found.measurements if m.concept.meaning == "Long axis"]
    assert diameters == pytest.approx([80 / 3 * 0.5] * 8, rel=0.05)
    assert found.backdrop is not None
    assert found.backdrop.times_ms == tuple(range(0, 320, 40))


def test_nothing_found_is_a_finding_too(tmp_path: Path) -> None:
    """The report says so, and a picture of the middle is there to show it."""
    found = _run(
        tmp_path, phantoms.ct(), intensity={"scaling": "window", "low": 1000, "high": 2000}
    )
    assert not _segmentation(found).labels.any()
    assert found.measurements == ()
    assert "Bright: not found" in found.notes
    assert found.backdrop is not None
    assert found.backdrop.sources == (_segmentation(found).sources[6],)


@pytest.mark.parametrize(
    ("series", "changes", "why"),
    [
        pytest.param(phantoms.mr(), {}, "made for CT", id="another modality"),
        pytest.param(
            phantoms.ct(), {"max_extent_mm": [20, 99, 99]}, "slices span", id="too much of the body"
        ),
        pytest.param(
            phantoms.ct(slices=5), {"requires": {"slices": {"min": 8}}}, "slices is 5", id="too few"
        ),
    ],
)
def test_a_series_outside_of_the_coverage_is_rejected(
    tmp_path: Path, series: list[Dataset], changes: dict[str, Any], why: str
) -> None:
    """Before the model is asked, and with a code that the sender understands."""
    with pytest.raises(Rejected, match=why) as caught:
        _run(tmp_path, series, **changes)
    assert caught.value.code is RejectCode.IN_COVERAGE
    assert "ZZCANARY" not in str(caught.value)


def test_a_file_that_is_no_dicom_is_rejected_and_no_crash(tmp_path: Path) -> None:
    """The reader says why; the run does not stumble over the header before it."""
    threshold_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_ct")
    path = tmp_path / "text"
    path.write_text("ZZCANARY^PHI")
    order = _order(facts, image=(path,))
    with pytest.raises(Rejected) as caught:
        run_inference(order, facts, task_of(facts, network(facts), "cpu"))
    assert "ZZCANARY" not in str(caught.value)


def test_labels_of_another_shape_are_not_delivered(tmp_path: Path) -> None:
    """A task that resamples by itself is found out."""
    threshold_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_ct")
    order = _order(facts, image=phantoms.write(phantoms.ct(), tmp_path / "series"))

    def cropped(inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        labels = np.zeros((2, 2, 2), np.uint8)
        return Findings(
            segmentation=Segmentation(labels=labels, sources=(), segments=facts.segments)
        )

    with pytest.raises(TaskFailed, match="grid"):
        run_inference(order, facts, cropped)


def test_a_backdrop_holds_what_is_labelled_and_never_more_than_anyone_looks_at() -> None:
    """Evenly thinned, but never without the fullest frame."""
    labels = np.zeros((1000, 2, 2), np.uint8)
    assert frames_to_show(labels) == [500]
    labels[[3, 5, 9], 0, 0] = 1
    assert frames_to_show(labels) == [3, 5, 9]
    labels[:, 0, 0] = 1
    labels[333] = 1
    shown = frames_to_show(labels, most=10)
    assert len(set(shown)) == 10
    assert 333 in shown
    assert shown == sorted(shown)
    assert shown[0] == 0
    assert shown[-1] == 999


def _classified(
    tmp_path: Path,
    series: list[Dataset] | Dataset,
    options: Mapping[str, Option] | None = None,
    **changes: object,
) -> Findings:
    class_model(tmp_path, **changes)
    facts = Catalog([tmp_path]).facts("bright_cxr")
    order = _order(facts, options, image=phantoms.write(series, tmp_path / "series"))
    task = task_of(facts, network(facts), "cpu")
    return run_inference(order, facts, task)


@pytest.mark.parametrize(
    ("make", "sees", "frames", "shown"),
    [
        pytest.param(phantoms.cr, "frames", 1, 1, id="an X-ray"),
        pytest.param(phantoms.us, "frames", 1, 1, id="an ultrasound image"),
        pytest.param(phantoms.us_cine, "frames", 8, 8, id="a cine"),
        pytest.param(lambda: phantoms.mr(slices=1), "slices", 1, 1, id="a slice"),
        pytest.param(phantoms.mr, "slices", 10, 1, id="a stack, of which one slice is shown"),
    ],
)
def test_a_classification_is_shown_on_the_pixels_of_the_source(
    tmp_path: Path, make: Callable[[], Any], sees: str, frames: int, shown: int
) -> None:
    """With a heat map and a backdrop of the same frames."""
    series = make()
    first = series[0] if isinstance(series, list) else series
    frames = len(series) if isinstance(series, list) else frames
    found = _classified(tmp_path, series, sees=sees)
    classification, heat, backdrop = found.classification, found.heat_map, found.backdrop
    assert classification is not None
    assert heat is not None
    assert backdrop is not None
    assert sum(classification.probabilities) == pytest.approx(1)
    assert len(classification.sources) == frames
    assert backdrop.array.shape == (shown, first.Rows, first.Columns)
    assert heat.array.shape == (frames, first.Rows, first.Columns)
    assert set(backdrop.sources) <= set(heat.sources)
    assert heat.sources == classification.sources
    assert heat.array.min() >= 0
    assert 0 < heat.array.max() <= 1
    assert heat.of == classification.present
    assert found.segmentation is None
    assert found.measurements == ()


def test_nothing_outside_of_the_region_of_an_ultrasound_image_is_warm(tmp_path: Path) -> None:
    """The model never saw it."""
    image = phantoms.us()
    heat = _classified(tmp_path, image).heat_map
    assert heat is not None
    top, end, left, stop = phantoms.us_region(image.Rows, image.Columns)
    outside = np.ones(heat.array.shape[1:], bool)
    outside[top:end, left:stop] = False
    assert outside.any()
    assert not heat.array[0][outside].any()
    assert heat.array[0][~outside].any()


def test_a_classification_without_heat_still_has_something_to_show(tmp_path: Path) -> None:
    """The image itself, so that a capture can name the classes under it."""
    found = _classified(tmp_path, phantoms.cr(), {"explain": False})
    assert found.heat_map is None
    assert found.backdrop is not None
    assert len(found.backdrop.sources) == 1


def test_what_a_classifier_was_not_made_for_is_rejected(tmp_path: Path) -> None:
    """By modality and by the conditions of the model, as for any kind."""
    with pytest.raises(Rejected) as caught:
        _classified(tmp_path / "a", phantoms.dx())
    assert caught.value.code is RejectCode.IN_COVERAGE
    with pytest.raises(Rejected, match="frames is 8"):
        _classified(tmp_path / "b", phantoms.us_cine(), requires={"frames": {"max": 1}})


def test_a_heat_map_of_another_grid_is_refused(tmp_path: Path) -> None:
    """It would lie somewhere else."""
    class_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_cxr")
    real = task_of(facts, network(facts), "cpu")

    def cropped(inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        found = real(inputs, options)
        return replace(
            found, heat_map=HeatMap(array=np.zeros((1, 2, 2), np.float16), sources=(), of=0)
        )

    order = _order(facts, image=phantoms.write(phantoms.cr(), tmp_path / "series"))
    with pytest.raises(TaskFailed, match="did not explain the grid"):
        run_inference(order, facts, cropped)


def test_of_a_stack_the_hottest_slice_is_shown_and_of_a_long_cine_every_second_frame() -> None:
    """What cannot be shown is not kept either."""
    frames = Frames(
        array=np.zeros((200, 2, 2), np.float32),
        unit="1",
        sources=(),
        spacing_mm=None,
        region=(0, 2, 0, 2),
    )
    array = np.zeros((180, 2, 2), np.float16)
    array[57] = 1
    sources = tuple(SourceFrame(SOPInstanceUID(f"1.2.{n}")) for n in range(200))
    heat = HeatMap(array=array, sources=sources[20:], of=0)
    few = frames_to_explain(heat, replace(frames, sources=sources))
    assert (len(few), few[0], few[-1]) == (100, 0, 199)
    stack = replace(frames, sources=sources, thickness_mm=(1.0,) * 200)
    assert frames_to_explain(heat, stack) == [77]
    assert frames_to_explain(heat, stack, decided_by=sources[30]) == [30]
    assert frames_to_explain(None, stack) == [100]


WAY = np.array([(n * 0.5, 3 * np.sin(n)) for n in range(8)])


def _followed(tmp_path: Path, cine: Dataset, start: str, **changes: Any) -> Findings:  # noqa: ANN401
    folder = track_model(tmp_path / "models", **changes)
    facts = Catalog([tmp_path / "models"]).facts(folder.name)
    paths = phantoms.write(cine, tmp_path / "series")
    order = _order(facts, {"start": start}, image=paths)
    return run_inference(order, facts, task_of(facts, network(facts)))


@pytest.mark.parametrize(
    "size_px", [pytest.param([64, 80], id="as it is"), pytest.param([96, 128], id="enlarged")]
)
def test_a_point_is_named_and_followed_in_the_pixels_of_the_source(
    size_px: list[int], tmp_path: Path
) -> None:
    """Whatever part of the image the model looks at, and at what size."""
    cine = phantoms.us_tissue_cine(WAY)
    found = _followed(tmp_path, cine, "40, 50", grid={"size_px": size_px})
    (path,) = found.trajectories
    assert np.abs(path.points - (WAY + np.array([40.0, 50.0]))).max() < 1
    assert path.spacing_mm == (0.5, 0.5)
    assert path.times_ms == tuple(40.0 * n for n in range(8))
    assert found.backdrop is not None
    assert found.backdrop.sources == path.sources
    names = {item.concept.meaning for item in found.measurements}
    assert names == {"Excursion Distance", "Path length", "Speed"}
    assert found.segmentation is None


def test_a_box_comes_back_as_pixels_of_the_source(tmp_path: Path) -> None:
    """Where it was named on the first frame, and moved on the others."""
    found = _followed(tmp_path, phantoms.us_tissue_cine(WAY), "30, 40, 49, 59")
    assert found.segmentation is not None
    labels = found.segmentation.labels
    rows, columns = np.nonzero(labels[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 49, 40, 59)
    (path,) = found.trajectories
    for frame, place in zip(labels, path.points, strict=True):
        assert np.argwhere(frame).mean(axis=0) == pytest.approx(place, abs=0.7)


def test_a_start_outside_of_the_tissue_is_refused(tmp_path: Path) -> None:
    """The margin of an ultrasound image holds text, and no tissue that could move."""
    with pytest.raises(ConfigError, match="shows tissue"):
        _followed(tmp_path, phantoms.us_tissue_cine(WAY), "2, 2")


def _boxed(tmp_path: Path, series: Dataset, **options: Option) -> Findings:
    box_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_boxes")
    order = _order(facts, options, image=phantoms.write(series, tmp_path / "series"))
    return run_inference(order, facts, task_of(facts, network(facts), "cpu"))


def test_a_box_lies_on_the_pixels_of_the_source(tmp_path: Path) -> None:
    """The disc is found where it is, in a region of the frame that the grid shows larger."""
    found = _boxed(tmp_path, phantoms.us_cine())
    assert found.detection is not None
    top, end, left, stop = phantoms.us_region(80, 96)
    for number in range(1, 9):
        mine = [box for box in found.detection.boxes if box.source.number == number]
        assert 1 <= len(mine) <= 3
        at = mine[0].corners
        # The box reaches a tenth of the padded square grid around a place on the disc.
        row, column = (at.top + at.bottom) / 2, (at.left + at.right) / 2
        assert np.hypot(row - 40, column - 96 / 3 - (number - 1)) < 80 / 6 + 2
        assert at.right - at.left == pytest.approx(0.2 * (stop - left), rel=0.02)
        assert at.bottom - at.top == pytest.approx(0.2 * (stop - left), rel=0.02)
        assert top <= at.top < at.bottom <= end
    assert found.backdrop is not None
    assert found.backdrop.array.shape == (8, 80, 96)
    assert found.backdrop.sources == found.detection.sources


def test_a_box_is_explained_on_the_pixels_of_the_source(tmp_path: Path) -> None:
    """If the route asks for it."""
    found = _boxed(tmp_path, phantoms.us_cine(), explain=True)
    assert found.heat_map is not None
    assert found.heat_map.array.shape == (8, 80, 96)
    assert found.heat_map.sources == found.backdrop.sources if found.backdrop else None
    assert not found.heat_map.array[:, : phantoms.us_region(80, 96)[0]].any()


def test_a_task_that_names_frames_of_its_own_is_found_out(tmp_path: Path) -> None:
    """A box must lie on an image that was given."""
    box_model(tmp_path)
    facts = Catalog([tmp_path]).facts("bright_boxes")
    order = _order(facts, image=phantoms.write(phantoms.cr(), tmp_path / "series"))
    elsewhere = SourceFrame(SOPInstanceUID("1.2.3"))
    box = Box(of=0, probability=1.0, source=elsewhere, corners=Corners(0, 0, 1, 1))
    said = Detection(classes=facts.classes, boxes=(box,), threshold=0.5, sources=(elsewhere,))
    with pytest.raises(TaskFailed, match="did not look at the frames"):
        run_inference(order, facts, lambda _inputs, _options: Findings(detection=said))


@pytest.mark.parametrize(("count", "shown"), [(1, [0]), (3, [0, 1, 2]), (5, [0, 2, 4])])
def test_boxes_are_shown_on_all_frames_or_evenly_on_some(count: int, shown: list[int]) -> None:
    """Also those on which nothing was found: that was looked for, too."""
    sources = tuple(SourceFrame(SOPInstanceUID("1.2"), n + 1) for n in range(count))
    found = Detection(classes=(), boxes=(), threshold=0.5, sources=sources)
    assert frames_with_boxes(found, most=3) == shown
