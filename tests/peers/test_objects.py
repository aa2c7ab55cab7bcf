"""Every object that the node can write, made from every kind of source, before foreign judges."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import segread
from pydicom import config, dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.findings import Segmentation
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.ports import Encoder
from dicom_ai_node.domain.slide import slide_of
from dicom_ai_node.encode.headers import read_sources
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from tests import phantoms
from tests.encode import scenes
from tests.peers import validators
from tests.peers.validators import NoGeometry, NotUpright, Verdict

pytestmark = pytest.mark.timeout(900)  # the first test waits for all judges and all objects

REAL_HEAD = "real head CT, tilted, two spacings"
NOTHING = "CT, nothing found"
CLASSIFIED = {f"{name}, classified": make for name, make in scenes.CLASSIFIED.items()}
DOUBTFUL: Mapping[str, Callable[[], scenes.Scene]] = {
    "CR, manipulated": lambda: scenes.doubtful([phantoms.cr()]),
    "US cine, manipulated and smoothed": lambda: scenes.doubtful(
        [phantoms.us_cine()], is_purified=True
    ),
    "CR, manipulated and declined": lambda: replace(
        scenes.declined([phantoms.cr()]),
        findings=scenes.doubtful([phantoms.cr()], declined="IN_MANIPULATED: why").findings,
    ),
    "CT, declined": lambda: scenes.declined(phantoms.ct(4)),
}
"""Inputs that the guard of a model has something to say about."""
COUNTED = {f"{name}, counted": make for name, make in scenes.COUNTED.items()}
RESTORED = {f"{name}, restored": (make, 1) for name, make in scenes.RESTORED.items()} | {
    f"{name}, finer": (scenes.RESTORED[name], 2) for name in ("CT", "MR", "US", "US cine")
}
ALIKE = {f"{name}, alike": make for name, make in scenes.ALIKE.items()}
DETECTED = {f"{name}, boxes": make for name, make in scenes.DETECTED.items()}
NO_BOXES = "CR, boxes, none found"
LESIONS = {f"{name}, lesions": make for name, make in scenes.LESIONS.items()}
COMPARED = {f"{name}, compared": make for name, make in scenes.COMPARED.items()}
SOURCES = [
    *scenes.SOURCES,
    *CLASSIFIED,
    *RESTORED,
    *DETECTED,
    *DOUBTFUL,
    *ALIKE,
    *scenes.FOLLOWED,
    *scenes.FUSED,
    *COUNTED,
    *COMPARED,
    *LESIONS,
    REAL_HEAD,
    NOTHING,
    NO_BOXES,
]
UPRIGHT = {
    "CT",
    "MR",
    "PET",
    "enhanced MR",
    "name in UTF-8",
    "name in ISO 2022",
    "no Type 2",
    "CT, compared",
    "CT, lesions",
    "PET, lesions",
    "enhanced MR, lesions",
}
"""Sources of which dcmqi can make a volume."""

_ALWAYS = {"PS3.3", "dcmftest"}
JUDGES: Mapping[str, set[str]] = {
    "segmentation": _ALWAYS | {"dciodvfy"},
    "segmentation_fractional": _ALWAYS | {"dciodvfy"},
    "segmentation_labelmap": _ALWAYS,
    "annotations": _ALWAYS | {"dciodvfy"},
    "rt_structure_set": _ALWAYS | {"dciodvfy", "drtdump"},
    "parametric_map": _ALWAYS | {"dciodvfy", "dcmqi"},
    "presentation_state": _ALWAYS | {"dciodvfy"},
    "secondary_capture": _ALWAYS | {"dciodvfy", "dcmj2pnm"},
    "derived_image": _ALWAYS | {"dciodvfy", "dcmj2pnm"},
    "key_objects": _ALWAYS | {"dciodvfy", "dsrdump", "dsr2xml", "pixelmed"},
    "structured_report": _ALWAYS
    | {"dciodvfy", "dsrdump", "dsr2xml", "tid1500reader", "AIR", "pixelmed"},
}


@dataclass(frozen=True, slots=True)
class Written:
    """What was made from one source."""

    scene: scenes.Scene
    paths: tuple[Path, ...]

    def path(self, kind: str) -> Path:
        """Return the file of one kind of object."""
        return next(path for path in self.paths if path.stem.endswith(f"-{kind}"))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Written]:
    """Return the objects of all kinds from every source, as files that came from files."""
    folder = tmp_path_factory.mktemp("objects")
    made = {}
    for number, name in enumerate(SOURCES):
        scene = _scene(name, folder / f"source-{number}")
        if scene is not None:
            objects = encode_job(scene.findings, scene.origin, _encoders(name))
            paths = write_objects(folder / f"result-{number}", objects)
            made[name] = Written(scene, tuple(paths))
    return made


@pytest.fixture(scope="session")
def verdict(written: Mapping[str, Written], tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """Return what all validators say about all of it."""
    paths = [path for made in written.values() for path in made.paths]
    return validators.validate(paths, tmp_path_factory.mktemp("validators"))


@pytest.mark.parametrize("source", SOURCES)
def test_no_validator_complains_about_any_object_of_this_source(
    source: str, written: Mapping[str, Written], verdict: Verdict
) -> None:
    """Zero errors from every validator that knows the object."""
    made = _made(source, written)
    about = [
        f"{item.path.name}: {item.tool}: {item.text}"
        for item in verdict.complaints
        if item.path in made.paths
    ]
    assert about == []
    for path in made.paths:
        kind = path.stem.partition("-")[2]
        assert set(verdict.checked[path]) == JUDGES[kind] | _also(source, kind)


def _also(source: str, kind: str) -> set[str]:
    """Return who looks at this kind of object only if it comes from such a source."""
    if "segment" in kind and source in {*UPRIGHT, "cine MR, outline followed"}:
        return {"dcmqi"}
    if kind == "presentation_state" and source not in {"US, boxes", "US cine, boxes"}:
        return {"dcmpschk"}  # it does not know those in colour
    return set()


@pytest.mark.parametrize("source", sorted(UPRIGHT))
@pytest.mark.parametrize("kind", ["segmentation", "segmentation_labelmap"])
def test_another_implementation_finds_every_voxel_where_the_model_put_it(
    source: str, kind: str, written: Mapping[str, Written], tmp_path: Path
) -> None:
    """The volumes that dcmqi makes of our segmentations equal the labels, in value and in place."""
    made = _made(source, written)
    found = made.scene.findings.segmentation
    assert found is not None
    for number, (array, affine) in validators.volumes(made.path(kind), tmp_path).items():
        wanted = [number] if kind == "segmentation" else [1, 2]
        for value in wanted:
            seen = array > 0 if kind == "segmentation" else array == value
            _assert_same_place(found, made.scene.origin.sources, value, seen, affine)


@pytest.mark.parametrize("source", ["CT, classified", "MR, classified", "enhanced MR, classified"])
def test_another_implementation_finds_the_heat_where_the_model_put_it(
    source: str, written: Mapping[str, Written], tmp_path: Path
) -> None:
    """The volume that dcmqi makes of a parametric map is the heat map, in value and in place."""
    made = _made(source, written)
    heat = made.scene.findings.heat_map
    assert heat is not None
    array, affine = validators.map_volume(made.path("parametric_map"), tmp_path)
    to_slice = np.linalg.inv(affine)
    for warmth, plane in zip(
        heat.array, planes(heat.sources, made.scene.origin.sources), strict=True
    ):
        column, row, at = (to_slice @ (*(plane.corner_mm * (-1, -1, 1)), 1))[:3]
        assert np.allclose((column, row, at - round(at)), 0, atol=1e-3)
        assert np.array_equal(array[round(at)], warmth.astype(np.float32))


@pytest.mark.parametrize("source", [*scenes.SOURCES, *COUNTED, REAL_HEAD])
def test_another_implementation_draws_every_frame_as_the_model_labelled_it(
    source: str, written: Mapping[str, Written], tmp_path: Path
) -> None:
    """Frame by frame, DCMTK's pictures of our segmentations equal the labels of their sources."""
    made = _made(source, written)
    found = made.scene.findings.segmentation
    assert found is not None
    index = {frame: at for at, frame in enumerate(found.sources)}
    for kind in ("segmentation", "segmentation_labelmap"):
        dataset = dcmread(made.path(kind), stop_before_pixels=True)
        pictures = validators.drawn(made.path(kind), tmp_path)
        assert len(pictures) == dataset.NumberOfFrames
        for picture, group in zip(pictures, dataset.PerFrameFunctionalGroupsSequence, strict=True):
            image = group.DerivationImageSequence[0].SourceImageSequence[0]
            frame = SourceFrame(
                image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber", 1)
            )
            labels = found.labels[index[frame]]
            if kind == "segmentation":
                number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
                assert np.array_equal(picture, labels == number)
            else:
                assert np.array_equal(picture, labels > 0)


