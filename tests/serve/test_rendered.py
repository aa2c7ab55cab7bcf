"""Pictures for people show what the data says, pixel for pixel."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import FileDataset
from pydicom.pixels import convert_color_space
from pydicom.sr.codedict import codes

from tests import phantoms
from tests.serve.window import Window, place, sample

PNG, JPEG, GIF = "image/png", "image/jpeg", "image/gif"


def picture(window: Window, path: str, accept: str = PNG) -> Image.Image:
    """Return the picture that is answered."""
    answer = window.ask(path, accept)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == accept
    return Image.open(io.BytesIO(answer.content))


def pixels(window: Window, path: str) -> NDArray[np.uint8]:
    """Return the pixels of a PNG that is answered."""
    return np.asarray(picture(window, path))


def linear(values: NDArray[np.float64], center: float, width: float) -> NDArray[np.float64]:
    """Return what PS3.3 C.11.2.1.2.1 says, written down a second time."""
    shown = ((values - (center - 0.5)) / (width - 1) + 0.5) * 255
    shown = np.where(values <= center - 0.5 - (width - 1) / 2, 0, shown)
    return np.where(values > center - 0.5 + (width - 1) / 2, 255, shown)


def test_a_ct_is_seen_through_the_window_that_is_asked_for(window: Window) -> None:
    """In Hounsfield units, by each of the three functions."""
    dataset = window.put("CT_small.dcm")
    values = dataset.pixel_array * 1.0 + dataset.RescaleIntercept
    found = pixels(window, f"{place(dataset)}/rendered?window=40,400,linear")
    assert np.abs(found - linear(values, 40, 400)).max() <= 0.51
    assert found.min() == 0
    found = pixels(window, f"{place(dataset)}/rendered?window=40,400,linear-exact")
    assert np.abs(found - np.clip((values - 40) / 400 + 0.5, 0, 1) * 255).max() <= 0.51
    found = pixels(window, f"{place(dataset)}/frames/1/rendered?window=40,400,sigmoid")
    assert np.abs(found - 255 / (1 + np.exp(-4 * (values - 40) / 400))).max() <= 0.51


def test_without_one_the_data_set_says(window: Window) -> None:
    """The first window that it suggests; soft tissue for a CT that suggests none."""
    dataset = window.put("MR_small.dcm")
    values = dataset.pixel_array.astype(float)
    expected = linear(values, float(dataset.WindowCenter), float(dataset.WindowWidth))
    assert np.abs(pixels(window, f"{place(dataset)}/rendered") - expected).max() <= 0.51
    ct = window.put("CT_small.dcm")
    hounsfield = ct.pixel_array * 1.0 + ct.RescaleIntercept
    expected = np.clip((hounsfield + 160) / 400, 0, 1) * 255
    assert np.abs(pixels(window, f"{place(ct)}/rendered") - expected).max() <= 0.51


def test_monochrome1_is_turned_over(window: Window) -> None:
    """Its lowest value is white."""
    dataset = sample("MR_small.dcm")
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.1"
    dataset.PhotometricInterpretation = "MONOCHROME1"
    window.put(dataset)
    upright = window.put("MR_small.dcm")
    turned = pixels(window, f"{place(dataset)}/rendered").astype(int)
    assert np.abs(turned + pixels(window, f"{place(upright)}/rendered") - 255).max() <= 1


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        pytest.param("examples_rgb_color.dcm", 0, id="RGB"),
        pytest.param("ExplVR_BigEnd.dcm", 0, id="RGB by plane, big endian"),
        pytest.param("SC_rgb_rle_16bit.dcm", 1, id="RGB of 16 bits"),
        pytest.param("SC_ybr_full_422_uncompressed.dcm", 1, id="YBR with less colour, native"),
        pytest.param("SC_rgb_jpeg_dcmtk.dcm", 3, id="YBR as JPEG"),
        pytest.param("examples_jpeg2k.dcm", 0, id="YBR as JPEG 2000"),
        pytest.param("examples_palette.dcm", 1, id="a palette"),
    ],
)
def test_colours_are_those_of_the_image(window: Window, name: str, tolerance: int) -> None:
    """Whatever they are stored as."""
    dataset = window.put(name)
    found = pixels(window, f"{place(dataset)}/rendered")
    assert np.abs(found.astype(int) - _colours(dataset)).max() <= tolerance


def _colours(dataset: FileDataset) -> NDArray[np.float64]:
    """Return red, green and blue, 0 to 255, as pydicom and Pillow see them."""
    if dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50":
        jpeg = Image.open(io.BytesIO(dataset.PixelData[dataset.PixelData.find(b"\xff\xd8") :]))
        return np.asarray(jpeg.convert("RGB"), float)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        tables = [
            np.frombuffer(dataset[f"{colour}PaletteColorLookupTableData"].value, "<u2")
            for colour in ("Red", "Green", "Blue")
        ]
        return np.stack([table[dataset.pixel_array] for table in tables], -1) / 257
    values = dataset.pixel_array
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        luma, blue, red = _unfolded(dataset)
        values = convert_color_space(np.stack([luma, blue, red], -1), "YBR_FULL", "RGB")
    return values / (2 ** int(dataset.BitsStored) - 1) * 255


def _unfolded(dataset: FileDataset) -> tuple[NDArray[np.uint8], ...]:
    """Return luma and both colours: two pixels share theirs, PS3.3 C.7.6.3.1.2."""
    pairs = np.frombuffer(dataset.PixelData, np.uint8).reshape(dataset.Rows, -1, 4)
    luma = pairs[..., :2].reshape(dataset.Rows, dataset.Columns)
    return luma, pairs[..., 2].repeat(2, axis=1), pairs[..., 3].repeat(2, axis=1)


def test_a_viewport_says_how_large_and_of_what(window: Window) -> None:
    """It keeps the aspect, and a negative side turns the picture over."""
    dataset = window.put("MR_small.dcm")
    whole = pixels(window, f"{place(dataset)}/rendered")
    assert picture(window, f"{place(dataset)}/rendered?viewport=200,100").size == (100, 100)
    part = pixels(window, f"{place(dataset)}/rendered?viewport=16,8,10,20,16,8")
    assert np.array_equal(part, whole[20:28, 10:26])
    turned = pixels(window, f"{place(dataset)}/rendered?viewport=16,8,10,20,-16,-8")
    assert np.array_equal(turned, whole[20:28, 10:26][::-1, ::-1])
    mirrored = pixels(window, f"{place(dataset)}/rendered?viewport=64,64,,,-64,64")
    assert np.array_equal(mirrored, whole[:, ::-1])
    outside = window.ask(f"{place(dataset)}/rendered?viewport=16,8,100,100,16,8", PNG)
    assert outside.status_code == 406


def test_quality_costs_bytes(window: Window) -> None:
    """And a JPEG of the best is close to the PNG."""
    dataset = window.put("CT_small.dcm")
    asked = f"{place(dataset)}/rendered"
    coarse, fine = (window.ask(f"{asked}?quality={n}", JPEG).content for n in (10, 100))
    assert len(coarse) < len(fine) / 3
    seen = np.asarray(Image.open(io.BytesIO(fine))).astype(int)
    assert np.abs(seen - pixels(window, asked)).max() <= 6


def test_a_cine_moves_as_fast_as_it_was_taken(window: Window) -> None:
    """All frames as one GIF, some of them in the order asked for, or any of them alone."""
    cine = phantoms.us_cine(frames=6)
    window.put(cine)
    moving = picture(window, f"{place(cine)}/rendered", GIF)
    assert moving.n_frames == 6  # type: ignore[attr-defined]
    assert moving.info["duration"] == pytest.approx(float(cine.FrameTime), abs=10)
    some = picture(window, f"{place(cine)}/frames/5,2/rendered", GIF)
    assert some.n_frames == 2  # type: ignore[attr-defined]
    fifth = pixels(window, f"{place(cine)}/frames/5/rendered")
    assert np.array_equal(fifth, cine.pixel_array[4])
    assert window.ask(f"{place(cine)}/frames/1,2/rendered", PNG).status_code == 406
    assert window.ask(f"{place(cine)}/frames/7/rendered", PNG).status_code == 404
    assert window.ask(f"{place(cine)}/frames/0/rendered", PNG).status_code == 404


@pytest.mark.parametrize("name", ["liver_1frame.dcm", "liver_expb_1frame.dcm"])
def test_a_segmentation_is_seen_in_its_colours(window: Window, name: str) -> None:
    """Over nothing: what belongs to no segment is transparent."""
    dataset = window.put(name)
    found = pixels(window, f"{place(dataset)}/rendered")
    mask = dataset.pixel_array.astype(bool)
    assert mask.any()
    assert np.array_equal(found[..., 3] > 0, mask)
    assert len(np.unique(found[mask], axis=0)) == 1
    assert not np.asarray(picture(window, f"{place(dataset)}/rendered", JPEG))[~mask].mean() > 5


def test_a_report_is_a_page_that_runs_nothing(window: Window) -> None:
    """Every word of it is escaped: it comes from elsewhere."""
    dataset = sample("reportsi.dcm")
    dataset.PatientName = "<script>alert(1)</script>"
    dataset.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning = "<img src=x onerror=a()>"
    window.put(dataset)
    answer = window.ask(f"{place(dataset)}/rendered", "text/html")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text
    assert "<img" not in answer.text
    assert "&lt;img src=x" in answer.text
    assert window.ask(f"{place(dataset)}/rendered", PNG).status_code == 406


def test_measurements_stand_in_the_page_with_their_units(window: Window) -> None:
    """Codes by what they mean."""
    dataset = window.put("test-SR.dcm")
    text = window.ask(f"{place(dataset)}/rendered", "text/html").text
    title = dataset.ConceptNameCodeSequence[0].CodeMeaning
    assert f"<h1>{title}</h1>" in text
    assert codes.DCM.ImagingMeasurements.meaning
    assert text.count("<li>") == text.count("</li>") > 10


@pytest.mark.parametrize("name", ["waveform_ecg.dcm", "rtplan.dcm"])
def test_what_has_no_picture_is_refused(window: Window, name: str) -> None:
    """With a sentence."""
    dataset = window.put(name)
    answer = window.ask(f"{place(dataset)}/rendered")
    assert (answer.status_code, answer.json()["detail"]) == (406, "this has no picture")


@pytest.mark.parametrize(
    "query",
    ["window=40", "window=a,b", "window=40,0.5", "window=40,400,cubic", "window=1,nan",
     "viewport=0,10", "viewport=10", "viewport=99999,10", "viewport=8,8,1,1", "viewport=8,8,-1,1,1,1",
     "viewport=inf,8"],
)  # fmt: skip
def test_nonsense_is_told(window: Window, query: str) -> None:
    """Before anything is decoded."""
    dataset = window.put("CT_small.dcm")
    assert window.ask(f"{place(dataset)}/rendered?{query}").status_code == 400


def test_a_thumbnail_is_small_and_stands_for_many(window: Window) -> None:
    """Of a series and a study it is the one in the middle."""
    slices = phantoms.ct(slices=5, StudyInstanceUID="1.2.3.4", SeriesInstanceUID="1.2.3.4.1")
    for one in slices:
        window.put(one)
    instance = place(slices[2])
    middle = window.ask(f"{instance}/thumbnail", PNG)
    series, study = instance.rsplit("/", 2)[0], instance.rsplit("/", 4)[0]
    for path in (f"{series}/thumbnail", f"{study}/thumbnail"):
        assert window.ask(path, PNG).content == middle.content
    assert max(Image.open(io.BytesIO(middle.content)).size) == 128
    whole = Image.open(io.BytesIO(window.ask(f"{series}/rendered", PNG).content))
    assert whole.size == (slices[2].Columns, slices[2].Rows)


def test_the_same_picture_is_not_sent_twice(window: Window) -> None:
    """Whoever has it says so; another window is another picture."""
    dataset = window.put("CT_small.dcm")
    asked = f"{place(dataset)}/rendered"
    tag = window.ask(f"{asked}?window=40,400").headers["etag"]
    assert window.ask(f"{asked}?window=40,400", If_None_Match=tag).status_code == 304
    assert window.ask(f"{asked}?window=50,400", If_None_Match=tag).status_code == 200
    assert window.ask(asked).headers["cache-control"] == "private"


def test_a_document_is_shown_as_what_it_is(window: Window) -> None:
    """A PDF, at once or by the address in its header; parts of it by range."""
    dataset = sample("reportsi.dcm")
    del dataset.ContentSequence
    pdf = b"%PDF-1.4 " + bytes(3000)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"
    dataset.EncapsulatedDocument, dataset.MIMETypeOfEncapsulatedDocument = pdf, "application/pdf"
    window.put(dataset)
    (header,) = window.ask(f"{place(dataset)}/metadata").json()
    for asked in (f"{place(dataset)}/rendered", header["00420011"]["BulkDataURI"]):
        answer = window.ask(f"{asked}?accept=application/pdf")
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.content[:-1] == pdf or answer.content == pdf
        assert window.ask(asked, "application/pdf", Range="bytes=0-3").content == b"%PDF"
    assert window.ask(f"{place(dataset)}/rendered", PNG).status_code == 406
