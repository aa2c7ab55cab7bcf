"""`backup` and `restore`, as the people use them who have to have a node again tomorrow."""

import json
import os
import socket
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import update

from dicom_ai_node import compose
from dicom_ai_node.cli.audit import operator
from dicom_ai_node.compose.carrying import Leaving
from dicom_ai_node.domain.audit import Actor, AuditFilter, Kind, Message, Outcome
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store import backup_manifest
from dicom_ai_node.store.backup_manifest import Part, read, written
from dicom_ai_node.store.tables import results
from tests.cli.conftest import Past, Run
from tests.store.made import LEASE, NOON
from tests.watch.audit_schema import objections


@pytest.fixture(params=["backup", "backup.tar"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, past: Past, run: Run) -> Path:
    """Return a backup of a node with a past: in a folder, and in a file."""
    held(past)
    path = tmp_path / "safe" / request.param
    assert run("backup", path, "--config", past.config).status == 0
    return path


def held(past: Past) -> Job:
    """Leave a blob for each instance, and one job in the hands of a worker."""
    compose.node_serial(compose.settings(past.config))
    blobs = compose.blobs(compose.settings(past.config))
    for image in sorted((past.config.parent / "images").iterdir()):
        spooled = blobs.spool()
        spooled.write_bytes(image.read_bytes())
        blobs.keep(spooled)
    made = blobs.spool()
    made.write_bytes(b"an object that a job has made")
    with past.ledger.database.writing() as connection:
        connection.execute(update(results).values(sha256=blobs.keep(made)))
    (job,) = past.ledger.claim(Stage.READY, NOON, LEASE)
    return job


def elsewhere(tmp_path: Path) -> Path:
    """Return where another machine has its configuration; there is none yet."""
    return tmp_path / "elsewhere" / "ae_config.yaml"


def made_of(past: Past) -> dict[str, str]:
    """Return what became of each job, by the name of its route."""
    return {job.route: str(job.stage) for job in past.ledger.jobs()}


def test_a_node_is_made_again(kept: Path, past: Past, tmp_path: Path, run: Run) -> None:
    """Ledger, objects, configuration and the node's own keys; what was at work begins again."""
    config = elsewhere(tmp_path)
    ended = run("restore", kept, "--config", config, "--json")
    assert ended.status == 0, ended.err
    assert config.read_bytes() == past.config.read_bytes()
    said, settings = ended.json, compose.settings(config)
    before, after = compose.blobs(compose.settings(past.config)), compose.blobs(settings)
    ledger = compose.ledger(settings)
    assert said["given_back"] == 1
    assert {job.route: str(job.stage) for job in ledger.jobs()} == made_of(past) | {
        "ready": "ready"
    }
    (entry,) = ledger.quarantined()
    after.verify(entry.sha256)
    for job in ledger.jobs():
        for one in ledger.job(job.key).inputs:  # type: ignore[union-attr]
            after.verify(one.sha256)
            assert before.path(one.sha256).read_bytes() == after.path(one.sha256).read_bytes()
    serial = "node_serial"
    assert (settings.store.folder / serial).read_text() == (
        past.config.parent / "node" / serial
    ).read_text()
    assert not list((settings.store.folder / "spool").iterdir())
    assert oct((settings.store.folder / serial).stat().st_mode & 0o777) == "0o600"
    ledger.database.close()


def test_what_is_lost_before_is_told(past: Past, tmp_path: Path, run: Run) -> None:
    """One damaged object does not make a backup of all the others impossible."""
    held(past)
    (entry,) = past.ledger.quarantined()
    compose.blobs(compose.settings(past.config)).path(entry.sha256).write_bytes(b"rotten")
    ended = run("backup", tmp_path / "safe", "--config", past.config)
    assert (ended.status, "doctor --thorough" in ended.err) == (1, True)
    ended = run("restore", tmp_path / "safe", "--config", elsewhere(tmp_path))
    assert (ended.status, "lost before the backup" in ended.out) == (0, True)


def test_the_second_backup_adds_what_is_new(past: Past, tmp_path: Path, run: Run) -> None:
    """Into the same folder; what nobody names any more goes, and nothing is copied twice."""
    held(past)
    safe = tmp_path / "safe"
    assert run("backup", safe, "--config", past.config).status == 0
    before = {path: path.stat() for path in (safe / "parts").rglob("*") if path.is_file()}
    (entry,) = past.ledger.quarantined()
    past.ledger.close_quarantine(entry.number)
    past.ledger.forget(NOON)
    run("backup", safe, "--config", past.config)
    after = {path: path.stat() for path in (safe / "parts").rglob("*") if path.is_file()}
    gone = {path.name for path in before.keys() - after.keys()}
    assert entry.sha256 in gone
    assert len(gone) == 2, "the file in quarantine, and the ledger of the first backup"
    assert all(
        before[path].st_mtime_ns == after[path].st_mtime_ns for path in before if path in after
    )
    assert run("restore", safe, "--verify").status == 0


def part(folder: Path) -> Path:
    """Return the largest part of a backup in a folder."""
    return max((folder / "parts").glob("*/*"), key=lambda path: path.stat().st_size)


def _flip(folder: Path) -> None:
    content = bytearray(part(folder).read_bytes())
    content[len(content) // 2] ^= 1
    part(folder).write_bytes(content)


def _leads_out(folder: Path) -> None:
    """Name /dev/null, an endless file for those that stop at no size, as a part of a backup."""
    path = folder / "manifest.json"
    manifest = read(path.read_bytes())
    files = {**manifest.files, "store/key": Part(sha256=Sha256("/dev/null"), size_bytes=0)}
    path.write_bytes(written(replace(manifest, files=files)))


def _linked(folder: Path) -> None:
    there = part(folder)
    there.symlink_to(there.rename(folder / "elsewhere"))


def _without_files(folder: Path) -> None:
    path = folder / "manifest.json"
    said = {"format": 1, "files": [], "version": "9"}
    path.write_text(json.dumps({"sha256": backup_manifest._seal(said), "manifest": said}))


def _newer(folder: Path) -> None:
    path = folder / "manifest.json"
    manifest = read(path.read_bytes())
    path.write_bytes(written(type(manifest)(**{**_fields(manifest), "schema": "9999"})))


def _fields(manifest: object) -> dict[str, object]:
    return {name: getattr(manifest, name) for name in manifest.__dataclass_fields__}  # type: ignore[attr-defined]


def _touched(folder: Path) -> None:
    path = folder / "manifest.json"
    said = json.loads(path.read_bytes())
    said["manifest"]["version"] = "9"
    path.write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        pytest.param(lambda f: (f / "manifest.json").unlink(), "did not end", id="no manifest"),
        pytest.param(_touched, "another digest", id="a manifest that somebody has touched"),
        pytest.param(lambda f: (f / "manifest.json").write_bytes(b"{"), "cannot be read", id="half a manifest"),
        pytest.param(lambda f: part(f).unlink(), "not there", id="a part that is gone"),
        pytest.param(lambda f: os.truncate(part(f), 9), "cut off", id="a part that is cut off"),
        pytest.param(_flip, "has other bytes", id="one bit"),
        pytest.param(_without_files, "cannot be read", id="a manifest of another shape"),
        pytest.param(_leads_out, "cannot be read", id="a part that leads out of the backup"),
        pytest.param(_linked, "are not there", id="a link in the place of a part"),
        pytest.param(_newer, "newer version", id="of a newer schema"),
    ],
)  # fmt: skip
def test_a_backup_that_is_not_whole_is_refused(
    past: Past, tmp_path: Path, run: Run, harm: Callable[[Path], object], why: str
) -> None:
    """Before anything is written, or at the latest so that no node starts on half of it."""
    held(past)
    safe, config = tmp_path / "safe", elsewhere(tmp_path)
    run("backup", safe, "--config", past.config)
    harm(safe)
    for ended in (
        run("restore", safe, "--verify"),
        run("restore", safe, "--config", config),
    ):
        assert (ended.status, why in ended.err) == (1, True), ended.err
    if (config.parent / "node").exists():
        assert run("serve", config).status == 78


