"""Findings as graphics over the images themselves, PS3.3 A.33.1 and A.33.2.

Viewers of the PACS draw them on the original, at its own window and size, and people can switch
them off. One presentation state per instance on which something was found: grayscale, or colour
where the source is in colour.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from highdicom.color import CIELabColor
from PIL.ImageCms import ImageCmsProfile, createProfile
from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    GrayscaleSoftcopyPresentationStateStorage,
)

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.identity import local_time, result_header
from dicom_ai_node.encode.marks import Mark, marks_of
from dicom_ai_node.encode.planes import Plane, pixel_aspect, planes
from dicom_ai_node.encode.provenance import is_multiframe, reference
from dicom_ai_node.encode.sides import add_laterality

KIND = "presentation_state"
_MODALITY_LUT = ("RescaleIntercept", "RescaleSlope", "RescaleType")
_WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")
_ASPECT_STEPS = 1000
_LONGEST_LAYER = 16
_GREY = 65535
_PROFILE_DATE = slice(24, 36)
"""Bytes of an ICC profile that say when it was made, ICC.1 7.2.8."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A graphic layer: its name as PS3.5 wants it, what people call it, and its colour."""

    name: str
    label: str
    colour_rgb: tuple[int, int, int]


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return a presentation state for every instance on which there is something to draw.

    None where nothing was found: the report says so.

    Raises
    ------
    TaskFailed
        If the findings name a frame that is none of the sources.
    """
    by_instance: dict[str, list[Mark]] = {}
    for mark in marks_of(findings, origin):
        by_instance.setdefault(mark.source.sop_instance_uid, []).append(mark)
    return [
        _state(origin, marks, planes([marks[0].source], origin.sources)[0], index)
        for index, marks in enumerate(by_instance.values())
    ]


def _state(origin: Origin, marks: Sequence[Mark], plane: Plane, index: int) -> Dataset:
    source = plane.header
    is_colour = int(source.get("SamplesPerPixel") or 1) > 1 or (
        source.get("PhotometricInterpretation") == "PALETTE COLOR"
    )
    sop_class_uid = (
        ColorSoftcopyPresentationStateStorage
        if is_colour
        else GrayscaleSoftcopyPresentationStateStorage
    )
    state = result_header(origin, source, sop_class_uid, KIND, index)
    add_laterality(state, source)
    del state.ContentDate, state.ContentTime  # this IOD has times of its own
    now = local_time(origin, source)
    state.PresentationCreationDate = now.strftime("%Y%m%d")
    state.PresentationCreationTime = now.strftime("%H%M%S")
    state.ContentLabel = "AI_FINDINGS"
    state.ContentDescription = origin.model.title[:64]
    state.ContentCreatorName = "AI^dicom_ai_node"
    series = Dataset()
    series.SeriesInstanceUID = source.SeriesInstanceUID
    series.ReferencedImageSequence = [reference(source)]
    state.ReferencedSeriesSequence = [series]
    state.DisplayedAreaSelectionSequence = [_whole_area(plane)]
    layers = _layers(marks)
    state.GraphicLayerSequence = [
        _layer_item(layer, order) for order, layer in enumerate(layers.values(), start=1)
    ]
    state.GraphicAnnotationSequence = _annotations(marks, layers, source)
    if is_colour:
        state.ICCProfile = _srgb()
    else:
        _add_grey_values(state, source)
    return state


def _whole_area(plane: Plane) -> Dataset:
    """Return the item of Displayed Area Selection Sequence that shows all of every image."""
    header, area = plane.header, Dataset()
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [int(header.Columns), int(header.Rows)]
    area.PresentationSizeMode = "SCALE TO FIT"
    aspect = pixel_aspect(plane)
    area.PresentationPixelAspectRatio = (
        [1, 1] if aspect == 1 else [round(aspect * _ASPECT_STEPS), _ASPECT_STEPS]
    )
    return area


def _layers(marks: Sequence[Mark]) -> Mapping[str, _Layer]:
    """Return one layer per label, in order of first appearance, so that each can be hidden."""
    layers: dict[str, _Layer] = {}
    for mark in marks:
        if mark.label in layers:
            continue
        plain = "".join(one if one.isascii() and one.isalnum() else "_" for one in mark.label)
        name = plain.upper()[:_LONGEST_LAYER]
        if any(layer.name == name for layer in layers.values()):
            end = f"_{len(layers) + 1}"
            name = name[: _LONGEST_LAYER - len(end)] + end
        layers[mark.label] = _Layer(name, mark.label, mark.colour_rgb)
    return layers


def _layer_item(layer: _Layer, order: int) -> Dataset:
    item = Dataset()
    item.GraphicLayer = layer.name
    item.GraphicLayerOrder = order
    item.GraphicLayerDescription = layer.label[:64]
    item.GraphicLayerRecommendedDisplayGrayscaleValue = _GREY
    item.GraphicLayerRecommendedDisplayCIELabValue = list(
        CIELabColor.from_rgb(*layer.colour_rgb).value
    )
    return item


def _annotations(
    marks: Sequence[Mark], layers: Mapping[str, _Layer], source: Dataset
) -> list[Dataset]:
    """Return one item per layer and frame, PS3.3 C.10.5."""
    placed: dict[tuple[str, int], list[Mark]] = {}
    for mark in marks:
        placed.setdefault((mark.label, mark.source.number), []).append(mark)
    items = []
    for (label, _), here in placed.items():
        item = Dataset()
        if is_multiframe(source):
            item.ReferencedImageSequence = [reference(source, here[0].source)]
        item.GraphicLayer = layers[label].name
        item.GraphicObjectSequence = [_outline(mark) for mark in here]
        texts = [_text(mark) for mark in here if mark.text]
        if texts:
            item.TextObjectSequence = texts
        items.append(item)
    return items


def _outline(mark: Mark) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(mark.points)
    item.GraphicData = [float(number) for point in mark.points for number in point]
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    item.TrackingID, item.TrackingUID = mark.tracking_id, mark.tracking_uid
    return item


def _text(mark: Mark) -> Dataset:
    """Return the text of a mark at its upper left corner; viewers find room for it there."""
    item = Dataset()
    item.AnchorPointAnnotationUnits = "PIXEL"
    item.UnformattedTextValue = mark.text
    item.AnchorPoint = [float(min(number)) for number in zip(*mark.points, strict=True)]
    item.AnchorPointVisibility = "N"
    return item


def _add_grey_values(state: Dataset, source: Dataset) -> None:
    """Say how stored values become grey, as the source does itself, PS3.3 C.11.1, C.11.8, C.11.6.

    A viewer ignores what the image says of it as soon as a presentation state is applied.
    """
    if source.get("RescaleSlope") is not None and source.get("RescaleIntercept") is not None:
        for keyword in _MODALITY_LUT[:2]:
            setattr(state, keyword, source.get(keyword))
        state.RescaleType = source.get("RescaleType") or "US"
    window = _window(source)
    if window is not None:
        state.SoftcopyVOILUTSequence = [window]
    is_inverse = source.get("PhotometricInterpretation") == "MONOCHROME1"
    state.PresentationLUTShape = "INVERSE" if is_inverse else "IDENTITY"


def _window(source: Dataset) -> Dataset | None:
    """Return the first window of the source, or `None` if it has none."""
    item = Dataset()
    for keyword in _WINDOW:
        value = source.get(keyword)
        if value is not None and not isinstance(value, str | float | int) and len(value):
            value = value[0]
        if value not in {None, ""}:
            setattr(item, keyword, value)
    has_window = "WindowCenter" in item and "WindowWidth" in item
    return item if has_window else None


def _srgb() -> bytes:
    """Return the profile of sRGB, without the time at which it was made."""
    profile = bytearray(ImageCmsProfile(createProfile("sRGB")).tobytes())
    profile[_PROFILE_DATE] = bytes.fromhex("07d0000100010000" + "00000000")
    return bytes(profile) + b"\0" * (len(profile) % 2)
