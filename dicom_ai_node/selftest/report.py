"""The report of a self-test, for the file of the acceptance test."""

import os
import platform
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

HEAD = ("", "what was done", "expected", "seen", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One row, and what came of it."""

    what: str
    expected: str
    seen: str
    is_ok: bool
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """Return what the table says."""
        verdict = "ok" if self.is_ok else "NOT OK"
        return verdict, self.what, self.expected, self.seen, f"{self.seconds:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything about one self-test.

    Attributes
    ----------
    disk
        Where the private node kept its objects, and on which kind of file system.
    """

    version: str
    disk: str
    at: datetime
    played: Sequence[Played]

    @property
    def is_ok(self) -> bool:
        """Return whether every row was as expected."""
        return all(one.is_ok for one in self.played)

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield what was tested, where and when."""
        yield "version", self.version
        yield "machine", f"{socket.gethostname()}, {platform.platform()}"
        yield "processors", f"{os.cpu_count()} ({platform.machine()})"
        yield "Python", platform.python_version()
        yield "disk", self.disk
        yield "date", f"{self.at:%Y-%m-%d %H:%M} UTC"
        good = sum(one.is_ok for one in self.played)
        yield "outcome", f"{good} of {len(self.played)} as expected"

    def as_markdown(self) -> str:
        """Return it as Markdown."""
        lines = ["# Self-test of dicom-ai-node", ""]
        lines += [f"- {name}: {said}" for name, said in self.facts()]
        table = [HEAD, tuple("---" for _ in HEAD), *(one.cells() for one in self.played)]
        lines += ["", *(f"| {' | '.join(_plain(cell) for cell in row)} |" for row in table)]
        return "\n".join(lines) + "\n"

    def as_html(self) -> str:
        """Return it as a page that needs nothing else."""
        facts = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(said)}</td></tr>\n"
            for name, said in self.facts()
        )
        head = "".join(f"<th>{escape(cell)}</th>" for cell in HEAD)
        body = "".join(
            f'<tr class="{"ok" if one.is_ok else "bad"}">'
            + "".join(f"<td>{escape(cell)}</td>" for cell in one.cells())
            + "</tr>\n"
            for one in self.played
        )
        return _PAGE.format(facts=facts, head=head, body=body)


def _plain(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "/")


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Self-test of dicom-ai-node</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 2em; max-width: 75em }}
table {{ border-collapse: collapse; margin-bottom: 2em }}
th, td {{ text-align: left; vertical-align: top; padding: .3em .8em }}
th, td {{ border-bottom: 1px solid #ccc }}
.ok td:first-child {{ color: #060 }}
.bad td:first-child {{ color: #b00; font-weight: bold }}
</style></head><body>
<h1>Self-test of dicom-ai-node</h1>
<table>
{facts}</table>
<table>
<tr>{head}</tr>
{body}</table>
</body></html>
"""
