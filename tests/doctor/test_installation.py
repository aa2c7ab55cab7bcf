"""An installation that is broken in each of many ways: the doctor names it and says what to do."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy
from pathlib import Path
from textwrap import dedent

import pytest
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicom_ai_node import compose
from dicom_ai_node.cli.reach import check as check_all
from dicom_ai_node.doctor.finding import Finding, Level, examined, status
from tests.certificates import Pair, certificate
from tests.model_folders import threshold_model
from tests.peers.archive import archive
from tests.peers.tools import free_port
from tests.store.made import NOON, QUIET, arrival

PLAIN = "1.2.840.10008.1.2.1"


class Installation:
    """A node that has run, and is healthy until somebody breaks it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "ae_config.yaml"
        self.store, self.port, self.pacs = folder / "node", free_port(), free_port()
        self.pair = certificate(folder / "tls")
        self.pair.key.chmod(0o600)
        self.token = folder / "token"
        self.token.write_text("a long token of the console")
        self.token.chmod(0o600)
        threshold_model(folder / "models")
        self.config.write_text(
            dedent(f"""\
            receive:
              ae_title: AI_NODE
              host: 127.0.0.1
              port: {self.port}
              accept_from: [CT1]
            store: {{folder: ./node, min_free_gb: 0}}
            infer: {{models: [./models], max_pixels_gb: 0.1}}
            routes:
              - name: route
                when: {{Modality: CT}}
                run: segment
                model: {next((folder / "models").iterdir()).name}
                write: [segmentation]
                to: [pacs, results]
            destinations:
              pacs: {{ae_title: PACS, host: 127.0.0.1, port: {self.pacs}}}
              results: {{folder: ./results}}
            serve:
              port: {free_port()}
              token: {{file: ./token}}
              tls: {{certificate: ./tls/{self.pair.certificate.name}, key: ./tls/{self.pair.key.name}}}
            """)
        )
        settings = compose.settings(self.config)
        compose.prepare(settings)
        compose.node_serial(settings)
        self._receive(settings)

    def _receive(self, settings: object) -> None:
        blobs, ledger = compose.blobs(settings), compose.ledger(settings)  # type: ignore[arg-type]
        for number in range(3):
            spooled = blobs.spool()
            spooled.write_bytes(b"an instance %d" % number)
            one = arrival(number)
            kept = type(one.instance)(
                **{name: getattr(one.instance, name) for name in one.instance.__slots__}
                | {"sha256": blobs.keep(spooled)}
            )
            ledger.record([type(one)(instance=kept, calling_ae_title=one.calling_ae_title,
                                     called_ae_title=one.called_ae_title,
                                     address=one.address)], NOON, QUIET)  # fmt: skip
        ledger.database.close()

    def copied(self, folder: Path) -> "Installation":
        """Return the same installation in another folder; one is quicker than forty."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        other = copy(self)
        other.folder, other.config, other.store = folder, folder / "ae_config.yaml", folder / "node"
        tls = folder / "tls"
        other.pair = Pair(tls / self.pair.certificate.name, tls / self.pair.key.name)
        other.token = folder / "token"
        return other

    @property
    def blob(self) -> Path:
        """Return one of the objects."""
        return min((self.store / "blobs").glob("*/*"))

    def sql(self, statement: str) -> None:
        """Run a statement in the ledger."""
        with closing(sqlite3.connect(self.store / "node.db")) as connection:
            connection.execute(statement)
            connection.commit()

    def write(self, before: str, after: str) -> None:
        """Change the configuration."""
        said = self.config.read_text()
        assert before in said
        self.config.write_text(said.replace(before, after))

    def findings(self, *only: str, thorough: bool = False) -> list[Finding]:
        """Return what the doctor says, but for torch, which takes seconds to be asked."""
        checks = compose.examination(self.config, check_all, thorough=thorough)
        asked = [one for one in checks if one.name != "torch" and (not only or one.name in only)]
        return list(examined(asked))

    @contextmanager
    def healthy(self) -> Iterator[None]:
        """Let its PACS answer."""
        with archive([(Verification, [PLAIN, "1.2.840.10008.1.2"])], port=self.pacs):
            yield


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Return a healthy installation that nobody breaks."""
    return Installation(tmp_path_factory.mktemp("healthy"))


