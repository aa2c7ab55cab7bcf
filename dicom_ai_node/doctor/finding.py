"""What a check has found, and what to do about it. Nothing here names a patient."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dicom_ai_node.domain.errors import NodeError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and somebody should look
    FAULT = "fault"  # the node does not start, loses something, or cannot deliver


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, how it is, and how to mend it where it is not well."""

    check: str
    level: Level
    said: str
    mend: str = ""


def ok(check: str, said: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(check=check, level=Level.OK, said=said)


def warning(check: str, said: str, mend: str) -> Finding:
    """Return that somebody should look."""
    return Finding(check=check, level=Level.WARNING, said=said, mend=mend)


def fault(check: str, said: str, mend: str) -> Finding:
    """Return that something is broken."""
    return Finding(check=check, level=Level.FAULT, said=said, mend=mend)


@dataclass(frozen=True, slots=True)
class Check:
    """One question: what it is called, and what answers it."""

    name: str
    ask: Callable[[], Iterable[Finding]]


def examined(checks: Sequence[Check]) -> Iterator[Finding]:
    """Ask all questions; one that cannot be answered is a finding and holds up no other."""
    for check in checks:
        try:
            yield from check.ask()
        except NodeError as trouble:
            yield fault(check.name, str(trouble), f"to act: {trouble.who}")
        except Exception as bug:  # noqa: BLE001 - what is broken here must not hide the rest
            yield fault(
                check.name,
                f"could not be looked at ({type(bug).__name__})",
                "tell the makers of the node, with the version",
            )


def status(findings: Iterable[Finding]) -> int:
    """Return the exit status: 0 all is well, 1 there is a warning, 2 there is a fault."""
    levels = {one.level for one in findings}
    return 2 if Level.FAULT in levels else int(Level.WARNING in levels)
