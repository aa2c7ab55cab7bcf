"""Media types as clients write them."""

import pytest

from dicom_ai_node.receive.media import answer_type, media_type


@pytest.mark.parametrize(
    ("text", "name", "parameters"),
    [
        pytest.param(
            'multipart/related; type="application/dicom"; boundary=a-b', "multipart/related",
            {"type": "application/dicom", "boundary": "a-b"}, id="by the book",
        ),
        pytest.param(
            "Multipart/Related;TYPE=application/dicom;Boundary=Ab", "multipart/related",
            {"type": "application/dicom", "boundary": "Ab"}, id="without quotes or spaces",
        ),
        pytest.param(
            r'multipart/related; boundary="a\"b; c"', "multipart/related", {"boundary": 'a"b; c'},
            id="with quotes within quotes",
        ),
        pytest.param("application/dicom", "application/dicom", {}, id="without parameters"),
        pytest.param("application/dicom; a=1; a=2", "application/dicom", {"a": "1"}, id="twice"),
        pytest.param("", "", {}, id="nothing"),
        pytest.param("dicom", "", {}, id="no type"),
        pytest.param('a/b; c="' + "x" * 5000, "a/b", {"c": '"' + "x" * 992}, id="without end"),
    ],
)  # fmt: skip
def test_a_type_and_its_parameters_are_read(
    text: str, name: str, parameters: dict[str, str]
) -> None:
    """As RFC 9110 has it, and as it is often written."""
    found = media_type(text)
    assert found.name == name
    assert {key: len(value) for key, value in found.parameters.items()}.keys() == parameters.keys()
    if len(text) < 1000:
        assert found.parameters == parameters


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", "application/dicom+json"),
        ("*/*", "application/dicom+json"),
        ("application/json, application/dicom+json;q=0.1", "application/dicom+json"),
        ("application/json", "application/json"),
        ("application/dicom+json;q=0, application/json", "application/json"),
        ("application/dicom+xml, text/html", "application/dicom+xml"),
        ("application/dicom+xml, application/json", "application/json"),
        ("text/html", ""),
        ("*/*;q=0.0", ""),
    ],
)
def test_the_answer_is_of_a_type_that_is_accepted(accept: str, answer: str) -> None:
    """Empty where there is none."""
    assert answer_type(accept) == answer
