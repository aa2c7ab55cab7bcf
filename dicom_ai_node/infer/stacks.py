"""Which frames of a series belong together, and which of these stacks a model gets.

One series may hold a localizer, two reconstructions, five echoes and forty time points. Frames
that cannot be one volume are separated first; attributes that may also differ within one volume
(a trigger time, an acquisition number) separate only where two frames claim the same place.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.geometry import UNIT_WITHIN, Slice, collisions, in_order
from dicom_ai_node.infer.planes import SECONDARY_CAPTURES, Plane

_DERIVED_KINDS: Final = frozenset({
    "MPR", "CPR", "MIP", "MINIP", "MIN_IP", "MAX_IP", "CSA MPR", "CSA MIP", "CSA MINIP",
    "REFORMATTED", "PROJECTION IMAGE", "VRT", "VOLREN", "VOLUME_RENDER", "SCREEN SAVE",
})  # fmt: skip
"""Values of ImageType for reformats, projections and renderings."""

_DERIVATIONS: Final = frozenset({"113072", "113073", "113074", "113075", "113078", "113079"})
"""DCM codes of CID 7203: reformatting (2), rendering (2), maximum and minimum projection."""

_TIMES: Final = (
    "TemporalPositionIdentifier", "TemporalPositionIndex", "TemporalPositionTimeOffset",
    "TriggerTime", "NominalCardiacTriggerDelayTime", "FrameReferenceTime", "DiffusionBValue",
)  # fmt: skip
"""Attributes that tell time points (or weightings) of one place apart."""

_OTHERS: Final = (
    "EchoTime", "EffectiveEchoTime", "InversionTime", "ImageType", "AcquisitionNumber",
    "AcquisitionTime",
)  # fmt: skip

_SIEMENS_B: Final = (0x0019, 0x0C, "SIEMENS MR HEADER")

SamePixels = Callable[[Slice, Slice], bool]


@dataclass(frozen=True, slots=True)
class Stack:
    """Slices in order, no two at the same place.

    `left_out` is how many frames of other orientation, size or kind there were beside them.
    """

    slices: tuple[Slice, ...]
    left_out: int
    notes: tuple[str, ...]


def eligible(
    planes: Sequence[Plane], options: Mapping[str, Option]
) -> tuple[list[Plane], tuple[str, ...]]:
    """Return the planes that are images of the patient, and notes on the others.

    Raises
    ------
    Rejected
        With GEO_ONLY_LOCALIZER if nothing but localizers is left, IN_SECONDARY if nothing but
        secondary captures, reformats and projections is; the option `allow_derived` keeps those.
    """
    images = [plane for plane in planes if "LOCALIZER" not in plane.image_type]
    if not images:
        raise Rejected(RejectCode.GEO_ONLY_LOCALIZER, f"{len(planes)} frames, all localizers")
    kept = images if options.get("allow_derived") else [p for p in images if not _is_derived(p)]
    if not kept:
        raise Rejected(RejectCode.IN_SECONDARY, f"{len(images)} frames, all secondary or derived")
    return kept, tuple(
        f"{count} {what} left out"
        for count, what in (
            (len(planes) - len(images), "localizer frames"),
            (len(images) - len(kept), "derived frames"),
        )
        if count
    )


def choose(slices: Sequence[Slice], options: Mapping[str, Option], same: SamePixels) -> Stack:
    """Return the one stack of a series that a model shall see: the largest.

    Parameters
    ----------
    options
        `time_point` (from 1) takes one of several time points instead of rejecting them.
    same
        Whether two slices at the same place show the same pixels.

    Raises
    ------
    Rejected
        With GEO_MIXED if several stacks are equally large, GEO_4D if one place was imaged
        several times, GEO_DUPLICATE if two different slices lie at one place and nothing tells
        them apart.
    """
    stacks = _separate(slices)
    largest = stacks[0]
    if len(stacks) > 1 and len(stacks[1]) == len(largest):
        raise Rejected(
            RejectCode.GEO_MIXED,
            f"{len(stacks)} kinds of frames, the largest stacks have {len(largest)} frames each",
        )
    others = len(slices) - len(largest)
    notes = [f"{others} frames of other orientation, size or kind left out"] if others else []
    ordered, repeats = _without_repeats(in_order(largest), same)
    if repeats:
        notes.append(f"{repeats} frames left out that repeat another")
    if collisions(ordered):
        ordered, note = _one_of_several(ordered, options)
        notes.append(note)
    return Stack(tuple(ordered), others, tuple(notes))


def largest_stack(slices: Sequence[Slice]) -> list[Slice]:
    """Return in order the slices of the largest group that could be one volume, over all times."""
    return in_order(_separate(slices)[0])


def _is_derived(plane: Plane) -> bool:
    kind = plane.image_type
    if plane.ds.get("SOPClassUID") in SECONDARY_CAPTURES or kind[:2] == ("DERIVED", "SECONDARY"):
        return True
    if _DERIVED_KINDS.intersection(kind[2:]) and kind[:1] == ("DERIVED",):
        return True
    if "FrameType" in plane.own or "FrameType" in plane.shared:
        # of enhanced images only what was measured: maps and sums are DERIVED
        return kind[:1] == ("DERIVED",)
    codes = plane.ds.get("DerivationCodeSequence") or ()
    return any(str(item.get("CodeValue")) in _DERIVATIONS for item in codes)


def _separate(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Part frames that cannot be one volume; the largest stack first."""
    stacks: list[tuple[Hashable, Slice, list[Slice]]] = []
    for item in slices:
        kind = _kind(item)
        for known, first, members in stacks:
            if known == kind and _is_parallel(first, item):
                members.append(item)
                break
        else:
            stacks.append((kind, item, [item]))
    return sorted((members for _, _, members in stacks), key=len, reverse=True)


