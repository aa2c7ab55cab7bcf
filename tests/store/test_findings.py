"""Findings go from the worker to the encoder through a folder, to the last bit."""

import hashlib
import json
import shutil
import stat
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.domain.errors import OutOfResources, TaskFailed
from dicom_ai_node.domain.findings import (
    Box,
    Classification,
    Detection,
    Embedding,
    FindingClass,
    Findings,
    Instances,
    Measurement,
    Segment,
    Segmentation,
    Trajectory,
)
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.pictures import Backdrop, DerivedPixels, HeatMap, Restoration
from dicom_ai_node.domain.quality import ImageQuality, QualityCheck
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.store.findings import _read_arrays, embedding_of, findings_of, keep_findings

FRAMES = tuple(SourceFrame(SOPInstanceUID(f"1.2.{n}"), n) for n in (1, 2, 3))
LIVER = Code("10200004", "SCT", "Liver")
NOTHING = np.zeros(0, np.float32)
MM = Code("mm", "UCUM", "millimeter", "1.4")


def everything() -> Findings:
    """Return findings in which every field has a value."""
    random = np.random.default_rng(1)
    segment = Segment(
        number=1,
        label="Liver, é 体",
        category=Code("123037004", "SCT", "Anatomical Structure"),
        type=LIVER,
        modifier=Code("7771000", "SCT", "Left"),
        site=LIVER,
        colour_rgb=(1, 2, 3),
    )
    return Findings(
        segmentation=Segmentation(
            labels=random.integers(0, 2, (3, 5, 4), dtype=np.uint8),
            sources=FRAMES,
            segments=(segment, Segment(number=2, label="x", category=LIVER, type=LIVER)),
            probabilities=random.random((2, 3, 5, 4)).astype(np.float16),
        ),
        measurements=(
            Measurement(concept=LIVER, value=0.1 + 0.2, unit=MM),
            Measurement(
                concept=LIVER, value=5e-324, unit=MM, of=1, frame=FRAMES[2],
                derivation=codes.SCT.Mean,
            ),
        ),
        backdrop=Backdrop(
            array=random.integers(0, 255, (3, 5, 4), dtype=np.uint8),
            sources=FRAMES,
            times_ms=(0.0, 33.3, 66.7),
        ),
        classification=Classification(
            classes=(
                FindingClass(label="Pneumonie é", type=LIVER, site=LIVER),
                FindingClass(label="Normal", type=MM),
            ),
            probabilities=(0.1 + 0.2, 0.7),
            present=1,
            sources=FRAMES,
        ),
        detection=Detection(
            classes=(FindingClass(label="Lunge, rechts", type=LIVER, modifier=MM),),
            boxes=(
                Box(
                    of=0, probability=0.1 + 0.2, source=FRAMES[1],
                    corners=Corners(0.5, 1 / 3, 7.25, 9.0),
                ),
            ),
            threshold=0.25,
            sources=FRAMES,
        ),
        heat_map=HeatMap(
            array=random.random((2, 5, 4)).astype(np.float16), sources=FRAMES[:2], of=1
        ),
        trajectories=(
            Trajectory(
                points=np.array([[0.1, 2.0], [np.nan, np.nan], [1e-300, 7.5]]),
                confidence=np.array([1, 0.25, 0.9], np.float32),
                sources=FRAMES,
                of=segment,
                times_ms=(0.0, 33.3, 66.7),
                spacing_mm=(0.1, 0.2),
            ),
        ),
        quality=ImageQuality(
            checks=(QualityCheck(concept=LIVER, flag=MM, says="é", score=0.1 + 0.2, threshold=1.0),),
            sources=FRAMES[1:],
            is_purified=True,
            declined="IN_COVERAGE: é",
        ),
        instances=Instances(
            points=random.random((7, 2), dtype=np.float32),
            starts=np.array([0, 3, 7]),
            numbers=np.ones(2, np.uint8),
            areas_px=np.array([12, 5], np.int32),
            frames=np.array([0, 2], np.int32),
            sources=FRAMES,
            segments=(segment,),
        ),
        restoration=Restoration(
            array=random.random((3, 10, 8)).astype(np.float32),
            sources=FRAMES,
            factor=2,
            unit="[hnsf'U]",
            derivation=LIVER,
        ),
        derived=DerivedPixels(
            pixels=random.integers(-1024, 3071, (3, 10, 8), dtype=np.int16),
            sources=FRAMES,
            factor=2,
            derivation=LIVER,
            unit="1",
            mean_change=-0.1,
            shown_change=5e-324,
        ),
        embedding=Embedding(vector=random.random(7).astype(np.float32), sources=FRAMES),
        notes=("one half of the slices was left out", ""),
    )  # fmt: skip


