"""A trajectory as a report: a place on every frame, and what was measured over all of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings, Measurement
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.report_tracks import COMMENT, MOST_PLACES
from dicom_ai_node.encode.structured_report import encode
from dicom_ai_node.encode.write import ENCODERS, encode_job
from tests import phantoms
from tests.encode import scenes
from tests.peers import air, iod


def _groups(scene: scenes.Scene) -> Sequence[Dataset]:
    (report,) = encode(scene.findings, scene.origin)
    groups: Sequence[Dataset] = report.ContentSequence[-1].ContentSequence
    return groups


def _numbers(group: Dataset) -> dict[str, tuple[float, str]]:
    return {
        item.ConceptNameCodeSequence[0].CodeMeaning: (
            float(item.MeasuredValueSequence[0].NumericValue),
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue,
        )
        for item in group.ContentSequence
        if item.ValueType == "NUM"
    }


def _tracking(group: Dataset) -> set[str]:
    return {item.UID for item in group.ContentSequence if item.ValueType == "UIDREF"}


def _region(group: Dataset) -> Dataset | None:
    return next((item for item in group.ContentSequence if item.ValueType == "SCOORD"), None)


@pytest.mark.parametrize("name", [name for name in scenes.FOLLOWED if "followed" in name])
def test_every_place_is_a_point_on_its_frame(name: str) -> None:
    """In the columns and rows of the source, whose first pixel has its centre at a half."""
    scene = scenes.FOLLOWED[name]()
    (path,) = scene.findings.trajectories
    *places, whole = _groups(scene)
    seen = [n for n in range(len(path.points)) if n != 2]
    assert len(places) == len(seen)
    for index, group in zip(seen, places, strict=True):
        region = _region(group)
        assert region is not None
        assert region.GraphicType == "POINT"
        assert list(region.GraphicData) == pytest.approx(path.points[index][::-1] + 0.5, abs=1e-3)
        image = region.ContentSequence[0].ReferencedSOPSequence[0]
        source = path.sources[index]
        assert image.ReferencedSOPInstanceUID == source.sop_instance_uid
        assert int(image.get("ReferencedFrameNumber") or 1) == source.number
        distance, unit = _numbers(group)["Distance"]
        step = path.spacing_mm or (1.0, 1.0)
        away = np.linalg.norm((path.points[index] - path.points[0]) * step)
        assert distance == pytest.approx(away, abs=1e-3)
        assert unit == ("mm" if path.spacing_mm else "{pixels}")
        certain = 100 * float(path.confidence[index])
        assert _numbers(group)["Certainty of Finding"] == (pytest.approx(certain, abs=0.06), "%")
    assert _region(whole) is None
    assert {"Excursion Distance", "Path length", "Speed"} <= set(_numbers(whole))
    assert len({frozenset(_tracking(group)) for group in [*places, whole]}) == 1


def test_the_segmentation_and_the_path_are_of_the_same_thing() -> None:
    """One Tracking UID in both objects."""
    scene = scenes.FOLLOWED["US cine, head followed"]()
    objects = dict(encode_job(scene.findings, scene.origin, ENCODERS))
    (segment,) = objects["segmentation"].SegmentSequence
    groups = objects["structured_report"].ContentSequence[-1].ContentSequence
    assert all(_tracking(group) == {segment.TrackingUID} for group in groups)


@pytest.mark.parametrize("name", scenes.FOLLOWED)
def test_the_report_follows_the_rules(name: str) -> None:
    """Those of the information object and those of IHE's AI results."""
    scene = scenes.FOLLOWED[name]()
    for _, made in encode_job(scene.findings, scene.origin, ENCODERS):
        assert iod.objections(made) == []
        if made.Modality == "SR":
            assert air.objections(made) == []


def test_codes_of_our_own_say_whose_they_are() -> None:
    """Only where there are any."""
    (report,) = encode(*_given(scenes.FOLLOWED["XA, point followed"]()))
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99DAIN"
    (plain,) = encode(*_given(scenes.scene([phantoms.us_cine()])))
    assert "CodingSchemeIdentificationSequence" not in plain


def _given(scene: scenes.Scene) -> tuple[Findings, Origin]:
    return scene.findings, scene.origin


def test_of_a_long_path_an_even_part_is_told() -> None:
    """And it is said how much."""
    frames = MOST_PLACES + 100
    cine = phantoms.us_cine(frames=frames, rows=16, columns=16)
    *places, whole = _groups(scenes.followed([cine], has_pixels=False))
    assert len(places) == MOST_PLACES
    (words,) = (
        item.TextValue
        for item in whole.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue == COMMENT.value and "places" in item.TextValue
    )
    assert words == f"{MOST_PLACES} of {frames - 1} places are told"


def test_what_else_was_measured_is_told_beside_it() -> None:
    """A value of the whole image has a group of its own."""
    scene = scenes.followed([phantoms.us_cine()], has_pixels=False)
    extra = Measurement(concept=scenes.AREA, value=7.0, unit=scenes.MM2)
    found = replace(scene.findings, measurements=(*scene.findings.measurements, extra))
    assert _numbers(_groups(replace(scene, findings=found))[-1]) == {"Area": (7.0, "mm2")}


def test_a_measurement_that_is_no_number_is_not_written() -> None:
    """Nobody reads `nan mm`."""
    scene = scenes.followed([phantoms.us_cine()], has_pixels=False)
    first, *rest = scene.findings.measurements
    broken = replace(scene.findings, measurements=(replace(first, value=float("nan")), *rest))
    with pytest.raises(TaskFailed, match="not a number"):
        _groups(replace(scene, findings=broken))
