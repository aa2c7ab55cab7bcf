"""`python -m tests.fuzz [TARGET ...] --minutes N`, or `make fuzz`: guided by what is reached.

Each target runs in a process of its own, for libFuzzer ends the one that it runs in. What it has
reached is printed as a table; the corpus is kept, cut down to what reaches all of it.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.corpus import keep, kept
from tests.fuzz.targets import TARGETS

NAMES = tuple(TARGETS)
ROOT = Path(__file__).parents[2]
LIMITS = ("-rss_limit_mb=3000", "-timeout=25", "-max_len=65536", "-print_final_stats=1")


def main() -> int:
    """Fuzz; 1 if anything was found."""
    asked = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    asked.add_argument("targets", nargs="*", default=NAMES, help=f"some of {', '.join(NAMES)}")
    asked.add_argument("--minutes", type=float, default=10.0, help="for each target")
    asked.add_argument("--seed", type=int, default=20261129)
    asked.add_argument("--found", type=Path, default=ROOT / "fuzz-found", help="where findings go")
    said = asked.parse_args()
    if unknown := set(said.targets) - set(NAMES):
        asked.error(f"there is no target {', '.join(sorted(unknown))}")
    sys.stdout.write(
        "| target | executions | lines reached | corpus | found |\n| --- | --- | --- | --- | --- |\n"
    )
    found = 0
    for name in said.targets:
        found += _one(name, said.minutes, said.seed, said.found)
        sys.stdout.flush()
    return int(found > 0)


def _one(name: str, minutes: float, seed: int, findings: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        begin, grown, small = (Path(folder) / each for each in ("begin", "grown", "small"))
        for each in (begin, grown, small):
            each.mkdir()
        for number, data in enumerate((*TARGETS[name].seeds(), *kept(name))):
            (begin / f"{number}").write_bytes(data)
        findings.mkdir(exist_ok=True)
        fuzzed = _run(
            name, f"-max_total_time={round(60 * minutes)}", f"-seed={seed}",
            f"-artifact_prefix={findings}/{name}-", *LIMITS, str(grown), str(begin),
        )  # fmt: skip
        if fuzzed.returncode:
            sys.stderr.write(fuzzed.stderr[-4000:])
        again = Path(folder) / "again"
        again.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz.guided {name} "$@"\n')
        again.chmod(0o700)
        os.environ["FUZZ_AGAIN"] = str(again)
        _run(name, "-merge=1", *LIMITS, str(small), str(grown), str(begin))
        count = (
            keep(name, (each.read_bytes() for each in small.iterdir()))
            if any(small.iterdir())
            else 0
        )
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", fuzzed.stderr)
    covered = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fuzz.reached", name], cwd=ROOT, capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    told = executions[1] if executions else "?"
    verdict = "nothing" if not fuzzed.returncode else f"see {findings.name}"
    sys.stdout.write(f"| {name} | {told} | {covered} | {count} | {verdict} |\n")
    return fuzzed.returncode


def _run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", name, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, errors="replace",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
