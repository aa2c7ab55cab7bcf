"""Who asks gets what it likes best of what there is, PS3.18 8.7."""

import pytest
from fastapi import HTTPException, Request

from dicom_ai_node.serve.dicomweb.accept import EXPLICIT_LITTLE, Offer, asked, chosen

JPEG = "1.2.840.10008.1.2.4.50"
STORED = Offer(
    media_type="application/dicom",
    transfer_syntax_uid=JPEG,
    is_multipart=True,
    is_default=False,
    is_for_anybody=False,
)
NATIVE = Offer(
    media_type="application/dicom", transfer_syntax_uid=EXPLICIT_LITTLE, is_multipart=True
)
SINGLE = Offer(media_type="application/dicom", transfer_syntax_uid=EXPLICIT_LITTLE)
PICTURE, DRAWING = Offer(media_type="image/jpeg"), Offer(media_type="image/png")
OBJECTS = (STORED, NATIVE, SINGLE)
PICTURES = (PICTURE, DRAWING)
DICOM = 'multipart/related; type="application/dicom"'


def request(header: str | None, query: str = "") -> Request:
    """Return a request with an Accept header and a query."""
    headers = [] if header is None else [(b"accept", header.encode("latin-1"))]
    return Request({"type": "http", "headers": headers, "query_string": query.encode()})


@pytest.mark.parametrize(
    ("header", "offers", "expected"),
    [
        pytest.param(None, OBJECTS, NATIVE, id="nothing means the default"),
        pytest.param("", OBJECTS, NATIVE, id="neither does an empty word"),
        pytest.param("*/*", OBJECTS, NATIVE, id="anything means the default"),
        pytest.param("multipart/related", OBJECTS, NATIVE, id="any message"),
        pytest.param(DICOM, OBJECTS, NATIVE, id="no transfer syntax means Explicit VR"),
        pytest.param(f"{DICOM}; transfer-syntax=*", OBJECTS, STORED, id="any, so as stored"),
        pytest.param(f"{DICOM}; transfer-syntax={JPEG}", OBJECTS, STORED, id="by its UID"),
        pytest.param(f'{DICOM};transfer-syntax="{JPEG}"', OBJECTS, STORED, id="in quotes"),
        pytest.param(
            "multipart/related; type=application/dicom", OBJECTS, NATIVE, id="without quotes"
        ),
        pytest.param(
            'Multipart/Related; Type="Application/DICOM"', OBJECTS, NATIVE, id="in capitals"
        ),
        pytest.param("application/dicom", OBJECTS, SINGLE, id="one part is no message"),
        pytest.param("application/*", OBJECTS, SINGLE, id="half a type"),
        pytest.param(
            f"{DICOM}; transfer-syntax={JPEG};q=0.3, {DICOM};q=0.7",
            OBJECTS,
            NATIVE,
            id="liked more",
        ),
        pytest.param("image/png;q=0.5, image/jpeg;q=0.2", PICTURES, DRAWING, id="by quality"),
        pytest.param("image/*, image/jpeg;q=0.1", PICTURES, DRAWING, id="the exact range counts"),
        pytest.param("image/jpeg;q=0, */*", PICTURES, DRAWING, id="all but one"),
        pytest.param("image/png; transfer-syntax=1.2", PICTURES, DRAWING, id="where there is none"),
        pytest.param("image/*", PICTURES, PICTURE, id="of equals the first"),
        pytest.param("text/plain, image/png;q=0.01", PICTURES, DRAWING, id="better than nothing"),
        pytest.param(
            'a/b; c="x, image/png", image/jpeg', PICTURES, PICTURE, id="a comma in quotes"
        ),
    ],
)
def test_what_is_given(header: str | None, offers: tuple[Offer, ...], expected: Offer) -> None:
    """The better of what is offered comes first where the asker likes both."""
    assert chosen(request(header), offers) == expected


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("text/plain", id="something else"),
        pytest.param("application/dicom; transfer-syntax=1.2.3", id="another transfer syntax"),
        pytest.param('multipart/related; type="image/gif"', id="a message of something else"),
        pytest.param("*/*;q=0", id="nothing at all"),
        pytest.param("application/dicom;q=much", id="a quality that is no number"),
        pytest.param("nonsense", id="nonsense"),
        pytest.param('"', id="an open quotation mark"),
        pytest.param(";;;,,,=;q", id="only signs"),
        pytest.param("\xe9/\xff", id="letters of elsewhere"),
    ],
)
def test_what_is_not_offered_is_refused(header: str) -> None:
    """With a sentence that says what there is."""
    with pytest.raises(HTTPException) as refused:
        chosen(request(header), OBJECTS)
    assert refused.value.status_code == 406
    assert f'multipart/related; type="application/dicom"; transfer-syntax={JPEG}' in str(
        refused.value.detail
    )


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [
        pytest.param("accept=image/png", "image/jpeg", DRAWING, id="before the header"),
        pytest.param("accept=image/gif", "image/png", DRAWING, id="else the header"),
        pytest.param("accept=image%2Fpng", None, DRAWING, id="escaped"),
        pytest.param("accept=image/gif&accept=image/png", None, DRAWING, id="twice"),
    ],
)
def test_a_query_counts_first(query: str, header: str | None, expected: Offer) -> None:
    """A link cannot set a header."""
    assert chosen(request(header, query), PICTURES) == expected


def test_a_query_that_fits_nothing_is_refused_without_a_header() -> None:
    """It has said what it wants."""
    with pytest.raises(HTTPException):
        chosen(request(None, "accept=image/gif"), PICTURES)


def test_a_plus_sign_in_a_query_may_be_a_plus_sign() -> None:
    """Whoever types a link does not escape it."""
    json = Offer(media_type="application/dicom+json")
    assert chosen(request(None, "accept=application/dicom+json"), (PICTURE, json)) == json


def test_a_long_header_is_not_read_to_its_end() -> None:
    """It could take long."""
    (ranges, _) = asked(request("a/b," * 1_000_000))[::-1]
    assert len(ranges) < 3000
