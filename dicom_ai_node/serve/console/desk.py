"""What stands on the operator's desk: the ports, and what else the pages are made of."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from dicom_ai_node.domain.archive import Archive
from dicom_ai_node.domain.audit import Trail
from dicom_ai_node.domain.destination import Destination
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.overview import Overview
from dicom_ai_node.domain.ports import Blobs, Ledger
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.similar import Similar
from dicom_ai_node.domain.study import Quarantined, Received, Series
from dicom_ai_node.domain.uids import Sha256, StudyInstanceUID

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the node says about itself."""

    version: str
    ae_title: str
    host: str
    port: int
    folder: Path
    database: str
    devices: tuple[str, ...]
    keep_days: float
    min_free_bytes: int
    content_qualification: str
    has_repository: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSays:
    """What one route says to one series: `answer` is one of `ANSWERS`, then its reasons."""

    route: str
    answer: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One series, what a route may ask about it, and what every route says."""

    series_instance_uid: str
    facts: Mapping[str, str]
    says: tuple[RouteSays, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShown:
    """One model folder: its facts, or why it cannot be used."""

    name: str
    folder: Path
    is_shipped: bool
    facts: ModelFacts | None
    mistake: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Where what looks alike is asked, and which model has looked."""

    index: Similar
    model: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Everything that the pages read and the few things that they set going.

    Attributes
    ----------
    explain
        Returns what every route says to these series, as if all had arrived in full.
    explain_file
        Returns the same for the one instance in a Part 10 file; raises `Refused` if it is none.
    ask_again
        Lets a destination be asked again now about what it does not show to keep; returns about
        how many objects that is.
    take_in
        Takes what was put aside in again, as if it came now; raises `NodeError` if that fails.
    has_viewer
        Returns whether the viewer is installed: it may be while the node runs.
    trail
        The audit trail.
    alike
        `None` where nobody looks for what looks alike.
    """

    about: About
    ledger: Ledger
    overview: Overview
    archive: Archive
    blobs: Blobs
    routes: Sequence[Route]
    destinations: Mapping[str, Destination]
    models: Callable[[], Sequence[ModelShown]]
    explain: Callable[[StudyInstanceUID], Sequence[Explained]]
    explain_file: Callable[[Path], Sequence[Explained]]
    ask_again: Callable[[str], int]
    take_in: Callable[[Quarantined], Received]
    alike: Alike | None
    trail: Trail
    has_viewer: Callable[[], bool]
    now: Callable[[], datetime]


Explain = Callable[[Sequence[Series]], Sequence[Explained]]


class Remembered(Generic[T]):
    """The answer to a question that is asked often, not older than some seconds.

    However many people look, the question is asked once at a time.
    """

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._answer: T | None = None

    def __call__(self) -> T:
        """Return the answer; what asking raises is raised, and asked again next time."""
        with self._lock:
            if self._answer is None or time.monotonic() - self._asked_at > self._seconds:
                self._answer = self._ask()
                self._asked_at = time.monotonic()
            return self._answer

    def forget(self) -> None:
        """Ask again next time: somebody has just changed something."""
        with self._lock:
            self._asked_at = float("-inf")
