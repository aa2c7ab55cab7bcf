"""What is made of pixel data for those who look at it, in a process that may die of it.

Whoever answers others never decodes: it hands an order with an open file to a `Darkroom` and gets
another open file back.
"""

from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeAlias

from dicom_ai_node.domain.errors import NodeError

DECODABLE = frozenset({
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5",
    *(f"1.2.840.10008.1.2.4.{number}" for number in (
        50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203,
    )),
})  # fmt: skip
"""Transfer syntaxes that a darkroom makes Explicit VR Little Endian of."""


class NotShowable(NodeError):
    """There is no such picture, or no such encoding, of an object; the message says why."""

    http_status = 406


class NoSuchFrame(NodeError):
    """The object has no frame of this number."""

    http_status = 404


@dataclass(frozen=True, slots=True)
class Uncompressed:
    """The whole object as a Part 10 file in Explicit or Implicit VR Little Endian."""

    is_implicit: bool = False


@dataclass(frozen=True, slots=True)
class NativeFrame:
    """One frame, from 1, uncompressed, little endian, as in Explicit VR Little Endian."""

    number: int


@dataclass(frozen=True, slots=True)
class Value:
    """The bytes of one element at `tag/item/tag...`, items from 1, little endian."""

    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """What is black and what is white, PS3.3 C.11.2.1.2; in the unit of the modality LUT."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True)
class Viewport:
    """How large, and of which part of the image, PS3.18 8.3.5.1.3.

    A negative width or height of the source flips it. `None` is all of it.
    """

    width: int
    height: int
    source: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Frames as a picture for a person.

    Attributes
    ----------
    frames
        Numbers from 1; more than one make a cine. Empty means all.
    window
        `None` for that of the data set, or what suits its values.
    quality
        1 to 100, for JPEG.
    """

    media_type: str
    frames: tuple[int, ...]
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = 90


@dataclass(frozen=True, slots=True)
class Report:
    """A structured report as a page of HTML."""


@dataclass(frozen=True, slots=True)
class Overlaid:
    """One frame, from 1, as PNG with the segments of the other files on it."""

    frame: int
    window: Window | None = None
    viewport: Viewport | None = None


Order: TypeAlias = Uncompressed | NativeFrame | Value | Picture | Report | Overlaid


@dataclass(frozen=True, slots=True)
class Print:
    """What was made: an open file that is nowhere listed and vanishes when it is closed."""

    file: BinaryIO
    size_bytes: int


class Darkroom(Protocol):
    """Makes what is ordered, within limits of memory and of time."""

    def make(self, order: Order, *files: BinaryIO) -> Print:
        """Make it of a Part 10 file, or of several, and return it.

        Raises
        ------
        NotShowable
            If there is no such thing of this object, or making it took too much.
        NoSuchFrame
            If it has not so many frames.
        OutOfResources
            If too many orders wait.
        """
