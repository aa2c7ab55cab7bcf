"""What is changed in the release of OHIF while it is unpacked, and why.

It expects to stand at the root of its origin; a few places say so. Beyond that, it ends or stays
black on objects that the standard allows; each change below says on which. The release is pinned to
the bit, so that every change is known to fit; one that does not is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from dicom_ai_node.serve.viewer import release

PATH = "/viewer/"
RECIPE = 2
"""Raised when what is kept or changed is another: the address of every file changes with it."""
BASE = f"ohif-{release.VERSION}-{RECIPE}"
"""The folder on the disk and below `/viewer/`: what lies there never changes."""
_URL = f"{PATH}{BASE}/"
_IOP = "ImageOrientationPatient"
_SHARED = f"shared{_IOP}"
_OF_FRAME = f"PerFrameFunctionalGroups.PlaneOrientationSequence.{_IOP}"
_OF_SOURCE = "validOrientations[0]"
_OF_FRAME_OR_SOURCE = (
    f"(PerFrameFunctionalGroups.PlaneOrientationSequence || {{}}).{_IOP} || {_OF_SOURCE}"
)
_HAS_PLACES = """JSON.stringify(displaySets[0].instance.ContentSequence).includes('"SCOORD')"""


@dataclass(frozen=True, slots=True)
class Change:
    """A text of the release, and what stands there instead."""

    old: str
    new: str
    times: int
    """How often it is found in all files of its kind."""


_SCRIPTS = (
    Change('__webpack_require__.p = "/";', f'__webpack_require__.p = "{_URL}";', 8),
    Change("'/dicom-microscopy-viewer/", f"'{_URL}dicom-microscopy-viewer/", 1),
    # What is to be told that a slice could not be loaded is looked up, and not told.
    Change("r_.getHTTPErrorHandler(error);", "r_.getHTTPErrorHandler()?.(error);", 1),
    # And of what was refused it is not said how.
    Change(
        "const error = new Error('request failed');\n"
        "            globalOptions.errorInterceptor(error);",
        "globalOptions.errorInterceptor(err);",
        2,
    ),
    Change(
        "throw new Error(`Couldn't retrieve ${url} got status ${response.status}`);",
        "throw Object.assign(new Error('not loaded'), {status: response.status});",
        1,
    ),
    # It goes to the first slice of a segmentation 40 ms later, in a viewport that may be gone.
    Change(
        "setTimeout(() => {\n                this.setImageIdIndex",
        "setTimeout(() => {\n                this.isDisabled || this.setImageIdIndex",
        2,
    ),
    # A report without a place in an image, such as one of volumes, would be a black viewport.
    Change(
        "if (isImagingMeasurementReport) {",
        f"if (isImagingMeasurementReport && {_HAS_PLACES}) {{",
        1,
    ),
    # A report in which one group of several has no place would not be loaded at all.
    Change(
        "if (measurement) {\n      measurements.push",
        "if (measurement?.coords.length) {\n      measurements.push",
        1,
    ),
    # In the text of a report, a line for every slice that says that it cannot be shown.
    Change(
        "function OHIFCornerstoneSRContentItem(props) {",
        "function OHIFCornerstoneSRContentItem(props) {\n"
        "  if (props.contentItem.ValueType === 'IMAGE') { return null; }",
        1,
    ),
    # The background of a label map has a number, 0, and would shift the colours of all segments.
    Change(
        "data = [undefined, ...segmentSequence];",
        "data = [undefined, ...segmentSequence.filter(one => Number(one.SegmentNumber) !== 0)];",
        1,
    ),
    # A segmentation whose frames differ in thickness, or have none, would end the viewer.
    Change("} = SharedFunctionalGroup;", "} = SharedFunctionalGroup || {};", 2),
    Change("} = PixelMeasures;", "} = PixelMeasures || {};", 2),
    # A segmentation of frames without a place, as of ultrasound or X-ray, lies as its source does.
    Change(
        f"iopRaw = {_SHARED} || {_OF_FRAME};", f"iopRaw = {_SHARED} || {_OF_FRAME_OR_SOURCE};", 1
    ),
    Change(
        f"const {_IOP}I = {_SHARED} || {_OF_FRAME};",
        f"const {_IOP}I = {_SHARED} || {_OF_FRAME_OR_SOURCE};",
        5,
    ),
    Change(f"_PerFrameFunctionalGr.{_IOP});", f"_PerFrameFunctionalGr.{_IOP}) || {_OF_SOURCE};", 1),
)
_STYLES = (Change("url(/", f"url({_URL}", 5),)
CHANGES: Mapping[str, Sequence[Change]] = {".js": _SCRIPTS, ".css": _STYLES}
"""By the kind of file."""


@dataclass(slots=True)
class Changing:
    """Changes one file after the other, and knows which change has not been made."""

    _made: dict[Change, int] = field(default_factory=dict)

    def changed(self, name: str, content: bytes) -> bytes:
        """Return what a file of this name is to hold."""
        for change in CHANGES.get(PurePosixPath(name).suffix, ()):
            old = change.old.encode()
            if found := content.count(old):
                self._made[change] = self._made.get(change, 0) + found
                content = content.replace(old, change.new.encode())
        return content

    def missed(self) -> list[str]:
        """Return the texts that were not found as often as they should have been."""
        every = [change for changes in CHANGES.values() for change in changes]
        return [one.old for one in every if self._made.get(one, 0) != one.times]
