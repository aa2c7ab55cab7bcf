"""Frames are found in a file, however it says where they lie."""

import numpy as np
import pytest
from pydicom import FileDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames, itemize_fragment
from pydicom.uid import UID, ExplicitVRLittleEndian, SegmentationStorage

from dicom_ai_node.domain.uids import derive_uid
from tests.serve.window import Window, parts, place, sample

OCTETS = 'multipart/related; type="application/octet-stream"'
STORED = f"{OCTETS}; transfer-syntax=*"
MPEG2 = UID("1.2.840.10008.1.2.4.100")


def named(dataset: FileDataset, name: str) -> FileDataset:
    """Return a data set as another instance."""
    dataset.SOPInstanceUID = derive_uid("frames", name)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def frames_of(window: Window, dataset: FileDataset, numbers: str, accept: str) -> list[bytes]:
    """Return the frames that are answered."""
    answer = window.ask(f"{place(dataset)}/frames/{numbers}", accept)
    assert answer.status_code == 200, answer.text
    return [body for _, body in parts(answer)]


@pytest.fixture(scope="module")
def cine() -> tuple[FileDataset, list[bytes]]:
    """Return thirty frames of JPEG, and each of them."""
    dataset = sample("examples_ybr_color.dcm")
    count = int(dataset.NumberOfFrames)
    return dataset, list(generate_frames(dataset.PixelData, number_of_frames=count))


def _halves(frames: list[bytes]) -> bytes:
    """Return frames of two fragments each, and no table."""
    cut = [(frame[: len(frame) // 4 * 2], frame[len(frame) // 4 * 2 :]) for frame in frames]
    items = b"".join(itemize_fragment(half) for frame in cut for half in frame)
    return itemize_fragment(b"") + items


@pytest.mark.parametrize("way", ["no table", "basic", "basic, fragments", "fragments", "extended"])
def test_compressed_frames_are_found(
    window: Window, cine: tuple[FileDataset, list[bytes]], way: str
) -> None:
    """By the table of offsets there is, or by where codestreams begin."""
    _, frames = cine
    dataset = named(sample("examples_ybr_color.dcm"), way)
    match way:
        case "no table":
            dataset.PixelData = encapsulate(frames, has_bot=False)
        case "basic":
            dataset.PixelData = encapsulate(frames, has_bot=True)
        case "basic, fragments":
            dataset.PixelData = encapsulate(frames, fragments_per_frame=3, has_bot=True)
        case "fragments":
            dataset.PixelData = _halves(frames)
        case _:
            pixels, offsets, lengths = encapsulate_extended(frames)
            dataset.PixelData = pixels
            dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    dataset["PixelData"].VR = "OB"
    window.put(dataset)
    found = frames_of(window, dataset, "30,1,7", STORED)
    expected = [frames[n] for n in (29, 0, 6)]
    assert [one.rstrip(b"\0") for one in found] == [one.rstrip(b"\0") for one in expected]
    assert len(window.ask(f"{place(dataset)}/frames/30", OCTETS).content) > 240 * 320 * 3


def test_a_table_that_lies_leads_nowhere(window: Window) -> None:
    """Not into what is no frame."""
    dataset = named(sample("examples_ybr_color.dcm"), "lies")
    frames = list(generate_frames(dataset.PixelData, number_of_frames=30))
    pixels = bytearray(encapsulate(frames, has_bot=True))
    pixels[8 + 4 : 8 + 8] = (3).to_bytes(4, "little")
    dataset.PixelData = bytes(pixels)
    window.put(dataset)
    answer = window.ask(f"{place(dataset)}/frames/2", STORED)
    assert (answer.status_code, answer.json()["detail"]) == (
        404, "there are no frames: the table of offsets is wrong",
    )  # fmt: skip


def test_frames_that_cannot_be_told_apart_are_not_guessed(window: Window) -> None:
    """Sixty fragments of nothing known are no thirty frames."""
    dataset = named(sample("examples_ybr_color.dcm"), "mixed")
    dataset.PixelData = itemize_fragment(b"") + itemize_fragment(b"12345678") * 60
    window.put(dataset)
    assert window.ask(f"{place(dataset)}/frames/2", STORED).status_code == 404


def test_frames_of_single_bits_begin_where_they_begin(window: Window) -> None:
    """Also in the middle of a byte."""
    masks = np.random.default_rng(3).integers(0, 2, (5, 3, 7), np.uint8)
    dataset = named(sample("liver_1frame.dcm"), "bits")
    dataset.SOPClassUID = SegmentationStorage
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = 5, 3, 7
    packed = np.packbits(masks.ravel(), bitorder="little").tobytes()
    dataset.PixelData = packed + bytes(len(packed) % 2)
    window.put(dataset)
    found = frames_of(window, dataset, "1,2,3,4,5", OCTETS)
    for frame, mask in zip(found, masks, strict=True):
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")[:21]
        assert np.array_equal(bits.reshape(3, 7), mask)


def test_a_film_is_one_codestream(window: Window) -> None:
    """Nobody here decodes it: it goes out as it is stored, or not at all."""
    dataset = named(sample("examples_ybr_color.dcm"), "film")
    film = b"\0\0\1\xba" + bytes(range(256)) * 4
    dataset.file_meta.TransferSyntaxUID = MPEG2
    dataset.PixelData = itemize_fragment(b"") + itemize_fragment(film)
    window.put(dataset)
    answer = window.ask(f"{place(dataset)}/frames/1", "video/mpeg")
    assert answer.headers["content-type"] == f"video/mpeg; transfer-syntax={MPEG2}"
    assert answer.content == film
    assert (
        window.ask(f"{place(dataset)}/frames/1", "video/mpeg", Range="bytes=4-7").content
        == film[4:8]
    )
    assert window.ask(f"{place(dataset)}/frames/2", "video/mpeg").status_code == 404
    assert window.ask(f"{place(dataset)}/frames/1", OCTETS).status_code == 406
    whole = 'multipart/related; type="application/dicom"'
    refused = window.ask(place(dataset), whole)
    assert refused.status_code == 406
    assert f"transfer-syntax={MPEG2}" in refused.json()["detail"]
    for accept in (f"{whole}; transfer-syntax=*", "*/*"):
        assert parts(window.ask(place(dataset), accept))[0][1] == window.stored(dataset)
    assert window.ask(f"{place(dataset)}/rendered").status_code == 406


def test_what_has_no_pixels_has_no_frames(window: Window) -> None:
    """A report, for instance."""
    dataset = window.put("reportsi.dcm")
    answer = window.ask(f"{place(dataset)}/frames/1")
    assert (answer.status_code, answer.json()["detail"]) == (
        404, "there are no frames: this has no pixel data",
    )  # fmt: skip


def test_old_images_with_their_values_high_in_the_word_are_seen(window: Window) -> None:
    """As the same values are that lie low."""
    low = window.put("CT_small.dcm")
    high = named(sample("CT_small.dcm"), "high")
    values = low.pixel_array.astype(np.int32)
    high.BitsStored, high.HighBit = 12, 15
    high.PixelData = (values.clip(-2048, 2047) * 16).astype("<i2").tobytes()
    window.put(high)
    seen = [window.ask(f"{place(one)}/rendered?window=40,400", "image/png") for one in (low, high)]
    assert seen[0].content == seen[1].content
