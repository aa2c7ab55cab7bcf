"""Our own pages show what was found on an image, without a viewer."""

import hashlib
import io
from types import ModuleType

import numpy as np
import pytest
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from PIL import Image
from pydicom import FileDataset, dcmread

from dicom_ai_node.domain.colour import PALETTE, rgb_of
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.encode import segmentation, segmentation_fractional, segmentation_labelmap
from dicom_ai_node.encode.write import unvalidated
from tests import phantoms
from tests.encode import scenes
from tests.serve.window import Window, place


def found_on(
    images: list[FileDataset], encoder: ModuleType = segmentation
) -> tuple[FileDataset, NDArray[np.uint8]]:
    """Return a segmentation of images, and its labels."""
    job = JobKey(hashlib.sha256(images[0].StudyInstanceUID.encode()).hexdigest())
    scene = scenes.scene(images, job=job)
    stream = io.BytesIO()
    with unvalidated():
        encoder.encode(scene.findings, scene.origin)[0].save_as(stream, enforce_file_format=True)
    stream.seek(0)
    assert scene.findings.segmentation is not None
    return dcmread(stream), scene.findings.segmentation.labels


def picture(
    window: Window, image: FileDataset, query: str = "", frame: int = 1
) -> NDArray[np.int_]:
    """Return the pixels of a picture."""
    path = place(image).replace("/dicom-web", "/api")
    answer = window.ask(f"{path}/frames/{frame}/picture?{query}")
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)


def fresh(uid: str) -> list[FileDataset]:
    """Return a CT of a study of its own."""
    images = phantoms.ct(slices=6, StudyInstanceUID=uid, SeriesInstanceUID=f"{uid}.1")
    for number, image in enumerate(images, 1):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{uid}.1.{number}"
    return images


@pytest.mark.parametrize(
    ("uid", "encoder"),
    [
        pytest.param("1.2.1", segmentation, id="binary"),
        pytest.param("1.2.2", segmentation_labelmap, id="a label map"),
    ],
)
def test_segments_lie_on_the_slice_that_they_were_found_on(
    window: Window, uid: str, encoder: ModuleType
) -> None:
    """Their border in their colour, their inside tinted, everything else as it was."""
    images = fresh(uid)
    found, labels = found_on(images, encoder)
    for one in (*images, found):
        window.put(one)
    for image, marked in zip(images, labels, strict=True):
        plain = picture(window, image)
        shown = picture(window, image, f"with={found.SOPInstanceUID}")
        for number, colour in ((1, scenes.LIVER.colour_rgb), (2, scenes.KIDNEY.colour_rgb)):
            inside = marked == number
            if inside.any():
                is_border = (np.abs(shown - colour).max(axis=-1) <= 2) & inside
                assert 0 < is_border.sum() < inside.sum()
                tinted = inside & ~is_border
                mixed = 0.7 * plain[tinted][:, None] + 0.3 * np.asarray(colour)
                assert np.abs(shown[tinted] - mixed).max() <= 2
        assert np.array_equal(shown[marked == 0], plain[marked == 0][:, None].repeat(3, 1))


def test_half_sure_is_half_seen(window: Window) -> None:
    """Of a fractional segmentation, where it covers less than half, there is no border."""
    images = fresh("1.2.3")
    found, labels = found_on(images, segmentation_fractional)
    for one in (*images, found):
        window.put(one)
    marked = next(n for n, one in enumerate(labels) if (one == 1).any())
    shown = picture(window, images[marked], f"with={found.SOPInstanceUID}")
    plain = picture(window, images[marked])
    assert (np.abs(shown - plain[..., None]).max(axis=-1) > 0)[labels[marked] == 1].all()
    assert np.array_equal(shown[1, 0], plain[1, 0].repeat(3))


def test_its_place_in_the_patient_says_where_it_is_if_nobody_else_does(window: Window) -> None:
    """Also on pixels of another size: here every second row and column of another series."""
    images = fresh("1.2.4")
    found, labels = found_on(images)
    for group in found.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    coarse = []
    for number, image in enumerate(images):
        half = dcmread(_bytes_of(image))
        half.PixelData = np.ascontiguousarray(image.pixel_array[::2, ::2]).tobytes()
        half.Rows, half.Columns = image.pixel_array[::2, ::2].shape
        half.PixelSpacing = [2 * step for step in image.PixelSpacing]
        half.SeriesInstanceUID = "1.2.4.2"
        half.SOPInstanceUID = half.file_meta.MediaStorageSOPInstanceUID = f"1.2.4.2.{number}"
        coarse.append(half)
    for one in (found, *coarse):
        window.put(one)
    for image, marked in zip(coarse, labels, strict=True):
        shown = picture(window, image, f"with={found.SOPInstanceUID}")
        plain = picture(window, image)
        if not marked.any():
            assert np.array_equal(shown, plain) or np.array_equal(shown[..., 0], plain)
            continue
        is_changed = np.abs(shown - plain[..., None]).max(axis=-1) > 2
        assert np.array_equal(is_changed & (marked[::2, ::2] == 0), np.zeros_like(is_changed))
        assert is_changed[marked[::2, ::2] > 0].mean() > 0.9


def _bytes_of(image: FileDataset) -> io.BytesIO:
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return stream


def test_segments_are_named(window: Window) -> None:
    """With the colour that they are drawn in, and the frames that they were found on."""
    images = fresh("1.2.5")
    found, labels = found_on(images)
    for one in (*images, found):
        window.put(one)
    told = window.ask(f"{place(found).replace('/dicom-web', '/api')}/segments").json()
    assert [one["label"] for one in told["segments"]] == ["Liver", "Left kidney"]
    assert told["segments"][0]["number"] == 1
    assert told["segments"][0]["colour"] == "#ffc400"
    marked = {image.SOPInstanceUID for image, one in zip(images, labels, strict=True) if one.any()}
    assert {one["sop_instance_uid"] for one in told["on"]} == marked
    assert (
        window.ask(f"{place(images[0]).replace('/dicom-web', '/api')}/segments").status_code == 404
    )


@pytest.mark.parametrize(
    ("query", "frame", "status"),
    [
        pytest.param("with=1.9.9", 1, 404, id="what is not here"),
        pytest.param("with=1.2.1.1.1", 1, 404, id="what belongs to another study"),
        pytest.param("with=1.2.6.1.2", 1, 406, id="what has no segments"),
        pytest.param("with=Doe^John", 1, 422, id="what is no UID"),
        pytest.param("window=1", 1, 400, id="half a window"),
        pytest.param("", 2, 404, id="no such frame"),
        pytest.param("", 0, 422, id="frames begin with 1"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    window: Window, query: str, frame: int, status: int
) -> None:
    """With the status that says why."""
    images = fresh("1.2.6")
    for one in (*fresh("1.2.1"), *images):
        window.put(one)
    path = place(images[0]).replace("/dicom-web", "/api")
    assert window.ask(f"{path}/frames/{frame}/picture?{query}").status_code == status


def test_colours_come_out_as_they_went_in() -> None:
    """As highdicom writes them; without one, there are some that differ."""
    for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0), (10, 200, 90), (0, 0, 255)):
        again = rgb_of(CIELabColor.from_rgb(*colour).value, 1)
        assert np.abs(np.subtract(again, colour)).max() <= 2
    assert rgb_of(None, 1) == PALETTE[0] != rgb_of(None, 2)
    assert rgb_of([1, 2], len(PALETTE) + 1) == PALETTE[0]