def assert_same(one: Findings, other: Findings) -> None:
    """Compare findings, arrays bit by bit with their types, all the rest by value and type."""
    np.testing.assert_equal(_plain(other), _plain(one))
    for before, after in zip(_arrays(one), _arrays(other), strict=True):
        assert (after.dtype, after.shape) == (before.dtype, before.shape)
        assert after.tobytes() == before.tobytes()


def _arrays(findings: Findings) -> list[np.ndarray]:
    found, backdrop = findings.segmentation, findings.backdrop
    arrays = [] if found is None else [found.labels, found.probabilities]
    arrays += [] if backdrop is None else [backdrop.array]
    found_one_by_one = findings.instances
    if found_one_by_one is not None:
        arrays += [
            found_one_by_one.points, found_one_by_one.starts, found_one_by_one.numbers,
            found_one_by_one.areas_px, found_one_by_one.frames,
        ]  # fmt: skip
    arrays += [] if findings.restoration is None else [findings.restoration.array]
    arrays += [] if findings.derived is None else [findings.derived.pixels]
    arrays += [] if findings.heat_map is None else [findings.heat_map.array]
    arrays += [] if findings.embedding is None else [findings.embedding.vector]
    return [array for array in arrays if array is not None]


def _plain(findings: Findings) -> list[object]:
    found, backdrop = findings.segmentation, findings.backdrop
    return [
        findings.measurements,
        findings.notes,
        found and (found.sources, found.segments, found.probabilities is None),
        backdrop and (backdrop.sources, backdrop.times_ms),
        findings.instances and (findings.instances.sources, findings.instances.segments),
        findings.restoration and replace(findings.restoration, array=NOTHING),
        findings.derived and replace(findings.derived, pixels=NOTHING),
        findings.classification,
        findings.detection,
        findings.heat_map and (findings.heat_map.sources, findings.heat_map.of),
        findings.embedding and findings.embedding.sources,
    ]


@pytest.mark.parametrize(
    "findings",
    [
        pytest.param(everything(), id="with everything"),
        pytest.param(Findings(), id="with nothing"),
        pytest.param(
            Findings(
                segmentation=Segmentation(
                    labels=np.zeros((0, 2, 2), np.uint8), sources=(), segments=()
                ),
                measurements=(Measurement(concept=LIVER, value=float("inf"), unit=MM),),
                backdrop=Backdrop(array=np.ones((3, 1, 1), np.uint8), sources=FRAMES),
            ),
            id="with empty arrays and without probabilities",
        ),
    ],
)
def test_findings_come_back_as_they_were(tmp_path: Path, findings: Findings) -> None:
    """The encoder reports what the model said, not what a file format made of it."""
    keep_findings(tmp_path / "job" / "1", findings)
    assert_same(findings, findings_of(tmp_path / "job" / "1"))


