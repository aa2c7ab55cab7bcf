"""Whether a hole is known in exactly these versions; pip-audit asks, we judge."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploy.supply.closure import Part
from deploy.supply.policy import Waived

SERVICES: Sequence[Sequence[str]] = (("-s", "osv"), ("-s", "pypi"))
"""Asked in turn, until one answers."""
SECONDS = 5
"""For one answer: where nobody can be reached, `make check` does not wait for long."""
LONGEST_SECONDS = 300
LONGEST_SHOWN = 120


class NotChecked(Exception):
    """No service could be asked; nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a service knows: holes, and the packages that it has never heard of."""

    holes: Sequence[Mapping[str, Any]]
    unknown: Sequence[str]


def known_holes(parts: Iterable[Part], services: Sequence[Sequence[str]] = SERVICES) -> Answer:
    """Return what the first service that can be asked knows of exactly these versions.

    A hole says `package`, `version`, `id`, `aliases` and `fixed_in`.

    Raises
    ------
    NotChecked
        If no service answers, or none knows any of them.
    """
    # A build for one kind of device is the same release.
    pins = sorted(f"{part.name}=={part.version.partition('+')[0]}" for part in parts)
    why = []
    for service in services:
        try:
            answer = _asked(pins, service)
        except NotChecked as no:
            why.append(f"{service[1]}: {no}")
            continue
        if len(answer.unknown) < len(pins):
            return answer
        why.append(f"{service[1]}: it knows nothing of what is installed")
    raise NotChecked("; ".join(why))


def objections(
    holes: Iterable[Mapping[str, Any]], waived: Sequence[Waived], today: date
) -> Iterator[str]:
    """Yield a sentence for every hole that nobody has let pass, or not for so long."""
    for hole in holes:
        names = {hole["id"], *hole["aliases"]}
        found = [one for one in waived if one.id in names and one.package == hole["package"]]
        if any(today <= one.until for one in found):
            continue
        over = f"; let pass until {max(one.until for one in found)}" if found else ""
        fixed = ", ".join(hole["fixed_in"]) or "no version yet"
        yield f"{hole['package']} {hole['version']}: {hole['id']}, mended in {fixed}{over}"


def _asked(pins: Sequence[str], service: Sequence[str]) -> Answer:
    with TemporaryDirectory() as folder:
        listed = Path(folder) / "pins.txt"
        listed.write_text("\n".join(pins), encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip_audit", "-r", str(listed), "--no-deps", "--disable-pip",
                 "-f", "json", "--progress-spinner", "off", "--timeout", str(SECONDS), *service],
                capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise NotChecked(f"no answer for {LONGEST_SECONDS} seconds") from late
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or ["pip-audit says nothing"])[-1]
        raise NotChecked(last[:LONGEST_SHOWN]) from error
    return Answer(
        holes=[_hole(one, hole) for one in found for hole in one.get("vulns", ())],
        unknown=[one["name"] for one in found if "skip_reason" in one],
    )


def _hole(of: Mapping[str, Any], hole: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "package": of["name"],
        "version": of["version"],
        "id": hole["id"],
        "aliases": hole["aliases"],
        "fixed_in": hole["fix_versions"],
    }
