"""One node that the tests of looking share, and a new one for each test that changes something."""

from pathlib import Path

import pytest

from tests.serve.console.node import EVIL, ConsoleNode, ct


@pytest.fixture
def node(tmp_path: Path) -> ConsoleNode:
    """Return a node that has seen nothing yet."""
    return ConsoleNode(tmp_path)


@pytest.fixture(scope="package")
def busy(tmp_path_factory: pytest.TempPathFactory) -> ConsoleNode:
    """Return a node with something on every page, and names that would like to be scripts."""
    made = ConsoleNode(tmp_path_factory.mktemp("console"))
    made.encoded(made.routed(ct("delivered", PatientName="Larch^Ada", PatientID="L-1")))
    made.sent()
    made.encoded(made.routed(ct("refused", PatientName="Birch^Bo", PatientID="B-2")))
    made.sent("0xA900 data set does not match SOP class")
    evil = ct(
        "evil",
        PatientName=EVIL,
        PatientID=EVIL,
        StudyDescription=EVIL,
        SeriesDescription=EVIL,
        ManufacturerModelName=EVIL,
        AccessionNumber=EVIL[:16],
    )
    made.parked(made.routed(evil), note=f"odd: {EVIL}")
    made.put(ct("arriving", PatientName="山田^太郎", SpecificCharacterSet="ISO_IR 192"))
    made.aside(b"no DICOM at all", reason=f"not understood {EVIL}")
    return made
