"""The words that a route may use: derived facts of a series, and PS3.6 keywords."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_dict

Value: TypeAlias = str | int | float | bool
"""What a word stands for: the text of an attribute, or a fact of its own type."""


class Kind(StrEnum):
    """The type of a word, as an operator would say it."""

    TEXT = "text"
    WHOLE = "a whole number"
    NUMBER = "a number"
    YES_NO = "true or false"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One name that conditions and expressions know.

    `is_list` is set for attributes with several values (VM other than 1, PS3.6): in an
    expression they are lists. `values` are all that there can be, where that is a closed set.
    """

    name: str
    kind: Kind
    meaning: str
    is_list: bool = False
    values: tuple[str, ...] = ()


_YES_NO = ("TRUE", "FALSE")

FACTS: Mapping[str, Word] = MappingProxyType(
    {
        word.name: word
        for word in (
            Word(
                name="instances",
                kind=Kind.WHOLE,
                meaning="how many instances have arrived",
            ),
            Word(
                name="frames",
                kind=Kind.WHOLE,
                meaning="the sum of NumberOfFrames, where an image without it counts as one",
            ),
            Word(
                name="slices",
                kind=Kind.WHOLE,
                meaning="different places along the normal if all slices are parallel, else the "
                "number of images with a place; the number of frames for enhanced CT, MR and PET; "
                "absent for images without a place in the patient",
            ),
            Word(
                name="missing_slices",
                kind=Kind.WHOLE,
                meaning="how many slices are missing between evenly spaced ones; absent if the "
                "gaps follow no rule",
            ),
            Word(
                name="slice_spacing_mm",
                kind=Kind.NUMBER,
                meaning="the median distance of neighbouring slices along their normal, in mm",
            ),
            Word(
                name="slice_gap_is_even",
                kind=Kind.YES_NO,
                meaning="every gap between slices is within a tenth of slice_spacing_mm",
                values=_YES_NO,
            ),
            Word(
                name="pixel_spacing_mm",
                kind=Kind.NUMBER,
                meaning="the larger value of PixelSpacing, in mm",
            ),
            Word(
                name="orientation",
                kind=Kind.TEXT,
                meaning="how all slices lie: AXIAL, CORONAL or SAGITTAL within 25 degrees, else "
                "OBLIQUE",
                values=("AXIAL", "CORONAL", "SAGITTAL", "OBLIQUE"),
            ),
            Word(
                name="contrast",
                kind=Kind.YES_NO,
                meaning="an instance names a contrast agent",
                values=_YES_NO,
            ),
            Word(
                name="is_original",
                kind=Kind.YES_NO,
                meaning="the first value of ImageType is ORIGINAL in all instances",
                values=_YES_NO,
            ),
            Word(
                name="is_primary",
                kind=Kind.YES_NO,
                meaning="the second value of ImageType is PRIMARY in all instances",
                values=_YES_NO,
            ),
            Word(
                name="is_localizer",
                kind=Kind.YES_NO,
                meaning="ImageType says LOCALIZER in all instances",
                values=_YES_NO,
            ),
            Word(
                name="is_multiframe",
                kind=Kind.YES_NO,
                meaning="an instance has more than one frame",
                values=_YES_NO,
            ),
            Word(
                name="calling_ae_title",
                kind=Kind.TEXT,
                meaning="the AE title that sent the series",
            ),
        )
    }
)
"""Facts that no single attribute tells. A fact that cannot be derived is absent."""

_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "ST", "TM", "UC", "UI"})
_OF_A_PATIENT = frozenset({"PatientSex", "PatientAge", "PatientSize", "PatientWeight"})
"""All of group 0010 that a route may look at."""
_PERSONAL_GROUPS = frozenset({0x0010, 0x0038, 0x4008})
"""Patient, visit, and the interpretation of results."""
_PERSONAL = re.compile(
    "Address|Telephone|Phone|Institution|Physician|Operator|Person|Request(er|ing)|Reviewer"
    "|Subject|Organization|Recipient|Contact|AccessionNumber|OrderNumber|Admitting|Reason"
    "|^StudyID$|OtherStudyNumbers|Procedure(Step)?ID$|Barcode|Issuer"
)
_NUMBER_VRS = frozenset({"DS", "FD", "FL"})
_WHOLE_VRS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"})


def word(name: str) -> Word | None:
    """Return the word called `name`, or `None` if a route cannot look at such a thing.

    Keywords of sequences, binary values and long texts are no words, nor is anything that
    identifies a patient or another person: the ledger does not keep them.
    """
    if name in FACTS:
        return FACTS[name]
    if not name or name not in keyword_dict:  # retired elements have the empty keyword
        return None
    kind = _kind(dictionary_VR(keyword_dict[name]))
    if kind is None or identifies(name):
        return None
    is_list = dictionary_VM(keyword_dict[name]) != "1"
    return Word(name=name, kind=kind, meaning=f"PS3.6 {name}", is_list=is_list)


def identifies(keyword: str) -> bool:
    """Return whether a PS3.6 keyword identifies the patient or another person.

    After PS3.15 Table E.1-1. The ledger keeps no such attribute, and no route can ask for one.
    """
    if keyword in _OF_A_PATIENT:
        return False
    is_personal_group = keyword_dict[keyword] >> 16 in _PERSONAL_GROUPS
    return is_personal_group or _PERSONAL.search(keyword) is not None


def _kind(vr: str) -> Kind | None:
    if vr in _NUMBER_VRS:
        return Kind.NUMBER
    if vr in _WHOLE_VRS:
        return Kind.WHOLE
    return Kind.TEXT if vr in _TEXT_VRS else None