def test_half_a_tar_is_refused(past: Past, tmp_path: Path, run: Run) -> None:
    """The manifest is at its end."""
    held(past)
    safe = tmp_path / "safe.tar"
    run("backup", safe, "--config", past.config)
    with tarfile.open(safe) as tar:
        assert tar.getnames()[-1] == "manifest.json"
    os.truncate(safe, safe.stat().st_size // 2)
    ended = run("restore", safe, "--config", elsewhere(tmp_path))
    assert (ended.status, "did not end" in ended.err) == (1, True)


def test_nothing_is_written_over(kept: Path, past: Past, tmp_path: Path, run: Run) -> None:
    """Neither a node by a backup nor a file by one."""
    ended = run("restore", kept, "--config", past.config)
    assert (ended.status, "is not empty" in ended.err) == (1, True)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter").touch()
    ended = run("backup", tmp_path / "letters", "--config", past.config)
    assert (ended.status, "no backup" in ended.err) == (1, True)
    (work := tmp_path / "workshop" / "parts" / "bolts").mkdir(parents=True)
    (work / "drawing").touch()
    ended = run("backup", tmp_path / "workshop", "--config", past.config)
    assert (ended.status, "no backup" in ended.err) == (1, True)
    (tmp_path / "workshop" / "manifest.json").touch()
    run("backup", tmp_path / "workshop", "--config", past.config)
    assert (work / "drawing").exists(), "parts of somebody else"
    ended = run("backup", past.config.parent / "node" / "here", "--config", past.config)
    assert (ended.status, "in the store itself" in ended.err) == (1, True)


def test_a_restoration_that_was_interrupted_begins_again(
    kept: Path, past: Past, tmp_path: Path, run: Run
) -> None:
    """No node starts meanwhile."""
    config = elsewhere(tmp_path)
    store = config.parent / "node"
    store.mkdir(parents=True)
    config.write_bytes(past.config.read_bytes())
    for name in ("node.db", "node.db-wal"):
        (store / name).write_bytes(b"")
    (store / ".restoring").write_text(str(store / "node.db"))
    ended = run("serve", config)
    assert (ended.status, "restore` again" in ended.err) == (78, True)
    assert run("restore", kept, "--config", config).status == 0
    assert not (store / ".restoring").exists()
    assert run("status", "--config", config).status == 0


def test_a_restoration_that_begins_again_removes_no_other_ledger(
    kept: Path, past: Past, tmp_path: Path, run: Run
) -> None:
    """The configuration has come to name another place since, where a ledger lies."""
    config, ledger = elsewhere(tmp_path), tmp_path / "other.db"
    (config.parent / "node").mkdir(parents=True)
    (config.parent / "node" / ".restoring").write_text(str(config.parent / "node" / "node.db"))
    ledger.write_bytes(b"of another node")
    said = past.config.read_text().replace("store: {", f"store: {{database: 'sqlite:///{ledger}', ")
    config.write_text(said)
    ended = run("restore", kept, "--config", config)
    assert (ended.status, "a ledger already" in ended.err) == (1, True)
    assert ledger.read_bytes() == b"of another node"


def test_half_a_configuration_is_not_put_anywhere(past: Past, tmp_path: Path, run: Run) -> None:
    """The next restoration would take it for the one that the operator has written."""
    held(past)
    safe, config = tmp_path / "safe", elsewhere(tmp_path)
    run("backup", safe, "--config", past.config)
    said = next(path for path in (safe / "parts").glob("*/*")
                if path.read_bytes() == past.config.read_bytes())  # fmt: skip
    said.write_bytes(said.read_bytes()[:-1] + b"#")
    ended = run("restore", safe, "--config", config)
    assert (ended.status, "has other bytes" in ended.err) == (1, True)
    assert not config.exists()
    part(safe).unlink()
    ended = run("restore", safe, "--config", config)
    assert (ended.status, "are not there" in ended.err) == (1, True)
    assert not config.exists()


def test_a_model_and_a_key_that_are_not_there_are_told(
    past: Past, tmp_path: Path, run: Run
) -> None:
    """The node takes neither along: models are released, keys belong to the operator."""
    held(past)
    secret = tmp_path / "token"
    secret.write_text("a token that nobody can guess")
    past.config.write_text(
        past.config.read_text() + f"serve: {{port: 8042, token: {{file: {secret}}}}}\n"
    )
    run("backup", tmp_path / "safe", "--config", past.config)
    secret.unlink()
    ended = run("restore", tmp_path / "safe", "--config", elsewhere(tmp_path))
    assert ended.status == 0, ended.err
    assert f"{secret} is not here" in ended.out
    assert all(b"nobody can guess" not in path.read_bytes()
               for path in (tmp_path / "safe").rglob("*") if path.is_file())  # fmt: skip


def told(config: Path, kind: Kind) -> list[Message]:
    """Return the audit messages of one kind, each held to the standard."""
    auditor = compose.auditor(compose.settings(config))
    auditor.seal_all()
    found = [one.message for one in auditor.trail.oldest_first(AuditFilter(kind=kind))]
    assert [no for one in found for no in objections(one.text, one.kind)] == []
    return found


def test_what_leaves_and_what_comes_is_in_the_trail(
    kept: Path, past: Past, tmp_path: Path, run: Run
) -> None:
    """Who, which studies of which patients, where to and where from: PS3.15 A.5.3.4, A.5.3.5.

    The backup itself holds the record of its export, for it was noted before anything left.
    """
    config = elsewhere(tmp_path)
    assert run("restore", kept, "--config", config).status == 0
    (study,) = {job.study_instance_uid for job in past.ledger.jobs()}
    person = f"{operator().name}@{socket.gethostname()}"
    ((left,), (also_left,), (came,)) = (
        told(past.config, Kind.DATA_EXPORT),
        told(config, Kind.DATA_EXPORT),
        told(config, Kind.DATA_IMPORT),
    )
    assert left.text == also_left.text.replace(_process(also_left), _process(left))
    for one in (left, came):
        assert one.outcome is Outcome.SUCCESS
        for said in (f'"{study}"', f'"{person}"', f'"{kept.as_uri()}"'):
            assert said in one.text, said
    assert not told(past.config, Kind.DATA_IMPORT)


def _process(one: Message) -> str:
    """Return how the process that has sealed a message calls itself."""
    return ET.fromstring(one.text)[2].attrib["UserID"]


def test_a_backup_that_fails_is_in_the_trail(past: Past, tmp_path: Path, run: Run) -> None:
    """What may have left until then was told before; that it did not end is told, too."""
    held(past)
    (entry,) = past.ledger.quarantined()
    safe = tmp_path / "safe"
    (safe / "parts").mkdir(parents=True)
    (safe / "parts" / entry.sha256[:2]).touch()  # no folder: nothing can be put there
    assert run("backup", safe, "--config", past.config).status == 1
    begun, failed = told(past.config, Kind.DATA_EXPORT)
    assert (begun.outcome, failed.outcome) == (Outcome.SUCCESS, Outcome.SERIOUS_FAILURE)
    assert "the backup did not end: cannot make the backup" in failed.text


def test_a_refused_backup_is_no_export(past: Past, tmp_path: Path, run: Run) -> None:
    """Nothing has left."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter").touch()
    assert run("backup", tmp_path / "letters", "--config", past.config).status == 1
    assert not told(past.config, Kind.DATA_EXPORT)


def test_a_ledger_that_cannot_be_written_keeps_nobody_from_a_backup(
    past: Past, tmp_path: Path, run: Run
) -> None:
    """It may be what is needed most; that the trail does not say so is said."""
    held(past)
    with closing(sqlite3.connect(past.config.parent / "node" / "node.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        ended = run("backup", tmp_path / "safe.tar", "--config", past.config)
    assert (ended.status, "audit trail does not say so" in ended.err) == (1, True)
    assert run("restore", tmp_path / "safe.tar", "--verify").status == 0
    assert not told(past.config, Kind.DATA_EXPORT)


def test_what_could_not_be_told_before_is_told_afterwards(past: Past, tmp_path: Path) -> None:
    """The ledger was locked only for a while."""
    settings = compose.settings(past.config)
    leaving = Leaving(settings.store.database_url, Actor(name="ann"), tmp_path / "safe")
    with closing(sqlite3.connect(past.config.parent / "node" / "node.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        leaving.begins()
    assert "the ledger cannot answer now" in leaving.untold
    leaving.ends()
    assert leaving.untold == ""
    (study,) = {job.study_instance_uid for job in past.ledger.jobs()}
    (left,) = told(past.config, Kind.DATA_EXPORT)
    assert f'"{study}"' in left.text
