"""What a segmentation made elsewhere outlines on an image: where a task is to begin.

A DICOM Segmentation of PS3.3 A.51, binary, fractional or a label map. It must name a frame of the
image and be of its size; nothing is resampled and nothing is guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, SegmentationStorage

from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.findings import Segment
from dicom_ai_node.domain.image import Frames, Image, SourceFrame
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.outline import Outline
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.uids import SOPInstanceUID
from dicom_ai_node.infer.pixels import check_size, decoded_frames
from dicom_ai_node.infer.planes import frame_count, read_headers

LABEL_MAP: Final = UID("1.2.840.10008.5.1.4.1.1.66.7")
"""Label Map Segmentation Storage, which pydicom does not know by name yet."""
LABEL_LENGTH: Final = 64
"""Characters of a Long String, PS3.5 6.2."""


@runtime_checkable
class Starting(Protocol):
    """A task that may be told where to begin."""

    def starting(self, outline: Outline) -> Task:
        """Return the task as it begins with what was outlined."""


def begun(
    task: Task,
    paths: Sequence[Path],
    image: Image,
    facts: ModelFacts,
    told: tuple[Mapping[str, Option], int],
) -> Task:
    """Return the task as it begins with what the segmentation in `paths` outlines on `image`.

    `told` are the options of the route, and how many bytes pixels may take.

    Raises
    ------
    TaskFailed
        If the kind of task begins nowhere.
    Rejected
        See `outline_on`.
    """
    if not isinstance(task, Starting) or not isinstance(image, Frames):
        raise TaskFailed(f"{facts.name} begins with no segmentation")
    return task.starting(outline_on(paths, image, facts.segments[0], *told))


def outline_on(
    paths: Sequence[Path],
    image: Frames,
    known: Segment,
    options: Mapping[str, Option],
    max_pixels_bytes: int,
) -> Outline:
    """Return what a segmentation outlines on the first frame of `image` that it says anything of.

    Parameters
    ----------
    known
        What the model calls such a thing; used where the segmentation does not say it in codes.
    options
        `segment` is the number of the one to take where there are several.

    Raises
    ------
    Rejected
        With SEG_UNUSABLE if it is no single segmentation, of another size, names no frame of the
        image, has several segments of which none was chosen, or outlines nothing; with the codes
        of `pixels.decoded_frames`.
    """
    headers = read_headers(paths)
    ds = headers[0]
    if len(headers) != 1 or ds.SOPClassUID not in (
        SegmentationStorage,
        LABEL_MAP,
    ):
        _unusable("the series is not one segmentation")
    if (int(ds.Rows), int(ds.Columns)) != image.array.shape[1:]:
        _unusable("it is of another size than the image")
    check_size(headers, max_pixels_bytes)
    segment, number = _segment(ds, known, options)
    places = {frame: index for index, frame in enumerate(image.sources)}
    named = [_frame_of(ds, index, places) for index in range(frame_count(ds))]
    if all(place is None for place in named):
        _unusable("it is a segmentation of another image")
    found: dict[int, NDArray[np.bool_]] = {}
    for place, values in zip(named, _masks(ds, number), strict=True):
        if place is not None and values is not None and values.any():
            found[place] = values | found.get(place, False)
    if not found:
        _unusable("nothing is outlined")
    first = min(found)
    return Outline(mask=found[first], frame=first, segment=segment)


def _unusable(why: str) -> NoReturn:
    raise Rejected(RejectCode.SEG_UNUSABLE, why)


def _segment(ds: Dataset, known: Segment, options: Mapping[str, Option]) -> tuple[Segment, int]:
    """Return what is followed in words and codes, and its number in the segmentation."""
    items = {int(item.SegmentNumber): item for item in ds.get("SegmentSequence") or ()}
    if ds.SOPClassUID == LABEL_MAP:
        items.pop(int(ds.get("PixelPaddingValue") or 0), None)  # the background
    wanted = options.get("segment")
    if wanted is None and len(items) != 1:
        _unusable(f"there are {len(items)} segments, and the option `segment` names none of them")
    number = next(iter(items)) if wanted is None else int(wanted)
    if number not in items:
        _unusable(f"there is no segment {number}")
    item = items[number]
    category = _code(item, "SegmentedPropertyCategoryCodeSequence")
    kind = _code(item, "SegmentedPropertyTypeCodeSequence")
    if category is None or kind is None:
        return known, number
    kinds = item.get("SegmentedPropertyTypeCodeSequence")
    return Segment(
        number=known.number,
        label=str(item.get("SegmentLabel") or known.label)[:LABEL_LENGTH],
        category=category,
        type=kind,
        modifier=_code(kinds[0], "SegmentedPropertyTypeModifierCodeSequence"),
    ), number


def _code(item: Dataset, keyword: str) -> Code | None:
    sequence = item.get(keyword) or ()
    if not sequence:
        return None
    parts = [
        sequence[0].get(name) for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    ]
    return Code(*map(str, parts)) if all(parts) else None


def _frame_of(ds: Dataset, index: int, places: Mapping[SourceFrame, int]) -> int | None:
    """Return which frame of the image a frame of the segmentation was drawn on, if it is known."""
    groups = [*_groups(ds, "PerFrame")[index : index + 1], *_groups(ds, "Shared")]
    named = [source for group in groups for source in _sources(group)]
    if not named and frame_count(ds) == 1:
        # A segmentation of one frame may name its image in the header alone.
        series = ds.get("ReferencedSeriesSequence") or ()
        items = [item for one in series for item in one.get("ReferencedInstanceSequence") or ()]
        named = [_source(item, 1) for item in items]
    return next((places[source] for source in named if source in places), None)


def _groups(ds: Dataset, which: str) -> Sequence[Dataset]:
    return list(ds.get(f"{which}FunctionalGroupsSequence") or ())


def _sources(group: Dataset) -> Iterator[SourceFrame]:
    for derivation in group.get("DerivationImageSequence") or ():
        for item in derivation.get("SourceImageSequence") or ():
            numbers = item.get("ReferencedFrameNumber") or 1
            yield from (_source(item, int(n)) for n in np.atleast_1d(np.asarray(numbers, int)))


def _source(item: Dataset, number: int) -> SourceFrame:
    return SourceFrame(SOPInstanceUID(str(item.get("ReferencedSOPInstanceUID"))), number)


def _masks(ds: Dataset, number: int) -> Iterator[NDArray[np.bool_] | None]:
    """Yield for every frame where the segment `number` is, `None` if it is of another segment."""
    is_map = ds.SOPClassUID == LABEL_MAP
    half = 1 if ds.get("SegmentationType") == "BINARY" else _half(ds)
    for index, values in enumerate(_values(ds)):
        if is_map:
            yield values == number
            continue
        groups = [*_groups(ds, "PerFrame")[index : index + 1], *_groups(ds, "Shared")]
        told = [
            int(item.ReferencedSegmentNumber)
            for group in groups
            for item in group.get("SegmentIdentificationSequence") or ()
        ]
        yield values >= half if told[:1] == [number] else None


def _half(ds: Dataset) -> float:
    return float(ds.get("MaximumFractionalValue") or 1) / 2


def _values(ds: Dataset) -> Iterator[NDArray[Any]]:
    if ds.BitsAllocated != 1:
        for frame in decoded_frames(ds):
            yield frame.values
        return
    # One bit per pixel, frame after frame without a gap, PS3.5 8.2.
    if UID(str(ds.file_meta.get("TransferSyntaxUID", ""))).is_encapsulated:
        raise Rejected(RejectCode.PIX_UNSUPPORTED, "a segmentation of single bits that is encoded")
    shape = (frame_count(ds), int(ds.Rows), int(ds.Columns))
    found = dcmread(ds.filename, specific_tags=["PixelData"]).get("PixelData")
    data = found if isinstance(found, bytes) else b""
    count = int(np.prod(shape))
    if 8 * len(data) < count:
        raise Rejected(RejectCode.PIX_CORRUPT, "there are fewer pixels than the header says")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count, bitorder="little")
    yield from bits.reshape(shape)
