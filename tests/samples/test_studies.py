"""The studies that `make demo` sends: real pixels, made-up patients, nothing that misleads."""

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from scipy.ndimage import center_of_mass

import dicom_ai_node
from dicom_ai_node.domain.uids import is_uid
from dicom_ai_node.samples.derive import PETCT
from dicom_ai_node.samples.images import CINE_FRAMES, GROWN_BY, cine_path_px
from dicom_ai_node.samples.studies import SAMPLES, write_samples
from dicom_ai_node.samples.volumes import SUV_OF_TEMPLATE
from dicom_ai_node.training.case import part_of_block
from tests.peers.tools import find

PACKAGE = Path(dicom_ai_node.__file__).parent
DATA = PACKAGE.parent / "../shared/material"
PERMISSIVE = {"CC0", "CC BY 3.0", "CC BY 4.0", "CC BY-SA 4.0", "MIT", "BSD-2-Clause", "Apache-2.0"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write all samples once."""
    return write_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="module")
def studies(written: list[Path]) -> dict[str, list[Dataset]]:
    """Return the instances of each study, by the name of its folder."""
    found: dict[str, list[Dataset]] = {}
    for path in written:
        found.setdefault(path.parent.name, []).append(dcmread(path))
    return found


def test_every_kind_of_image_is_there(studies: dict[str, list[Dataset]]) -> None:
    """CT, MR, PET, X-ray, ultrasound, a cine, a slide and lab values; one study in each folder."""
    assert set(studies) == {sample.name for sample in SAMPLES}
    for sample in SAMPLES:
        instances = studies[sample.name]
        assert {ds.Modality for ds in instances} == set(sample.modality.split(", "))
        assert len({ds.StudyInstanceUID for ds in instances}) == 1
        assert len({ds.SeriesInstanceUID for ds in instances}) == len(sample.modality.split(", "))
    assert {sample.modality for sample in SAMPLES} == {
        "CT", "MR", "PT", "PT, CT, SR", "CR", "US", "SM",
    }  # fmt: skip
    assert {name: len(instances) for name, instances in studies.items() if len(instances) > 1} == {
        "ct-head": 28, "mr-hippocampus": 35, "pet-brain": 45, "petct-lung": 49,
    }  # fmt: skip


def test_nobody_is_called_sample(studies: dict[str, list[Dataset]]) -> None:
    """Made-up names and numbers; every UID is one, and no two instances share one."""
    everything = [ds for instances in studies.values() for ds in instances]
    for ds in everything:
        assert str(ds.PatientName).startswith("SAMPLE^")
        assert ds.PatientID.startswith("SAMPLE-")
        assert ds.PatientIdentityRemoved == "YES"
        assert all(
            is_uid(uid) for uid in (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        )
    assert len({ds.SOPInstanceUID for ds in everything}) == len(everything)
    assert len({ds.PatientID for ds in everything}) == len(SAMPLES) - 1  # one comes twice


def test_writing_again_gives_the_same_bytes(written: list[Path], tmp_path: Path) -> None:
    """A study that is sent twice is the same study."""
    again = write_samples(tmp_path)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_every_licence_is_permissive_and_attributed() -> None:
    """The attribution lies beside the pixels and names each file."""
    text = (PACKAGE / "samples/ATTRIBUTION.md").read_text()
    assert {sample.licence for sample in SAMPLES} <= PERMISSIVE
    for sample in SAMPLES:
        assert sample.licence in text
    for path in (PACKAGE / "samples/pixels").iterdir():
        assert f"`{path.name}`" in text


def test_the_repository_stays_small() -> None:
    """At most 6 MB of pixels, and none of them as DICOM."""
    files = list((PACKAGE / "samples").rglob("*"))
    assert sum(path.stat().st_size for path in files if path.is_file()) < 6_000_000
    assert not [path for path in files if path.suffix == ".dcm"]


@pytest.mark.peer
def test_dciodvfy_finds_no_error(written: list[Path]) -> None:
    """Every file that a visitor sends is valid DICOM."""
    program = find("dciodvfy")
    for path in written:
        said = subprocess.run(
            [program, "-new", str(path)], capture_output=True, text=True, check=False
        )
        assert "Error" not in said.stderr, f"{path.parent.name}/{path.name}: {said.stderr}"
        assert said.returncode == 0


def test_the_head_lies_as_it_was_scanned(studies: dict[str, list[Dataset]]) -> None:
    """Tilted by 18.5 degrees, with the two spacings of the scanner, in Hounsfield units."""
    head = sorted(studies["ct-head"], key=lambda ds: float(ds.ImagePositionPatient[2]))
    z = np.array([float(ds.ImagePositionPatient[2]) for ds in head])
    assert {round(gap, 2) for gap in np.diff(z)} == {4.22, 1.14, 7.38}
    down = np.array(head[0].ImageOrientationPatient[3:], float)
    assert np.degrees(np.arcsin(-down[2])) == pytest.approx(18.5, abs=0.01)
    hu = np.stack([ds.pixel_array for ds in head]) * float(head[0].RescaleSlope)
    brain = (hu > 0) & (hu < 80)
    assert brain[14].mean() > 0.2
    assert hu.max() > 1000
    assert hu.min() == head[0].PixelPaddingValue


@pytest.mark.skipif(
    not DATA.exists(), reason="the published data lie beside the repository or not at all"
)
def test_the_head_did_not_move_when_it_was_made_smaller(studies: dict[str, list[Dataset]]) -> None:
    """The centre of mass is where it is in the source, to a twentieth of a millimetre."""

    def middle(ds: Dataset) -> NDArray[np.float64]:
        row, column = center_of_mass(np.clip(ds.pixel_array.astype(float) + 1000, 0, None))
        across, down = np.split(np.array(ds.ImageOrientationPatient, float), 2)
        spacing = np.array(ds.PixelSpacing, float)
        corner = np.array(ds.ImagePositionPatient, float)
        return corner + across * column * spacing[1] + down * row * spacing[0]

    for number in (5, 20):
        source = dcmread(DATA / f"dicom/ct-head-ge-28/{number:02d}.dcm")
        [ours] = [ds for ds in studies["ct-head"] if ds.InstanceNumber == number]
        np.testing.assert_allclose(middle(ours), middle(source), atol=0.05)


def test_the_brain_takes_up_what_a_brain_does(studies: dict[str, list[Dataset]]) -> None:
    """Bq/ml become SUVbw by the header alone, and the cortex lies where adults' cortex does."""
    brain = studies["pet-brain"]
    [drug] = brain[0].RadiopharmaceuticalInformationSequence
    waited = (10 - 9) * 3600
    dose = float(drug.RadionuclideTotalDose) * 0.5 ** (waited / float(drug.RadionuclideHalfLife))
    per_bqml = float(brain[0].PatientWeight) * 1000 / dose
    suv = np.stack([ds.pixel_array * float(ds.RescaleSlope) for ds in brain]) * per_bqml
    assert brain[0].Units == "BQML"
    assert 4 < np.percentile(suv[suv > 1], 95) < 10
    assert suv.max() == pytest.approx(SUV_OF_TEMPLATE * 1.67, rel=0.02)


@pytest.mark.parametrize(
    ("name", "mm_across"),
    [("us-fetal-head-2nd", 109.28), ("us-fetal-head-3rd", 155.01), ("us-cine", 73.54)],
)
def test_ultrasound_is_calibrated(
    studies: dict[str, list[Dataset]], name: str, mm_across: float
) -> None:
    """The whole image is as wide and as high as the 800 x 540 pixels that it was made from."""
    [ds] = studies[name]
    [region] = ds.SequenceOfUltrasoundRegions
    assert region.PhysicalUnitsXDirection == region.PhysicalUnitsYDirection == 3
    assert ds.Columns * region.PhysicalDeltaX * 10 == pytest.approx(mm_across, abs=0.01)
    assert ds.Rows * region.PhysicalDeltaY * 10 == pytest.approx(mm_across * 540 / 800, abs=0.01)


def test_one_patient_comes_twice_and_has_grown(studies: dict[str, list[Dataset]]) -> None:
    """The same number, a later date, the same pixels, and every length longer by the same."""
    [before], [after] = studies["us-fetal-head-2nd"], studies["us-fetal-head-grown"]
    assert (after.PatientID, after.PatientName) == (before.PatientID, before.PatientName)
    assert (before.StudyDate, after.StudyDate) == ("20250303", "20250331")
    assert after.PixelData == before.PixelData
    for side in "XY":
        lengths = [
            ds.SequenceOfUltrasoundRegions[0][f"PhysicalDelta{side}"].value
            for ds in (before, after)
        ]
        assert lengths[1] / lengths[0] == pytest.approx(GROWN_BY)


def test_the_cine_moves_by_its_path(studies: dict[str, list[Dataset]]) -> None:
    """Each frame is the first one, moved by what `cine_path_px` says, a frame every 40 ms."""
    [cine] = studies["us-cine"]
    frames, path = cine.pixel_array.astype(float), cine_path_px()
    assert int(cine.NumberOfFrames) == CINE_FRAMES == len(frames)
    assert float(cine.FrameTime) == 40.0
    for index in (0, 6, 12, 18):
        down, right = path[index]
        inner = frames[index][60:-20, 40:-40]
        moves = [
            (abs(inner - frames[0][60 - dy : 173 - 20 - dy, 40 - dx : 256 - 40 - dx]).mean(), dy, dx)
            for dy in range(20) for dx in range(-14, 15)
        ]  # fmt: skip
        _, dy, dx = min(moves)
        assert abs(dy - down) <= 0.51
        assert abs(dx - right) <= 0.51


def test_the_x_ray_claims_no_millimetres(studies: dict[str, list[Dataset]]) -> None:
    """The size of its pixels was never published."""
    [ds] = studies["cr-chest"]
    assert "PixelSpacing" not in ds
    assert "ImagerPixelSpacing" not in ds


def recipe(model: str) -> ModuleType:
    """Return the training recipe of a model of this repository."""
    path = PACKAGE / f"bundles/{model}/configs/train.py"
    if not path.exists():
        pytest.skip(f"{model} is not in this repository")
    spec = importlib.util.spec_from_file_location(f"recipe_{model}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data() -> Path:
    """Return the published data, or skip."""
    if not DATA.exists():
        pytest.skip("the published data lie beside the repository or not at all")
    return DATA


@pytest.mark.parametrize("number", [297, 702, 144])
def test_no_model_has_seen_the_fetal_heads(number: int) -> None:
    """They lie in the held-out blocks of the recipe."""
    fetal = recipe("fetal_head_us")
    assert part_of_block(number, fetal.BLOCK, fetal.EVERY) == "test"


def test_no_model_has_seen_the_hippocampus(data: Path) -> None:
    """It lies in the held-out part of the recipe."""
    hippocampus = recipe("hippocampus_mr")
    names = [path.name for path in sorted((data / "train/hippocampus/images").glob("*.nii.gz"))]
    position = names.index("hippocampus_003.nii.gz")
    assert part_of_block(position, hippocampus.BLOCK, hippocampus.EVERY) == "test"


def test_no_model_has_seen_the_lung_of_the_pair() -> None:
    """It is the patient whom the recipe holds out."""
    assert recipe("petct_lesion").HELD_OUT in PETCT


def test_the_pair_lies_in_one_frame_of_reference(studies: dict[str, list[Dataset]]) -> None:
    """PET and CT cover the same part of the same patient, the CT with finer pixels."""
    pair = [ds for ds in studies["petct-lung"] if ds.Modality != "SR"]
    assert len({ds.FrameOfReferenceUID for ds in pair}) == 1
    ends = {}
    for ds in pair:
        corner, spacing = np.array(ds.ImagePositionPatient, float), float(ds.PixelSpacing[0])
        first = corner[:2] - spacing / 2
        ends.setdefault(ds.Modality, set()).add((*first, *(first + ds.Rows * spacing), corner[2]))
    assert ends["PT"] == ends["CT"]


def test_no_model_has_seen_the_chest(data: Path) -> None:
    """Its patient lies in the held-out part of the recipe."""
    chest = recipe("lung_fields_cxr")
    rows = json.loads((data / "train/cxr/labels.json").read_text())
    rows = [row for row in rows if row["has_lung_mask"] and row["license"] in chest.FREE]
    patients = sorted({row["patient"] for row in rows})
    [ours] = [row for row in rows if row["file"] == "eaf0b33c9223.png"]
    assert part_of_block(patients.index(ours["patient"]), 1, chest.EVERY) == "test"
    assert ours["license"] == "CC BY 3.0"
