"""`python -m bench`, or `make bench`: this node beside its peers, in one table.

    make bench                                     # everything: a long time
    make bench ARGS="receive --rounds 5 --quick"   # one subject, little work
    make bench ARGS="receive --against orthanc"    # some of the peers
    make bench ARGS="--compare dist/bench/DATE.json"

See docs/how-to/measure.md for what the rows mean.
"""

import argparse
import importlib
import os
import pkgutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import bench.subjects
from bench import machine, results, table
from bench.results import Report
from bench.session import Session, Size

SUBJECTS = sorted(module.name for module in pkgutil.iter_modules(bench.subjects.__path__))
ROUNDS: Mapping[Size, int] = {Size.TINY: 1, Size.QUICK: 3, Size.FULL: 3}


def main(given: Sequence[str]) -> int:
    """Measure, print, write; return 1 if this node has failed at something."""
    asked = _asked(given)
    os.environ.pop("TCP_NODELAY", None)  # of this shell; whoever is tuned gets it
    if asked.folder is not None:
        asked.folder.mkdir(parents=True, exist_ok=True)
    earlier = results.read(asked.compare) if asked.compare else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        path = asked.json or Path(f"dist/bench/{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json")
        for report in run(asked.subjects or SUBJECTS, asked, Path(folder)):
            report.write(path)  # who stops it in the middle keeps what there is
    print("\n".join(table.lines(report, earlier)))
    print(f"\nwritten to {path}")
    _warn()
    return int(report.has_failed)


def run(subjects: Sequence[str], asked: argparse.Namespace, folder: Path) -> Iterator[Report]:
    """Run subjects one after the other; yield what there is after each."""
    _warn()
    rounds = asked.rounds or ROUNDS[asked.size]
    about = {**machine.described(folder), "size": asked.size.value, "rounds": str(rounds)}
    rows, notes, has_failed = [], [], False
    took: dict[str, float] = {}
    for name in subjects:
        at = folder / name
        at.mkdir()
        session = Session(
            subject=name, folder=at, size=asked.size, rounds=rounds, against=asked.against,
            tell=lambda what: print(what, file=sys.stderr, flush=True),
        )  # fmt: skip
        began = time.monotonic()
        importlib.import_module(f"bench.subjects.{name}").run(session)
        took[name] = time.monotonic() - began
        took_s = ", ".join(f"{each} {seconds:.0f} s" for each, seconds in took.items())
        about["took"] = f"{sum(took.values()) / 60:.1f} minutes: {took_s}"
        rows += session.rows
        notes += session.notes
        has_failed |= session.has_failed
        yield Report(dict(about), list(rows), list(notes), has_failed)


def _asked(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.FULL)
    parser.add_argument("--quick", dest="size", action="store_const", const=Size.QUICK)
    parser.add_argument("--rounds", type=int, help="that count; one more goes before them")
    parser.add_argument("--against", nargs="+", default=(), metavar="WORD", help="only such peers")
    parser.add_argument("--folder", type=Path, help="on the disk that is to be measured")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="an earlier run")
    parser.add_argument("--json", type=Path, help="where to write; default dist/bench/DATE.json")
    asked = parser.parse_args(given)
    if unknown := set(asked.subjects) - set(SUBJECTS):
        parser.error(f"there is no subject {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    return asked


def _warn() -> None:
    if said := machine.warning():
        print(said, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