@settings(max_examples=40, deadline=None)
@given(st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"), max_size=20))
def test_every_number_and_every_note_comes_back(
    tmp_path_factory: pytest.TempPathFactory, value: float, note: str
) -> None:
    """No value is rounded and no letter is lost."""
    folder = tmp_path_factory.mktemp("findings")
    said = Findings(measurements=(Measurement(concept=LIVER, value=value, unit=MM),), notes=(note,))
    keep_findings(folder, said)
    assert findings_of(folder) == said
    shutil.rmtree(folder)


def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    """A task may measure with numpy; the report gets a number."""
    said = Measurement(concept=LIVER, value=np.float32(1.5), unit=MM, of=np.uint8(2))  # type: ignore[arg-type]
    keep_findings(tmp_path, Findings(measurements=(said,)))
    (back,) = findings_of(tmp_path).measurements
    assert (back.value, back.of) == (1.5, 2)


def test_a_task_that_answers_nonsense_has_failed(tmp_path: Path) -> None:
    """What is neither number nor text is the task's mistake, and nothing is left that looks whole."""
    said = Measurement(concept=LIVER, value=object(), unit=MM)  # type: ignore[arg-type]
    with pytest.raises(TaskFailed, match="object"):
        keep_findings(tmp_path, Findings(measurements=(said,)))
    with pytest.raises(TaskFailed):
        findings_of(tmp_path)


def test_a_second_attempt_replaces_the_first(tmp_path: Path) -> None:
    """An attempt that is repeated after a crash leaves one answer."""
    keep_findings(tmp_path, everything())
    keep_findings(tmp_path, Findings(notes=("again",)))
    assert findings_of(tmp_path) == Findings(notes=("again",))


@pytest.mark.parametrize("name", ["manifest.json", "findings.json", "arrays.npz"])
@pytest.mark.parametrize("harm", ["absent", "cut short", "one bit flipped", "empty"])
def test_damaged_findings_are_never_encoded(tmp_path: Path, name: str, harm: str) -> None:
    """A report that nobody wrote is worse than none: the job is parked instead."""
    keep_findings(tmp_path, everything())
    path = tmp_path / name
    content = path.read_bytes()
    match harm:
        case "absent":
            path.unlink()
        case "cut short":
            path.write_bytes(content[: len(content) // 2])
        case "empty":
            path.write_bytes(b"")
        case _:
            middle = len(content) // 2
            path.write_bytes(
                content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            )
    with pytest.raises(TaskFailed):
        findings_of(tmp_path)


def _sealed_again(folder: Path) -> None:
    """Let the manifest name what lies there now."""
    names = ("findings.json", "arrays.npz")
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    (folder / "manifest.json").write_text(json.dumps(digests))


def test_what_an_earlier_version_has_left_is_read(tmp_path: Path) -> None:
    """A node is upgraded while jobs wait for the encoder: their arrays are deflated."""
    keep_findings(tmp_path, everything())
    path = tmp_path / "arrays.npz"
    now = path.read_bytes()
    np.savez_compressed(path, allow_pickle=False, **_read_arrays(path))
    assert path.read_bytes() != now
    _sealed_again(tmp_path)
    assert_same(everything(), findings_of(tmp_path))


def test_an_array_that_is_too_short_is_not_filled_with_anything(tmp_path: Path) -> None:
    """Whoever has sealed it: what is not there is not made up from what lay in memory."""
    keep_findings(tmp_path, everything())
    path = tmp_path / "arrays.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("array0.npy.zst", "w") as file:
        head = BytesIO()
        shape = {"descr": "|u1", "fortran_order": False, "shape": (3, 5, 4)}
        np.lib.format.write_array_header_1_0(head, shape)
        file.write(head.getvalue() + imagecodecs.zstd_encode(bytes(7)))
    _sealed_again(tmp_path)
    with pytest.raises(TaskFailed, match="damaged"):
        findings_of(tmp_path)


def test_an_embedding_is_found_among_other_findings(tmp_path: Path) -> None:
    """Whoever needs nothing else gets it to the last bit, or hears that there is none."""
    keep_findings(tmp_path / "with", everything())
    keep_findings(tmp_path / "without", Findings(notes=("nothing",)))
    found, kept = embedding_of(tmp_path / "with"), everything().embedding
    assert found is not None
    assert kept is not None
    assert found.vector.tobytes() == kept.vector.tobytes()
    assert found.sources == FRAMES
    assert embedding_of(tmp_path / "without") is None
    with pytest.raises(TaskFailed, match="incomplete"):
        embedding_of(tmp_path / "absent")


def test_a_folder_without_findings_has_none(tmp_path: Path) -> None:
    """A worker that never came so far has left no folder."""
    with pytest.raises(TaskFailed, match="incomplete"):
        findings_of(tmp_path / "absent")


def test_no_findings_can_run_code(tmp_path: Path) -> None:
    """An array of Python objects would be a pickle; it is neither written nor read."""
    cunning = np.array([{"a": 1}], dtype=object)
    found = Backdrop(array=cunning, sources=FRAMES)
    with pytest.raises(ValueError, match="pickle"):
        keep_findings(tmp_path, Findings(backdrop=found))
    assert not (tmp_path / "manifest.json").exists()


def test_a_field_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Findings of a newer version are not half understood."""
    keep_findings(tmp_path, Findings())
    words = json.loads((tmp_path / "findings.json").read_text())
    (tmp_path / "findings.json").write_text(json.dumps({**words, "heatmap": None}))
    _sealed_again(tmp_path)
    with pytest.raises(TaskFailed):
        findings_of(tmp_path)


def test_a_folder_that_cannot_be_written_says_not_now(tmp_path: Path) -> None:
    """A full or missing disk postpones the job, it does not fail it."""
    (tmp_path / "job").write_text("a file is in the way")
    with pytest.raises(OutOfResources):
        keep_findings(tmp_path / "job" / "1", Findings())


def test_nobody_else_can_enter_the_folder(tmp_path: Path) -> None:
    """A label map is a picture of a patient."""
    keep_findings(tmp_path / "1", everything())
    assert stat.S_IMODE((tmp_path / "1").stat().st_mode) == 0o700