@pytest.fixture
def installation(healthy: Installation, tmp_path: Path) -> Installation:
    """Return a healthy installation."""
    return healthy.copied(tmp_path)


def bad(findings: list[Finding]) -> list[Finding]:
    """Return what is not well; that this machine is busy or lacks memory is not our matter."""
    machine = {"memory", "clock", "systemd", "node", "constraints", "packages", "disk"}
    return [one for one in findings if one.level is not Level.OK and one.check not in machine]


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path: path.stat() for path in folder.rglob("*")}
    return {
        str(path): (one.st_mtime_ns if path.is_file() else 0, one.st_size if path.is_file() else 0)
        for path, one in found.items()
    }


def test_a_healthy_installation_is_left_as_it_was(installation: Installation) -> None:
    """Nothing is found, and nothing has been made, changed or left."""
    before = _state(installation.folder)
    with installation.healthy():
        found = installation.findings(thorough=True)
    assert bad(found) == []
    assert _state(installation.folder) == before
    asked = {one.check for one in found}
    assert asked >= {
        "python", "packages", "constraints", "clock", "time zone", "systemd", "node",
        "configuration", "open files", "memory", "store", "file system", "disk", "room", "ledger",
        "objects", "ports", "certificates", "secrets", "destinations", "models",
    }  # fmt: skip
    assert "3 of 3 were read" in next(one.said for one in found if one.check == "objects")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _first_page(it: Installation) -> None:
    path = it.store / "node.db"
    path.write_bytes(bytes(4096) + path.read_bytes()[4096:])


def _some_page(it: Installation) -> None:
    path = it.store / "node.db"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * 4096 + content[12288:])


def _elsewhere(it: Installation) -> None:
    shutil.rmtree(it.store / "spool")
    (it.store / "spool").symlink_to("/dev/shm")  # noqa: S108 - another file system, nothing is made


def _no_folder(it: Installation) -> None:
    shutil.rmtree(it.store)
    it.store.touch()


def _another_key(it: Installation) -> None:
    other = certificate(it.folder / "other")
    shutil.copy(other.key, it.pair.key)


def _expired(it: Installation, days: float) -> None:
    other = certificate(it.folder / "other", days=days)
    shutil.copy(other.key, it.pair.key)
    shutil.copy(other.certificate, it.pair.certificate)


def _results_are_a_file(it: Installation) -> None:
    shutil.rmtree(it.folder / "results")
    (it.folder / "results").touch()


def _promised(it: Installation) -> None:
    it.sql("INSERT INTO promised_studies VALUES ('1.2', '2099-01-01 00:00:00.000000')")
    it.write("min_free_gb: 0", "min_free_gb: 1000000")


def _unproven(it: Installation) -> None:
    it.write("accept_from: [CT1]", "accept_from: [CT1, PACS]")
    it.write(f"port: {it.pacs}}}", f"port: {it.pacs}, proof: commitment}}")
    it.sql(
        "INSERT INTO deliveries (sop_instance_uid, destination, job, state, attempts, fence, note,"
        " unproven_since) VALUES ('1.2', 'pacs', 'x', 'done', 1, 1, 'it takes none',"
        " '2026-03-01 12:00:00.000000')"
    )


OTHERS = {"clock": ["ledger"], "secrets": ["certificates"]}
"""Checks whose findings have the name of another one."""