@pytest.mark.parametrize("source", ["whole slide, counted", "sparse slide, counted"])
def test_another_implementation_puts_the_tiles_of_a_slide_together(
    source: str, written: Mapping[str, Written]
) -> None:
    """highdicom's reader of segmentations gives the matrix that the labels were cut from."""
    made = _made(source, written)
    found = made.scene.findings.segmentation
    assert found is not None
    slide = slide_of(made.scene.origin.sources[0])
    wanted = np.zeros(slide.shape, np.uint8)
    for labels, tile in zip(found.labels, slide.tiles, strict=True):
        wanted[tile.row : tile.row + len(labels), tile.column : tile.column + len(labels)] = labels
    matrix = segread(made.path("segmentation")).get_total_pixel_matrix(combine_segments=True)
    assert np.array_equal(matrix, wanted)


@pytest.mark.parametrize("source", ["US cine", "DX", "two CR", "CT tilted, uneven", REAL_HEAD])
def test_dcmqi_is_known_not_to_read_what_is_no_upright_volume(
    source: str, written: Mapping[str, Written], tmp_path: Path
) -> None:
    """If it learns to, the comparison above shall cover these sources, too."""
    made = _made(source, written)
    with pytest.raises((NoGeometry, NotUpright)):
        validators.volumes(made.path("segmentation"), tmp_path)