def _kind(item: Slice) -> Hashable:
    plane = item.plane
    return (
        str(plane.ds.get("SOPClassUID")),
        plane.image_type[2:3],
        item.size,
        tuple(round(value, 4) for value in item.spacing_mm),
        str(plane.ds.get("FrameOfReferenceUID")),
        plane.texts("EchoNumbers"),
        plane.texts("ConvolutionKernel"),
        plane.texts("Units"),
        plane.texts("StackID"),
    )


def _is_parallel(one: Slice, other: Slice) -> bool:
    differences = np.abs([one.across - other.across, one.down - other.down])
    return bool(differences.max() <= UNIT_WITHIN)


def _without_repeats(ordered: Sequence[Slice], same: SamePixels) -> tuple[list[Slice], int]:
    """Leave out slices that are there twice; nothing if any two at one place differ."""
    repeated: set[int] = set()
    for one, other in collisions(ordered):
        if not same(one, other):
            return list(ordered), 0
        repeated.add(id(other))
    return [item for item in ordered if id(item) not in repeated], len(repeated)


def _one_of_several(
    ordered: Sequence[Slice], options: Mapping[str, Option]
) -> tuple[list[Slice], str]:
    """Take one of the stacks that share their places, if something tells them apart."""
    splits = [
        (keyword, parts)
        for keyword in (*_TIMES, *_OTHERS)
        if len(parts := parts_by(ordered, keyword)) > 1 and not any(map(collisions, parts))
    ]
    if not splits:
        raise Rejected(
            RejectCode.GEO_DUPLICATE, f"{len(collisions(ordered))} slices lie where another lies"
        )
    # a time that differs from slice to slice parts them too, but into more than there are
    keyword, parts = min(splits, key=lambda split: len(split[1]))
    wanted = options.get("time_point")
    if wanted is not None:
        if not 1 <= int(wanted) <= len(parts):
            raise Rejected(RejectCode.GEO_4D, f"there are {len(parts)} time points")
        return parts[int(wanted) - 1], f"{keyword}: {wanted} of {len(parts)} taken"
    largest, second = sorted(parts, key=len, reverse=True)[:2]
    if 2 * len(second) < len(largest):
        left_out = len(ordered) - len(largest)
        return largest, f"{left_out} frames of another {keyword} left out"
    raise Rejected(RejectCode.GEO_4D, f"{len(parts)} values of {keyword} at the same place")


def parts_by(ordered: Sequence[Slice], keyword: str) -> list[list[Slice]]:
    """Return the slices by the value of one attribute, in the order of these values."""
    parts: dict[tuple[str, ...], list[Slice]] = {}
    for item in ordered:
        parts.setdefault(_tag_of(item.plane, keyword), []).append(item)
    return [parts[value] for value in sorted(parts, key=_as_sortable)]


def _tag_of(plane: Plane, keyword: str) -> tuple[str, ...]:
    values = plane.texts(keyword)
    if values or keyword != "DiffusionBValue":
        return values
    group, element, creator = _SIEMENS_B
    try:
        return (str(plane.ds.private_block(group, creator)[element].value),)
    except KeyError:
        return ()


def _as_sortable(values: tuple[str, ...]) -> tuple[tuple[float, str], ...]:
    """Order numbers as numbers and everything else behind them."""
    return tuple(
        (float(value), "") if value.replace(".", "", 1).isdecimal() else (np.inf, value)
        for value in values
    )
