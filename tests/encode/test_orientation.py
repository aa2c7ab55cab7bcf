"""A picture tells to which side of the patient it runs."""

import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.encode.orientation import UNKNOWN, Edges, edges_of, patient_orientation
from dicom_ai_node.encode.planes import Plane


def _plane(orientation: tuple[str, ...] | None, received: object = None) -> Plane:
    header = Dataset()
    if received is not None:
        header.PatientOrientation = received
    return Plane(
        frame=SourceFrame(SOPInstanceUID("1.2.3")),
        header=header,
        position=None,
        orientation=orientation,
        spacing=None,
        thickness=None,
    )


@pytest.mark.parametrize(
    ("orientation", "edges"),
    [
        pytest.param("1 0 0 0 1 0", Edges("R", "L", "A", "P"), id="axial, seen from the feet"),
        pytest.param("0 1 0 0 0 -1", Edges("A", "P", "H", "F"), id="sagittal"),
        pytest.param("1 0 0 0 0 -1", Edges("R", "L", "H", "F"), id="coronal"),
        pytest.param("-1 0 0 0 -1 0", Edges("L", "R", "P", "A"), id="axial, prone and turned"),
        pytest.param("1 0 0 0 0.9 0.43589", Edges("R", "L", "AF", "PH"), id="axial, tilted"),
    ],
)
def test_the_letters_are_those_of_the_patient_coordinate_system(
    orientation: str, edges: Edges
) -> None:
    """x grows to the left, y to the back, z to the head; oblique edges have the stronger first."""
    assert edges_of(_plane(tuple(orientation.split()))) == edges


def test_an_x_ray_says_it_in_its_header() -> None:
    """It has no place in the patient, but rows and columns that run somewhere."""
    assert edges_of(_plane(None, ["L", "F"])) == Edges("R", "L", "H", "F")


@pytest.mark.parametrize(
    "received", [None, ["L"], ["", "F"], ["L", "NAME"], ["LEFT", "F"]], ids=str
)
def test_what_is_not_known_is_not_written(received: object) -> None:
    """Ultrasound mostly does not say, and words of a source never get into the pixels."""
    assert edges_of(_plane(None, received)) == UNKNOWN


def test_the_header_of_the_picture_says_the_same() -> None:
    """Patient Orientation, PS3.3 C.7.6.1.1.1: where rows and columns run to."""
    assert patient_orientation(_plane(("1", "0", "0", "0", "1", "0"))) == ["L", "P"]
    assert patient_orientation(_plane(None)) is None