@pytest.mark.parametrize(
    ("harm", "check", "level", "said", "mend"),
    [
        pytest.param(lambda it: it.write("min_free_gb", "min_free"), "configuration", "fault",
                     "ae_config.yaml:6: store.min_free", "mend this line", id="a word that is none"),
        pytest.param(lambda it: it.config.unlink(), "configuration", "fault",
                     "cannot be read", "mend", id="no configuration"),
        pytest.param(lambda it: it.write("run: segment", "run: detect"), "configuration", "fault",
                     "is of kind segment", "mend", id="a model of another kind"),
        pytest.param(lambda it: it.store.chmod(0o755), "store", "fault",
                     "mode 0755", "chmod 700", id="others may enter the store"),
        pytest.param(lambda it: (it.store / "node_serial").chmod(0o644), "store", "warning",
                     "others may read it", "chmod 600", id="others may read a file of the store"),
        pytest.param(_no_folder, "store", "fault", "is no folder", "name another", id="no folder"),
        pytest.param(lambda it: shutil.rmtree(it.store), "store", "warning",
                     "not there yet", "first start", id="a node that was never started"),
        pytest.param(lambda it: (it.store / ".restoring").touch(), "restore", "fault",
                     "not to its end", "run restore again", id="half a restoration"),
        pytest.param(_elsewhere, "file system", "fault",
                     "several file systems", "keep all of", id="the spool on another disk"),
        pytest.param(lambda it: it.write("min_free_gb: 0", "min_free_gb: 1000000"), "room", "fault",
                     "nothing is taken", "make room", id="no room"),
        pytest.param(lambda it: it.sql("UPDATE alembic_version SET version_num = '9999'"), "ledger",
                     "fault", "schema 9999", "install the version", id="a newer ledger"),
        pytest.param(lambda it: it.sql("UPDATE alembic_version SET version_num = '0009'"), "ledger",
                     "warning", "the next start makes", "make a backup", id="an older ledger"),
        pytest.param(_first_page, "ledger", "fault",
                     "not a usable database", "restore the last backup", id="no ledger any more"),
        pytest.param(_some_page, "ledger", "fault", "damaged", "restore", id="a page of the ledger"),
        pytest.param(lambda it: it.sql("UPDATE events SET at = '2099-01-01 00:00:00'"), "clock",
                     "warning", "still to come", "set the clock", id="a clock that went back"),
        pytest.param(lambda it: it.blob.unlink(), "objects", "fault",
                     "unreadable", "send these studies again", id="an object that is gone"),
        pytest.param(lambda it: _flip(it.blob), "objects", "fault",
                     "another digest", "send these studies again", id="a bit of an object"),
        pytest.param(lambda it: it.write("127.0.0.1\n  port", "192.0.2.1\n  port"), "ports", "fault",
                     "cannot listen on 192.0.2.1", "an address of this machine", id="no address"),
        pytest.param(_another_key, "certificates", "fault",
                     "is not the key of", "put a certificate", id="the key of another certificate"),
        pytest.param(lambda it: _expired(it, -1), "certificates", "fault",
                     "has expired", "put a new one", id="a certificate of yesterday"),
        pytest.param(lambda it: _expired(it, 9), "certificates", "warning",
                     "expires on", "put a new one", id="a certificate of this week"),
        pytest.param(lambda it: it.pair.certificate.unlink(), "certificates", "fault",
                     "cannot read", "in PEM", id="no certificate"),
        pytest.param(lambda it: it.pair.key.chmod(0o640), "secrets", "fault",
                     "others may read", "chmod 600", id="others may read the key"),
        pytest.param(lambda it: it.token.unlink(), "secrets", "fault",
                     "cannot be read", "put it there", id="no secret"),
        pytest.param(lambda it: it.write("results: {folder: ./results}",
                                         "results: {url: 'https://pacs.example', token: {file: ./t}}"),
                     "secrets", "fault", "destinations.results.token", "put it there",
                     id="no secret of a destination"),
        pytest.param(lambda it: it.token.chmod(0o604), "secrets", "fault",
                     "mode 0604", "chmod 600", id="others may read a secret"),
        pytest.param(lambda it: it.token.write_text(""), "secrets", "fault",
                     "is empty", "write the secret", id="an empty secret"),
        pytest.param(lambda it: it.write("file: ./token", "environment: DAN_NOWHERE"), "secrets", "warning",
                     "not in this environment", "EnvironmentFile", id="a secret of elsewhere"),
        pytest.param(lambda it: it.write("file: ./token", "credential: pacs"), "secrets", "warning",
                     "given to the service only", "LoadCredential=pacs:", id="a credential"),
        pytest.param(lambda it: it.write(f"port: {it.pacs}", f"port: {free_port()}"), "destinations",
                     "fault", "does not answer", "firewall", id="a PACS that is not there"),
        pytest.param(_promised, "room", "warning", "1 studies stay although room is short",
                     "only a person may delete", id="room that was promised away"),
        pytest.param(_unproven, "proofs", "warning",
                     "destinations.pacs does not show that it keeps what it takes: 1 objects, the"
                     " first there since 2026-03-01 12:00 UTC. it takes none",
                     "`proof: query`", id="a PACS that shows nothing"),
        pytest.param(_results_are_a_file, "destinations", "fault",
                     "no folder that", "", id="a destination that is no folder"),
        pytest.param(lambda it: _flip(next(it.folder.glob("models/*/models/*"))), "models", "fault",
                     "has changed", "install", id="a model that somebody has touched"),
    ],
)  # fmt: skip
def test_what_is_broken_is_named(
    installation: Installation,
    harm: Callable[[Installation], object],
    check: str,
    level: str,
    said: str,
    mend: str,
) -> None:
    """And how to mend it, in a sentence."""
    harm(installation)
    found = installation.findings(check, *OTHERS.get(check, ()))
    named = [one for one in found if one.check == check and one.level == level]
    assert [one for one in named if said in one.said and mend in one.mend], bad(found)
    assert status(found) == 2 if level == "fault" else 1


