"""One picture with the class that somebody gave it, and how a set of them is parted."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

SHARES: Mapping[str, float] = MappingProxyType({"test": 0.18, "validation": 0.16, "training": 0.66})
"""What part of the pictures of each class goes where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture with its class.

    Attributes
    ----------
    name
        Names the picture among those of its recipe; never a patient's.
    image
        (rows, columns) float32 in the unit of the model's facts.
    label
        Position of its class in the model's `classes`.
    group
        What must stay on one side of a split: a patient, near-duplicates or neighbours.
    outline
        (rows, columns), where its class shows, if somebody has drawn it.
    """

    name: str
    image: NDArray[np.float32]
    label: int
    group: str
    outline: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureParts:
    """Training fits weights, validation chooses and calibrates, test is scored once at the end."""

    training: Sequence[Picture]
    validation: Sequence[Picture]
    test: Sequence[Picture]


def split(pictures: Sequence[Picture]) -> PictureParts:
    """Part pictures into test, validation and training, see `dealt`."""
    return PictureParts(**dealt(pictures, SHARES))


def dealt(
    pictures: Sequence[Picture], shares: Mapping[str, float]
) -> Mapping[str, Sequence[Picture]]:
    """Part pictures so that groups stay whole and every part has its share of every class.

    The order in which groups are dealt follows from a hash of their names, so that it is the same
    everywhere and has nothing to do with the order of the data. Each group goes where most
    pictures of its class are still missing.
    """
    grouped: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        grouped[picture.group].append(picture)
    labels = {name: _commonest(members) for name, members in grouped.items()}
    total = Counter(labels[picture.group] for picture in pictures)
    missing = {
        (part, label): share * count
        for part, share in shares.items()
        for label, count in total.items()
    }
    parts: dict[str, list[Picture]] = {part: [] for part in shares}
    for name in sorted(grouped, key=lambda name: hashlib.sha256(name.encode()).digest()):
        part = max(shares, key=lambda part: missing[part, labels[name]] / shares[part])
        missing[part, labels[name]] -= len(grouped[name])
        parts[part].extend(grouped[name])
    return parts


def _commonest(members: Sequence[Picture]) -> int:
    ((label, _),) = Counter(picture.label for picture in members).most_common(1)
    return label
