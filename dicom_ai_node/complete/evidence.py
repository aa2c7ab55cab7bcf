"""Has all of a series arrived? DICOM has no message for it, so we weigh what speaks for it.

Silence is the one sign that every sender gives. It is enough after a shorter time if every
association that brought the series was released in good order, or if the header announces how
many instances there are and that many are here. It is not enough while slices are missing
between evenly spaced ones or announced instances are: then we wait as long as patience lasts, and
say what is missing. Silence counts only while somebody listened: what a sender could not send to a
node that was down says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from dicom_ai_node.domain.stack import Stack, stacks
from dicom_ai_node.domain.study import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait after the last arrival.

    `quiet` without further evidence, `released_quiet` with evidence that this was all (never
    longer than `quiet`), `longest` with evidence that something is missing.
    """

    quiet: timedelta
    released_quiet: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Complete:
    """The series counts as complete, and why; the sentence names no UID and no patient."""

    because: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again at `until`; `why` as in `Complete`."""

    until: datetime
    why: str


Verdict: TypeAlias = Complete | Wait


def verdict(
    series: Series, now: datetime, patience: Patience, heard_since: datetime | None = None
) -> Verdict:
    """Return whether `series` is complete at `now`, and on which evidence.

    Silence begins at `heard_since` at the earliest. A clock that was set back makes us wait
    longer, never shorter.
    """
    count = _announced(series)
    is_all_announced = count is not None and len(series.instances) == count
    is_short = series.is_released or is_all_announced
    quiet = min(patience.quiet, patience.released_quiet) if is_short else patience.quiet
    found = stacks(series.instances)
    missing = _missing(series, count, found)
    last = series.last_received
    if heard_since is not None and last < heard_since <= now:
        last = heard_since
    silence = now - last
    if missing and silence >= quiet:
        quiet = max(quiet, patience.longest)
    if silence < quiet:
        why = " and ".join(missing) or f"more may follow; {_many(series, 'instance')} so far"
        return Wait(last + quiet, why)
    signs = [f"nothing has arrived for {silence.total_seconds():.0f} seconds"]
    if series.is_released:
        signs.append("every association ended in good order")
    if missing:
        return Complete(f"gave up waiting although {' and '.join(missing)}: {'; '.join(signs)}")
    if is_all_announced:
        signs.append("as many instances are here as the header announces")
    return Complete("; ".join([*signs, _shape(series, found)]))


def _missing(series: Series, announced: int | None, found: Sequence[Stack]) -> list[str]:
    """Return one sentence for each sign that something has not arrived."""
    signs = []
    slices = sum(stack.missing or 0 for stack in found)
    if slices:
        verb = "slice is" if slices == 1 else "slices are"
        signs.append(f"{slices} {verb} missing between evenly spaced ones")
    if announced is not None and len(series.instances) < announced:
        signs.append(f"the header announces {announced} instances and {len(series.instances)} came")
    return signs


def _announced(series: Series) -> int | None:
    """Return how many instances the header says there are.

    ImagesInAcquisition, PS3.3 C.7.6.1, counts an acquisition, not a series. It says something
    about the series only if that is one acquisition of single frames, and nothing if more
    instances came than it knows of.
    """
    related = _whole(series.attributes.get("NumberOfSeriesRelatedInstances"))
    if related is not None:
        return related
    images = _whole(series.attributes.get("ImagesInAcquisition"))
    is_one = bool(series.attributes.get("AcquisitionNumber"))
    is_single_frame = all(
        one.attributes.get("NumberOfFrames", "1") == "1" for one in series.instances
    )
    if images is None or not is_one or not is_single_frame or len(series.instances) > images:
        return None
    return images


def _shape(series: Series, found: Sequence[Stack]) -> str:
    if len(found) == 1 and found[0].is_even:
        return f"{_many(series, 'instance')}, evenly spaced and without a gap"
    if any(stack.is_even is False for stack in found):
        return f"{_many(series, 'instance')}, unevenly spaced, so that a gap would not show"
    return _many(series, "instance")


def _many(series: Series, what: str) -> str:
    number = len(series.instances)
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.strip().isdecimal() and int(text) > 0 else None