@contextmanager
def _process(
    *words: str, port: int = 0, umask: int = 0o077, opens: str = "/dev/null"
) -> Iterator[int]:
    """Run a process that is called like this, listens if it shall, and has a file open."""
    # As in the node, who watches holds the port, and a role the port and the ledger.
    program = (
        "import os, socket, time\n"
        f"s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen()\n"
        f"f = open({opens!r}) if os.fork() == 0 else None\n"
        "os.write(1, b'ready\\n'); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, *words]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, umask=umask, start_new_session=True)
    try:
        assert started.stdout is not None
        assert [started.stdout.readline() for _ in range(2)] == [b"ready\n"] * 2
        yield started.pid
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


def test_a_port_that_somebody_else_holds(installation: Installation) -> None:
    """It is said who; our own node is no fault."""
    with installation.healthy(), _process("another", port=installation.port) as pid:
        found = installation.findings()
    (one,) = [each for each in found if each.check == "ports" and each.level is Level.FAULT]
    assert f"pid {pid}" in one.said
    assert "stop it" in one.mend
    words = ("dicom-ai-node", "serve")
    with installation.healthy(), _process(*words, port=installation.port):
        found = installation.findings("ports")
    assert any("stop it" in one.mend for one in found), "a node, but of another store"
    ledger = str(installation.store / "node.db")
    with installation.healthy(), _process(*words, port=installation.port, opens=ledger) as pid:
        found = installation.findings()
    assert any("our node" in one.said and f"pid {pid}" in one.said for one in found)
    assert bad(found) == []


def test_a_node_whose_files_others_may_read(installation: Installation) -> None:
    """The mask is that of the process that runs, not of who asks."""
    ledger = str(installation.store / "node.db")
    with _process("dicom-ai-node", "serve", umask=0o022, opens=ledger):
        found = installation.findings("node")
    assert any("umask 0022" in one.said and "UMask=0077" in one.mend for one in found)


def test_a_pacs_that_does_not_know_us(installation: Installation) -> None:
    """It answers, and says no: that is for its administrator."""
    with archive([(Verification, [PLAIN])], port=installation.pacs, require_calling=["OTHER"]):
        found = installation.findings()
    (one,) = bad(found)
    assert "its administrator" in one.mend


def test_it_looks_while_the_node_writes(installation: Installation) -> None:
    """A ledger in use is read beside those who write, and a locked one is a fault in a sentence."""
    with (
        installation.healthy(),
        closing(sqlite3.connect(installation.store / "node.db")) as writer,
    ):
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE series SET revision = revision")
        assert bad(installation.findings()) == []


def test_a_check_that_breaks_holds_up_no_other(installation: Installation) -> None:
    """A fault in the doctor itself is a finding, too."""
    installation.store.joinpath("node.db").unlink()
    installation.store.joinpath("node.db").mkdir()
    with installation.healthy():
        found = installation.findings()
    assert {"models", "destinations"} <= {one.check for one in found}
    assert any(one.check == "ledger" and one.level is Level.FAULT for one in found)
