"""A multipart body comes apart in the same way, in whatever pieces it comes."""

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_ai_node.domain.errors import NotUnderstood, Refused
from dicom_ai_node.receive.multipart import (
    LONGEST_HEADERS_BYTES,
    LONGEST_PADDING_BYTES,
    LONGEST_PREAMBLE_BYTES,
    Multipart,
    PartBegins,
    PartData,
    PartEnds,
    TooMuch,
)

Parts = list[tuple[dict[str, str], bytes, bool]]


def taken_apart(body: bytes, cuts: list[int], boundary: str = "b") -> tuple[Parts, str]:
    """Feed a body cut at these places; return the parts and what was wrong with it.

    A part is its headers, its data, and whether it came in full.
    """
    parser, parts = Multipart(boundary), []
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    try:
        for begin, end in pairwise(edges):
            for event in parser.feed(body[begin:end]):
                match event:
                    case PartBegins(headers):
                        parts.append((dict(headers), b"", False))
                    case PartData(data):
                        assert data
                        parts[-1] = (parts[-1][0], parts[-1][1] + bytes(data), False)
                    case PartEnds():
                        parts[-1] = (*parts[-1][:2], True)
        parser.close()
    except Refused as error:
        return parts, str(error)
    return parts, ""


def test_a_body_of_two_parts() -> None:
    """As RFC 2387 has it, with text that nobody reads before the first and after the last."""
    body = (
        b"for people without MIME\r\n--b\r\nContent-Type: application/dicom\r\n\r\n\r\n--\r\nx\r\n"
        b"--b \t\r\ncontent-location: a\r\n b\r\n\r\n\r\n--b--\r\nand more"
    )
    assert taken_apart(body, []) == (
        [
            ({"content-type": "application/dicom"}, b"\r\n--\r\nx", True),
            ({"content-location": "a b"}, b"", True),
        ],
        "",
    )


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        pytest.param(b"--b\r\n\r\nx\r\n--b--", [({}, b"x", True)], id="without headers"),
        pytest.param(b"--b\r\nA: 1\r\n\r\n--b--", [({"a": "1"}, b"", True)], id="without data"),
        pytest.param(b"--b\r\n\r\n--b--", [({}, b"", True)], id="with neither"),
        pytest.param(b"--b--", [], id="without parts"),
        pytest.param(b"x--b\r\n--b--", [], id="a boundary within a line is none"),
    ],
)
def test_what_a_body_may_be(body: bytes, parts: Parts) -> None:
    """Odd, and in order."""
    assert taken_apart(body, []) == (parts, "")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"", "is not in the body", id="nothing"),
        pytest.param(b"hello" * 20_000, "is not in the body", id="something else"),
        pytest.param(b"--c\r\n\r\nx\r\n--c--", "is not in the body", id="another boundary"),
        pytest.param(b"--b", "ends before", id="no more than a boundary"),
        pytest.param(b"--b\r\nA: 1", "ends before", id="cut off in a header"),
        pytest.param(b"--b\r\n\r\nxyz", "ends before", id="cut off in the data"),
        pytest.param(b"--b\r\n\r\nxyz\r\n--b\r\n", "ends before", id="no last boundary"),
        pytest.param(b"--bc\r\n\r\nx\r\n--b--", "does not end with it", id="a longer boundary"),
        pytest.param(b"--b\n\nx\n--b--\n", "does not end with it", id="lines without a return"),
        pytest.param(b"--b\r\nA 1\r\n\r\nx\r\n--b--", "no header", id="a header without colon"),
        pytest.param(b"--b\r\n: 1\r\n\r\nx\r\n--b--", "no header", id="a header without name"),
        pytest.param(b"--b\r\n\x00: 1\r\n\r\n\r\n--b--", "no header", id="noise for a name"),
        pytest.param(b"--b\r\nA: 1\r\na: 2\r\n\r\n\r\n--b--", "twice", id="a header twice"),
        pytest.param(b"--b\r\nA: 1\r\n--b--", "ends before", id="a header that ends with the body"),
        pytest.param(
            b"--b" + b" " * (LONGEST_PADDING_BYTES + 1) + b"\r\n", "too long", id="much space"
        ),
    ],
)
def test_what_is_wrong_is_told(body: bytes, why: str) -> None:
    """In a sentence for whoever has to repair the sender."""
    for cuts in ([], list(range(min(len(body), 300)))):
        assert why in taken_apart(body, cuts)[1]


