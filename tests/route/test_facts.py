"""What a series is, read from real headers by the real receiver."""

from pathlib import Path

import pytest
from pydicom.dataset import FileDataset

from dicom_ai_node.domain.study import Series
from dicom_ai_node.domain.uids import SOPClassUID
from dicom_ai_node.domain.vocabulary import FACTS, Kind, Value
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.route.facts import facts, values_of
from tests import phantoms
from tests.series import instance, series, slices

TYPES = {Kind.TEXT: str, Kind.WHOLE: int, Kind.NUMBER: float, Kind.YES_NO: bool}


def received(datasets: list[FileDataset] | FileDataset, folder: Path) -> Series:
    """Return data sets as the series that the receiver reads."""
    return series([instance_of(path) for path in phantoms.write(datasets, folder)])


def test_a_ct(tmp_path: Path) -> None:
    """A regular axial series."""
    found = facts(received(phantoms.ct(slices=12, spacing_mm=(2.5, 0.8, 0.9)), tmp_path))
    assert found["instances"] == found["slices"] == found["frames"] == 12
    assert found["slice_spacing_mm"] == pytest.approx(2.5)
    assert found["pixel_spacing_mm"] == pytest.approx(0.9)
    assert found["orientation"] == "AXIAL"
    assert found["calling_ae_title"] == "SCANNER"
    truths = {name: value for name, value in found.items() if isinstance(value, bool)}
    assert truths == {
        "slice_gap_is_even": True,
        "contrast": False,
        "is_original": True,
        "is_primary": True,
        "is_localizer": False,
        "is_multiframe": False,
    }


def test_a_cine_has_frames_and_no_slices(tmp_path: Path) -> None:
    """Ultrasound has no place in the patient."""
    found = facts(received(phantoms.us_cine(frames=8), tmp_path))
    assert (found["instances"], found["frames"], found["is_multiframe"]) == (1, 8, True)
    assert {"slices", "orientation", "slice_spacing_mm"}.isdisjoint(found)


@pytest.mark.parametrize(
    ("plane", "name"),
    [
        pytest.param(r"1\0\0\0\1\0", "AXIAL", id="axial"),
        pytest.param(r"-1\0\0\0\1\0", "AXIAL", id="axial from above"),
        pytest.param(r"1\0\0\0\0\-1", "CORONAL", id="coronal"),
        pytest.param(r"0\1\0\0\0\-1", "SAGITTAL", id="sagittal"),
        pytest.param(r"1\0\0\0\0.9397\0.342", "AXIAL", id="tilted by 20 degrees"),
        pytest.param(r"1\0\0\0\0.866\0.5", "OBLIQUE", id="tilted by 30 degrees"),
    ],
)
def test_orientation(plane: str, name: str) -> None:
    """Within 25 degrees of an axis of the patient."""
    assert facts(series(slices([0, 5], plane)))["orientation"] == name


@pytest.mark.parametrize(
    ("name", "attributes", "value"),
    [
        pytest.param("contrast", [{"ContrastBolusAgent": "Iohexol"}], True, id="an agent"),
        pytest.param("contrast", [{"ContrastBolusAgent": "NONE"}], False, id="no agent in words"),
        pytest.param("contrast", [{}, {"ContrastBolusAgent": "x"}], True, id="in one instance"),
        pytest.param("is_original", [{}], None, id="ImageType is absent"),
        pytest.param("is_original", [{"ImageType": r"DERIVED\PRIMARY"}], False, id="derived"),
        pytest.param(
            "is_original", [{"ImageType": "ORIGINAL"}, {"ImageType": "DERIVED"}], False, id="mixed"
        ),
        pytest.param("is_primary", [{"ImageType": "ORIGINAL"}], False, id="a single value"),
        pytest.param(
            "is_localizer", [{"ImageType": r"ORIGINAL\PRIMARY\LOCALIZER"}], True, id="localizer"
        ),
        pytest.param("frames", [{"NumberOfFrames": "many"}], 1, id="frames in words"),
        pytest.param("frames", [{"NumberOfFrames": "7"}, {"NumberOfFrames": "0"}], 8, id="sum"),
        pytest.param("pixel_spacing_mm", [{"PixelSpacing": "wide"}], None, id="no spacing"),
    ],
)
def test_facts_from_headers(
    name: str, attributes: list[dict[str, str]], value: Value | None
) -> None:
    """Also from poor ones; what cannot be derived is absent."""
    found = facts(series([instance(str(n), **each) for n, each in enumerate(attributes)]))
    assert found.get(name) == value


def test_a_hole_is_a_fact() -> None:
    """A route can leave out what the scanner has not sent in full."""
    found = facts(series(slices([0, 1, 3, 4])))
    assert (found["missing_slices"], found["slice_gap_is_even"]) == (1, False)


def test_uneven_slices_have_no_number_of_missing_ones() -> None:
    """Nobody knows what is missing between slices that follow no rule."""
    assert "missing_slices" not in facts(series(slices([0, 1, 2.4, 4.9])))


def test_time_points_are_not_counted_as_slices() -> None:
    """Three places twice are three slices and six instances."""
    found = facts(series(slices([0, 1, 2, 0, 1, 2])))
    assert (found["slices"], found["instances"]) == (3, 6)


def test_frames_of_enhanced_objects_are_slices() -> None:
    """Their places lie in functional groups, which the ledger does not keep."""
    enhanced = SOPClassUID("1.2.840.10008.5.1.4.1.1.4.1")
    found = facts(series([instance("a", enhanced, NumberOfFrames="60")]))
    assert found["slices"] == 60


@pytest.mark.parametrize(
    "make",
    [phantoms.ct, phantoms.mr, phantoms.pet, phantoms.dx, phantoms.cr, phantoms.us, phantoms.us_cine],
)  # fmt: skip
def test_every_fact_is_documented_and_of_its_type(make: object, tmp_path: Path) -> None:
    """The reference is made from the table of facts; it must be whole and true."""
    found = facts(received(make(), tmp_path))  # type: ignore[operator]
    assert found.keys() <= FACTS.keys()
    for name, value in found.items():
        assert type(value) is TYPES[FACTS[name].kind], name
        if FACTS[name].values:
            assert str(value).upper() in FACTS[name].values


def test_no_patient_is_among_the_values(tmp_path: Path) -> None:
    """Nothing that a route can look at names the patient."""
    assert "CANARY" not in str(values_of(received(phantoms.ct(slices=2), tmp_path)))
