"""The file meta information of others is read while their files still come."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.domain.part10 import PREAMBLE
from dicom_ai_node.receive.meta import LONGEST_META_BYTES, MetaReader
from dicom_ai_node.receive.part10 import Announced, file_head
from tests import phantoms
from tests.receive.webdesk import part10

IMAGE = phantoms.ct(slices=1, rows=16, columns=16)[0]
FILE = part10(IMAGE)


def read(data: bytes, cuts: list[int]) -> tuple[Announced, bytes] | None:
    """Feed a file cut at these places; return what it says and its data set."""
    reader, found, rest = MetaReader(), None, b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in zip(edges, edges[1:], strict=False):  # noqa: RUF007 - as it reads best
        piece = data[begin:end]
        if found is None:
            found = reader.feed(memoryview(piece))
        else:
            rest += piece
    return found and (found[0], found[1] + rest)


@given(cuts=st.lists(st.integers(0, len(FILE)), max_size=40))
@settings(max_examples=200, deadline=None)
def test_it_never_matters_in_which_pieces_it_comes(cuts: list[int]) -> None:
    """What is announced, and the data set byte for byte."""
    found = read(FILE, cuts)
    assert found is not None
    announced, data_set = found
    assert announced.sop_instance_uid == IMAGE.SOPInstanceUID
    assert announced.sop_class_uid == IMAGE.SOPClassUID
    assert announced.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert FILE.endswith(data_set)
    assert data_set.startswith(b"\x08\x00\x05\x00CS")
    assert read(FILE, list(range(len(FILE)))) == found


def test_what_we_write_we_read() -> None:
    """The head of a file of ours, with the name of a sender that is no AE title."""
    announced = Announced(sop_class_uid="1.2", sop_instance_uid="1.3", transfer_syntax_uid="1.4")
    head = file_head(announced, "Frau Dr. Müller\\Radiologie")
    assert read(head + b"\x08\x00\x05\x00", []) == (announced, b"\x08\x00\x05\x00")
    assert b"Frau Dr. MllerRa" in head


@pytest.mark.parametrize("size", [0, 100, 131, 132, 140, 180, len(FILE) - 1500])
def test_a_file_that_ends_early_has_no_data_set(size: int) -> None:
    """Nothing is made of it, and nothing is wrong with it yet."""
    head = FILE[: FILE.index(b"\x08\x00\x05\x00CS")]
    assert read(head[: min(size, len(head))], [7]) is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"x" * 132, "no DICM", id="something else"),
        pytest.param(
            PREAMBLE + b"\2\0\1\0OB\0\0" + struct.pack("<L", LONGEST_META_BYTES), "too long",
            id="an element without end",
        ),
        pytest.param(
            PREAMBLE + b"\2\0\1\0SH\0\0" * (LONGEST_META_BYTES // 8), "too long",
            id="elements without end",
        ),
    ],
)  # fmt: skip
def test_what_is_no_file_is_told(data: bytes, why: str) -> None:
    """In whatever pieces it comes, and before it is in memory."""
    for cuts in ([], [1, 130, 140, 5000]):
        with pytest.raises(NotUnderstood, match=why):
            read(data, cuts)