def test_the_judges_and_their_verdicts_are_shown(
    written: Mapping[str, Written], verdict: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line per object: the source, the kind, how many validators looked, how many errors."""
    with capsys.disabled():
        print(f"\n\n{'source':36}{'object':38}{'errors':>7}  validators")  # noqa: T201
        for source, made in written.items():
            for path in made.paths:
                errors = sum(item.path == path for item in verdict.complaints)
                tools = ", ".join(verdict.checked[path])
                print(f"{source:36}{path.stem:38}{errors:>7}  {tools}")  # noqa: T201
    least = 5 * len(scenes.SOURCES) + 2 * len(CLASSIFIED) + 3 * len(DETECTED)
    least += 3 * len(scenes.FOLLOWED)
    assert sum(len(made.paths) for made in written.values()) > least


def _broken(made: Written, kind: str, harm: Callable[[Dataset], None], folder: Path) -> Path:
    dataset = dcmread(made.path(kind))
    harm(dataset)
    path = folder / "broken.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def _no_algorithm(dataset: Dataset) -> None:
    del dataset.SegmentSequence[0].SegmentAlgorithmName


def _no_property(dataset: Dataset) -> None:
    del dataset.SegmentSequence[1].SegmentedPropertyTypeCodeSequence


def _no_positions(dataset: Dataset) -> None:
    for group in dataset.PerFrameFunctionalGroupsSequence:
        del group.PlanePositionSequence


def _foreign(dataset: Dataset) -> None:
    dataset.KVP = "120"


def _no_evidence(dataset: Dataset) -> None:
    del dataset.CurrentRequestedProcedureEvidenceSequence


def _groups(dataset: Dataset) -> Sequence[Dataset]:
    groups: Sequence[Dataset] = dataset.ContentSequence[-1].ContentSequence
    return groups


def _no_tracking(dataset: Dataset) -> None:
    del _groups(dataset)[0].ContentSequence[1]


def _no_procedure(dataset: Dataset) -> None:
    kept = [
        item
        for item in dataset.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeValue != "121058"
    ]
    dataset.ContentSequence = kept


def _odd_unit(dataset: Dataset) -> None:
    for item in _groups(dataset)[0].ContentSequence:
        if item.ValueType == "NUM":
            del item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def _odd_procedure(dataset: Dataset) -> None:
    for item in dataset.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == "121058":
            item.ConceptCodeSequence[0].CodeValue = "77477000"


def _no_conversion(dataset: Dataset) -> None:
    del dataset.ConversionType


def _no_label(dataset: Dataset) -> None:
    del dataset.StructureSetLabel


def _no_contour_type(dataset: Dataset) -> None:
    del dataset.ROIContourSequence[0].ContourSequence[0].ContourGeometricType


def _no_quantity(dataset: Dataset) -> None:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    del shared.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence


def _no_anatomy(dataset: Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].FrameAnatomySequence


def _no_content_label(dataset: Dataset) -> None:
    del dataset.ContentLabel


def _no_pixels(dataset: Dataset) -> None:
    del dataset.PixelData


def _no_shape(dataset: Dataset) -> None:
    del dataset.PresentationLUTShape


def _no_area(dataset: Dataset) -> None:
    del dataset.DisplayedAreaSelectionSequence


def _odd_date(dataset: Dataset) -> None:
    with config.disable_value_validation():
        dataset.PresentationCreationDate = "20269999"


def _no_layer(dataset: Dataset) -> None:
    del dataset.GraphicAnnotationSequence[0].GraphicLayer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "harm", "tool"),
    [
        pytest.param("presentation_state", _no_shape, "dciodvfy", id="no shape of the grey values"),
        pytest.param("presentation_state", _no_area, "PS3.3", id="no displayed area"),
        pytest.param("presentation_state", _odd_date, "dcmpschk", id="a day that never was"),
        pytest.param("presentation_state", _no_layer, "dciodvfy", id="graphics without a layer"),
        pytest.param("segmentation", _no_algorithm, "dciodvfy", id="no algorithm name"),
        pytest.param("segmentation", _foreign, "PS3.3", id="an attribute of another IOD"),
        pytest.param("segmentation", _no_positions, "dcmqi", id="no slice positions"),
        pytest.param("segmentation_labelmap", _no_property, "PS3.3", id="no property type"),
        pytest.param("structured_report", _no_evidence, "AIR", id="no evidence"),
        pytest.param("structured_report", _no_tracking, "AIR", id="no tracking UID"),
        pytest.param("structured_report", _no_procedure, "AIR", id="no procedure reported"),
        pytest.param("structured_report", _odd_unit, "dciodvfy", id="a number without unit"),
        pytest.param(
            "structured_report", _odd_procedure, "pixelmed", id="a code of no context group"
        ),
        pytest.param("rt_structure_set", _no_label, "dciodvfy", id="no name of the structures"),
        pytest.param("rt_structure_set", _no_contour_type, "drtdump", id="no type of a contour"),
        pytest.param("parametric_map", _no_quantity, "dciodvfy", id="numbers without a unit"),
        pytest.param("parametric_map", _no_anatomy, "dcmqi", id="no body part"),
        pytest.param("parametric_map", _no_content_label, "PS3.3", id="no label of the content"),
        pytest.param("secondary_capture", _no_conversion, "dciodvfy", id="no conversion type"),
        pytest.param("secondary_capture", _no_pixels, "dcmj2pnm", id="no pixels"),
    ],
)
def test_the_judges_notice_when_an_object_is_broken(
    kind: str,
    harm: Callable[[Dataset], None],
    tool: str,
    written: Mapping[str, Written],
    tmp_path: Path,
) -> None:
    """Silence counts only because each of them speaks up when there is something to say."""
    source = {"presentation_state": "CR, boxes", "parametric_map": "CT, classified"}.get(kind, "CT")
    path = _broken(written[source], kind, harm, tmp_path)
    said = validators.validate([path], tmp_path, only=tool)
    assert tool in {item.tool for item in said.complaints}


def _of(
    scene: Callable[[Sequence[Dataset]], scenes.Scene], make: Callable[[], Sequence[Dataset]]
) -> scenes.Scene:
    return scene(make())


_MADE: Mapping[str, Callable[[], scenes.Scene]] = {
    **DOUBTFUL,
    NOTHING: lambda: scenes.nothing(phantoms.ct()),
    NO_BOXES: lambda: scenes.undetected([phantoms.cr()]),
    **scenes.FOLLOWED,
    **scenes.FUSED,
    **{name: partial(_of, scenes.classified, make) for name, make in CLASSIFIED.items()},
    **{name: partial(_of, scenes.detected, make) for name, make in DETECTED.items()},
    **{name: partial(_of, scenes.alike, make) for name, make in ALIKE.items()},
    **{name: partial(_of, scenes.counted, make) for name, make in COUNTED.items()},
    **{name: partial(_of, scenes.with_lesions, make) for name, make in LESIONS.items()},
    **{name: partial(_of, scenes.compared, make) for name, make in COMPARED.items()},
    **{
        name: partial(_of, partial(scenes.restored, factor=factor), make)
        for name, (make, factor) in RESTORED.items()
    },
}
"""Scenes that are not those of a segmentation."""


def _scene(name: str, folder: Path) -> scenes.Scene | None:
    if name == REAL_HEAD:
        headers = scenes.head_ct()
        return None if headers is None else scenes.scene_of(headers)
    made = _MADE.get(name)
    if made is not None:
        return made()
    return scenes.scene_of(read_sources(phantoms.write(scenes.SOURCES[name](), folder)))


def _encoders(name: str) -> Mapping[str, Encoder]:
    """Return what a route for such findings asks for: nothing is reported of a restored image."""
    if name in ALIKE:
        return {"key_objects": ENCODERS["key_objects"]}
    if name not in RESTORED:
        return ENCODERS
    return {kind: ENCODERS[kind] for kind in ("derived_image", "secondary_capture")}


def _made(source: str, written: Mapping[str, Written]) -> Written:
    if source not in written:
        pytest.skip("the real head CT is not here")
    return written[source]


def _assert_same_place(
    found: Segmentation,
    sources: Sequence[Dataset],
    value: int,
    seen: np.ndarray,
    affine: np.ndarray,
) -> None:
    """Compare frame by frame: each labelled source frame with the slice that lies where it lies."""
    to_slice = np.linalg.inv(affine)
    matched = 0
    for index, plane in enumerate(planes(found.sources, sources)):
        mask = found.labels[index] == value
        if not mask.any():
            continue
        corner = plane.corner_mm * (-1, -1, 1)  # NIfTI points right, anterior, head
        column, row, place = (to_slice @ (*corner, 1))[:3]
        assert np.allclose((column, row), 0, atol=1e-3)
        assert abs(place - round(place)) < 1e-3
        assert np.array_equal(seen[round(place)], mask)
        matched += 1
    assert matched == np.count_nonzero(seen.any(axis=(1, 2)))