def test_limits_are_exact() -> None:
    """To the byte: of a header, of what goes before the first boundary, of the parts."""
    longest = b"A: " + b"x" * (LONGEST_HEADERS_BYTES - 5)
    for extra, error in ((b"", ""), (b"x", "the header of a part is too long")):
        assert taken_apart(b"--b\r\n" + longest + extra + b"\r\n\r\n\r\n--b--", [9])[1] == error
        assert taken_apart(b"--b\r\n" + longest + extra + b"\r\n\r\n\r\n--b--", [16390])[1] == error
    for size, error in ((0, ""), (1, "the boundary that Content-Type names is not in the body")):
        preamble = b"x" * (LONGEST_PREAMBLE_BYTES + size)
        assert taken_apart(preamble + b"\r\n--b--", [])[1] == error
    parser = Multipart("b", most_parts=2)
    assert len(list(parser.feed(b"--b\r\n\r\n" + b"\r\n--b\r\n\r\n"))) == 3
    with pytest.raises(TooMuch, match="at most 2 parts"):
        list(parser.feed(b"\r\n--b\r\n\r\n"))


@pytest.mark.parametrize(
    ("boundary", "is_one"),
    [
        pytest.param("", False, id="none"),
        pytest.param("a" * 73, True, id="as long as that of Orthanc"),
        pytest.param("a" * 201, False, id="too long"),
        pytest.param("a ", False, id="a space at its end"),
        pytest.param("a b", True, id="a space within"),
        pytest.param("a\r\nb", False, id="more than a line"),
        pytest.param("ä", False, id="not ASCII"),
        pytest.param("=_(1)'+_,-./:=?", True, id="all that may be in one"),
    ],
)
def test_a_boundary_is_what_the_standard_says(boundary: str, is_one: bool) -> None:
    """RFC 2046 5.1.1, and a little longer, as some are."""
    if is_one:
        body = f"--{boundary}\r\n\r\nx\r\n--{boundary}--".encode()
        assert taken_apart(body, [], boundary) == ([({}, b"x", True)], "")
    else:
        with pytest.raises(NotUnderstood, match="boundary"):
            Multipart(boundary)


def _pieces() -> st.SearchStrategy[bytes]:
    """Return what bodies are made of: the letters of boundaries more often than others."""
    told = (
        b"--b", b"\r\n--b", b"\r\n--b--", b"\r\n", b"\r", b"\n", b"-", b"--", b"b", b" ", b"A: 1",
        b"\r\n\r\n", b"\r\n--b\r\nA: 1\r\n\r\n", b"\r\n--b \t\r\n\r\n",
    )  # fmt: skip
    return st.one_of(st.sampled_from(told), st.binary(max_size=5))


@given(pieces=st.lists(_pieces(), max_size=25), cuts=st.lists(st.integers(0, 500), max_size=30))
@settings(max_examples=400, deadline=None)
def test_it_never_matters_where_the_network_cuts(pieces: list[bytes], cuts: list[int]) -> None:
    """The same parts, and the same complaint, as if all of it came at once."""
    body = b"".join(pieces)
    assert taken_apart(body, cuts) == taken_apart(body, [])
    assert taken_apart(body, list(range(len(body)))) == taken_apart(body, [])


@given(
    parts=st.lists(st.binary(max_size=60).filter(lambda data: b"\r\n--b" not in b"\r\n" + data)),
    cuts=st.lists(st.integers(0, 500), max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_what_was_put_in_comes_out(parts: list[bytes], cuts: list[int]) -> None:
    """Byte for byte."""
    body = b"".join(b"--b\r\nA: 1\r\n\r\n" + data + b"\r\n" for data in parts) + b"--b--"
    assert taken_apart(body, cuts) == ([({"a": "1"}, data, True) for data in parts], "")


def _almost(count: int) -> Iterator[bytes]:
    """Yield data that nearly ends, again and again."""
    yield b"--" + b"b" * 70 + b"\r\n\r\n"
    for _ in range(count):
        yield (b"\r\n--" + b"b" * 69) * 100


def test_time_grows_with_the_body_and_memory_does_not() -> None:
    """Data made of nearly-boundaries, and 100 megabytes of parts of one byte."""
    parser = Multipart("b" * 70)
    began = time.monotonic()
    seen = sum(
        len(e.data) for p in _almost(5000) for e in parser.feed(p) if isinstance(e, PartData)
    )
    assert seen > 5000 * 100 * 73 - 100
    assert len(parser._rest) < 100
    small = Multipart("b", most_parts=50_000)
    piece = b"\r\n--b\r\n\r\nx" * 50_000
    assert sum(isinstance(event, PartEnds) for event in small.feed(piece)) == 49_999
    assert time.monotonic() - began < 20
