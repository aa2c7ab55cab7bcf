"""Whether two series are of one patient is told without keeping who it is."""

import stat
from pathlib import Path

from dicom_ai_node.store.patients import Patients
from tests import phantoms

KEY = b"k" * 32


def _file(folder: Path, name: str, **changes: str | None) -> Path:
    image = phantoms.cr()
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    (path,) = phantoms.write([image], folder / name)
    return path


def test_two_images_of_one_patient_have_the_same_hash(tmp_path: Path) -> None:
    """Padding of the number does not make another person."""
    patients = Patients(KEY)
    one = patients.of(_file(tmp_path, "one", PatientID="4711"))
    assert one == patients.of(_file(tmp_path, "two", PatientID="4711 ", PatientName="Other^Name"))
    assert len(one) == 64
    assert one != patients.of(_file(tmp_path, "three", PatientID="4712"))


def test_the_same_number_of_another_hospital_is_another_patient(tmp_path: Path) -> None:
    """A number says something only together with who gave it, PS3.3 C.7.1.1."""
    here = _file(tmp_path, "here", PatientID="4711", IssuerOfPatientID="HERE")
    there = _file(tmp_path, "there", PatientID="4711", IssuerOfPatientID="THERE")
    assert len({Patients(KEY).of(path) for path in (here, there)}) == 2


def test_without_the_key_nobody_can_try_numbers(tmp_path: Path) -> None:
    """Patient numbers are short; a plain hash of them could be looked up."""
    path = _file(tmp_path, "one", PatientID="4711")
    assert Patients(KEY).of(path) != Patients(b"x" * 32).of(path)


def test_nobody_is_like_nobody(tmp_path: Path) -> None:
    """An image that does not say whose it is, or cannot be read, is of no known patient."""
    torn = tmp_path / "torn"
    torn.write_bytes(b"DICM")
    nameless = _file(tmp_path, "nameless", PatientID="")
    assert [Patients(KEY).of(path) for path in (nameless, torn, tmp_path / "gone")] == [""] * 3


def test_the_key_is_made_once_and_read_by_nobody_else(tmp_path: Path) -> None:
    """With another key after a restart no patient would have a past."""
    path, image = tmp_path / "patient_key", _file(tmp_path, "one", PatientID="4711")
    first, again = Patients.with_key(path), Patients.with_key(path)
    assert first.of(image) == again.of(image)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
