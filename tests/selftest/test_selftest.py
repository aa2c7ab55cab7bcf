"""The self-test: a node that keeps its promises passes, one that says yes to everything does not."""

import sys
from pathlib import Path

import pytest

from dicom_ai_node.selftest.report import Played, Report
from dicom_ai_node.selftest.rows import ROWS
from dicom_ai_node.selftest.run import play
from tests.cli.conftest import run
from tests.store.made import NOON

__all__ = ["run"]

LIAR = """
import sys
from pathlib import Path
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.schema import migrate
from ruamel.yaml import YAML
from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
said = YAML(typ="safe").load(open(sys.argv[1]))
database = open_database(f"sqlite:///{Path(sys.argv[1]).parent}/state/node.db")
migrate(database)
database.close()
ae = AE("SELFTEST")
for context in AllStoragePresentationContexts:
    ae.add_supported_context(context.abstract_syntax)
def store(event):
    sys.stderr.write(f"stored {event.dataset.PatientName}")
    return 0
print("node_ready", flush=True)
ae.start_server(("127.0.0.1", said["receive"]["port"]), evt_handlers=[(evt.EVT_C_STORE, store)])
"""
"""Takes everything, keeps nothing, and talks about it."""


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_a_node_keeps_its_promises(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
    """On this machine, with a model that ships: every row is ok, the report says so, all is gone."""
    report = tmp_path / "report.html"
    (tmp_path / "node").mkdir()
    config = tmp_path / "ae_config.yaml"
    config.write_text("store: {folder: ./node}\n")
    ended = run("selftest", config, "--report", report)
    assert ended.status == 0, ended.out + ended.err
    assert len(ended.out.splitlines()) >= len(ROWS) + 1
    assert "NOT OK" not in ended.out + report.read_text()
    assert all(row.expected in report.read_text() for row in ROWS)
    assert list((tmp_path / "node").iterdir()) == []


@pytest.mark.fault
def test_a_node_that_says_yes_to_everything_is_found_out(tmp_path: Path) -> None:
    """A self-test that cannot fail proves nothing."""
    program = tmp_path / "liar.py"
    program.write_text(LIAR)
    home = tmp_path / "home"
    home.mkdir()
    quick = ("unknown AE", "cut off", "disk is full", "kill -9", "is stopped", "logs")
    rows = [row for row in ROWS if any(word in row.what for word in quick)]
    assert len(rows) == len(quick)
    first, *others = play(home, (sys.executable, str(program)), rows)
    assert first.is_ok, first.seen
    assert [one.what for one in others if one.is_ok] == []
    assert any("are lost" in one.seen for one in others)


def test_a_node_that_does_not_start_is_one_row(tmp_path: Path) -> None:
    """Its log says why; the other rows would only repeat it."""
    [only] = play(tmp_path, (sys.executable, "-c", "raise SystemExit(78)"))
    assert (only.is_ok, "does not start" in only.seen) == (False, True)


def test_the_report_is_for_people() -> None:
    """What was done, what was seen, on which machine; a word of a peer is no markup."""
    played = [
        Played(what="a | b", expected="<c>", seen="two\nlines", is_ok=False, seconds=1.25),
        Played(what="d", expected="e", seen="f", is_ok=True, seconds=0),
    ]
    report = Report(version="0.1.0", disk="/disk (ext4)", at=NOON, played=played)
    assert not report.is_ok
    assert "| NOT OK | a / b | <c> | two lines | 1.2 |" in report.as_markdown()
    assert "- outcome: 1 of 2 as expected" in report.as_markdown()
    page = report.as_html()
    assert "<td>&lt;c&gt;</td>" in page
    assert 'class="bad"' in page
    assert all(said in page for said in ("0.1.0", "/disk (ext4)", "2026-03-01 12:00 UTC"))
