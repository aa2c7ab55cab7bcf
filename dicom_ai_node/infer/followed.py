"""Lesions of this study matched with those of earlier ones by where they are.

A lesion is where it was, as far as patients lie still: all are matched at once, so that the
distances together are least. What is further apart than `REACH_MM` and half of the longer one is
not the same. Places in another frame of reference are brought into this one by `moves`; where there
is no move, nothing is guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from dicom_ai_node.domain.lesions import Fate, Gone, Lesion, Lesions
from dicom_ai_node.domain.reports import Place, ReportReference

REACH_MM: Final = 10.0
"""How far patients move between two studies although their frames of reference agree."""
_FAR: Final = 1e6
Moves: TypeAlias = Mapping[str, NDArray[np.float64]]
"""By frame of reference what brings its places into that of this study, (4, 4) in mm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A lesion of earlier studies: where it was seen last, and how long it was each time."""

    tracking_uid: str
    number: int
    of: int
    place: Place
    sizes: Mapping[ReportReference, float]
    is_there: bool

    @property
    def long_mm(self) -> float:
        """How long it was when it was seen last."""
        return list(self.sizes.values())[-1]


def matched(now: Lesions, known: Sequence[Known], moves: Moves) -> Lesions:
    """Return the lesions of this study under the names that they had before, and what is gone.

    Numbers of what is new go on where those of all studies before have ended.
    """
    reachable = [one for one in known if one.place.frame_of_reference_uid in moves]
    lost = len(reachable) < len(known)
    places = [_moved(one.place, moves) for one in reachable]
    pairs = _pairs(now.present, reachable, places)
    fresh = count(max((one.number for one in known), default=0) + 1)
    taken = set(pairs.values())
    present: list[Lesion] = []
    for place, lesion in enumerate(now.present):
        if place in pairs:
            it = reachable[pairs[place]]
            uid = it.tracking_uid
            present.append(replace(lesion, fate=Fate.FOLLOWED, number=it.number, tracking_uid=uid))
            continue
        whole = _whole(lesion, reachable, places, taken)
        fate = Fate.PART if whole else Fate.UNKNOWN if lost else Fate.NEW
        present.append(replace(lesion, number=next(fresh), fate=fate, part_of=whole))
    missing = [place for place in range(len(reachable)) if place not in taken]
    gone = tuple(
        Gone(
            number=reachable[place].number,
            of=reachable[place].of,
            tracking_uid=reachable[place].tracking_uid,
            merged_into=_taker(places[place], present),
        )
        for place in missing
        if reachable[place].is_there
    )
    return replace(now, present=tuple(present), gone=gone)


def _moved(place: Place, moves: Moves) -> NDArray[np.float64]:
    found: NDArray[np.float64] = (moves[place.frame_of_reference_uid] @ (*place.at_mm, 1.0))[:3]
    return found


def _pairs(
    now: Sequence[Lesion], known: Sequence[Known], places: Sequence[NDArray[np.float64]]
) -> Mapping[int, int]:
    """Return which lesion is which known one, by their places in both lists."""
    if not now or not known:
        return {}
    apart = np.array([[_apart(lesion, place) for place in places] for lesion in now])
    reach = np.array([[REACH_MM + max(a.long_mm, b.long_mm) / 2 for b in known] for a in now])
    same = np.array([[a.of == b.of for b in known] for a in now])
    cost = np.where((apart <= reach) & same, apart, _FAR)
    rows, columns = linear_sum_assignment(cost)
    return {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if cost[row, column] < _FAR
    }


def _apart(lesion: Lesion, place: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.array(lesion.centre_mm) - place))


def _whole(
    lesion: Lesion,
    known: Sequence[Known],
    places: Sequence[NDArray[np.float64]],
    taken: set[int],
) -> str:
    """Return the tracking UID of the lesion within which this one now lies, or nothing."""
    inside = [
        (_apart(lesion, places[place]), known[place].tracking_uid)
        for place in taken
        if _apart(lesion, places[place]) <= known[place].long_mm / 2
    ]
    return min(inside)[1] if inside else ""


def _taker(place: NDArray[np.float64], present: Sequence[Lesion]) -> int:
    """Return the number of the followed lesion within which a place now lies, or 0."""
    inside = [
        (_apart(lesion, place), lesion.number)
        for lesion in present
        if lesion.fate is Fate.FOLLOWED and _apart(lesion, place) <= lesion.long_mm / 2
    ]
    return min(inside)[1] if inside else 0
