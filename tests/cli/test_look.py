"""status, jobs, job, quarantine: what people and programs see, and that it changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.job import Stage
from tests.cli.conftest import Past, Run
from tests.store.made import HOUR, LEASE, NOON, QUIET, arrival, job_for, towards


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["for people", "for programs"])
@pytest.mark.parametrize("command", ["status", "jobs", "quarantine", "job abc", "retry abc"])
def test_a_node_that_has_never_run_says_so(
    run: Run, config: Path, command: str, as_json: list[str]
) -> None:
    """Exit 1, one sentence, and no file that the service could not open later."""
    options = as_json if "retry" not in command else []
    ended = run(*command.split(), "--config", config, *options)
    assert (ended.status, ended.out) == (1, "")
    assert "this node has never been started (to act: a person)" in ended.err
    assert [path.name for path in config.parent.iterdir()] == ["ae_config.yaml"]


def test_a_node_that_has_just_been_made_has_nothing(run: Run, config: Path) -> None:
    """Nothing is no error."""
    compose.prepare(compose.settings(config))
    assert run("jobs", "--config", config).out == "no jobs\n"
    assert run("jobs", "--config", config, "--json").json == []
    assert run("quarantine", "--config", config).out == "the quarantine is empty\n"
    lines = run("status", "--config", config).out.splitlines()
    assert [line.split() for line in lines if "free" not in line] == [
        ["listening", "no"],
        ["instances", "0"],
        ["series", "none"],
        ["quarantine", "none"],
        ["jobs", "none"],
        ["deliveries", "none"],
    ]


def test_status_counts_what_there_is(run: Run, past: Past) -> None:
    """People read what there is any of; programs get every number."""
    ended = run("status", "--config", past.config)
    assert ended.status == 0
    assert "2 ready, 1 delivered, 1 rejected, 1 parked\n" in ended.out
    assert "1 open\n" in ended.out
    found = run("status", "--config", past.config, "--json").json
    assert found["listening"] is False
    assert found["free_gb"] > 0
    assert (found["jobs.ready"], found["jobs.superseded"], found["instances"]) == (2, 0, 4)


def test_jobs_say_where_they_are_and_who_has_to_act(run: Run, past: Past) -> None:
    """One line per job, the newest first."""
    ended = run("jobs", "--config", past.config)
    head, *lines = ended.out.splitlines()
    assert head.split()[:4] == ["job", "route", "model", "stage"]
    assert [line.split()[1] for line in lines] == [
        "ready", "waiting", "rejected", "parked", "delivered",
    ]  # fmt: skip
    assert "operator  ct_tissue: models/model.safetensors has changed" in lines[1]
    assert "sender    GEO_MISSING_SLICE" in lines[2]
    found = run("jobs", "--config", past.config, "--json").json
    assert [row["job"] for row in found] == [past.jobs[row["route"]] for row in found]
    assert {row["to_act"] for row in found} == {"", "operator", "sender", "a person"}


def test_jobs_can_be_chosen_by_stage_and_number(run: Run, past: Past) -> None:
    """`--stage` may be given several times."""
    chosen = run(
        "jobs", "--config", past.config, "--stage", "parked", "--stage", "rejected", "--json"
    )
    assert [row["route"] for row in chosen.json] == ["rejected", "parked"]
    assert len(run("jobs", "--config", past.config, "--limit", 2, "--json").json) == 2
    assert run("jobs", "--config", past.config, "--stage", "quarantined").out == "no jobs\n"


def test_a_stage_that_does_not_exist_is_a_mistake_of_usage(run: Run, past: Past) -> None:
    """And the message lists those that do."""
    ended = run("jobs", "--config", past.config, "--stage", "broken")
    assert ended.status == 2
    assert "'superseded'" in ended.err


def test_a_job_tells_its_story(run: Run, past: Past) -> None:
    """From the first slice to what the archive answered."""
    ended = run("job", past.jobs["parked"], "--config", past.config)
    assert ended.status == 0
    order = ["series_opened", "tissue took it", "job_encoding", "delivery_parked", "deliveries"]
    places = [ended.out.index(word) for word in order]
    assert places == sorted(places)
    found = run("job", past.jobs["parked"], "--config", past.config, "--json").json
    assert (found["stage"], found["instances"], found["to_act"]) == ("parked", 4, "a person")
    (sent,) = found["sent"]
    assert (sent["state"], sent["note"]) == ("parked", "PACS answered 0xC000")
    assert found["time_line"][0]["what"] == "series_opened"


def test_a_job_that_waits_says_until_when(run: Run, past: Past) -> None:
    """Who has mended the cause sees how long it would take without them."""
    found = run("job", past.jobs["waiting"], "--config", past.config, "--json").json
    assert found["next_attempt"]
    assert (
        run("job", past.jobs["ready"], "--config", past.config, "--json").json["next_attempt"]
        is None
    )


def test_the_start_of_a_name_is_enough(run: Run, past: Past) -> None:
    """As long as only one job begins with it, in small letters or capitals."""
    name = past.jobs["rejected"]
    for said in (name[:6], name.upper(), f" {name} "):
        assert run("job", said, "--config", past.config, "--json").json["job"] == name


@pytest.mark.parametrize("command", ["job", "retry"])
def test_a_name_of_several_jobs_lists_them(run: Run, past: Past, command: str) -> None:
    """Nobody has to guess which one was meant, and none is touched."""
    ended = run(command, "", "--config", past.config)
    assert (ended.status, ended.out) == (1, "")
    assert "is the start of several jobs" in ended.err
    assert all(name in ended.err for name in past.jobs.values())


@pytest.mark.parametrize("name", ["ffffffffffff", "%", "../node.db"])
@pytest.mark.parametrize("command", ["job", "retry"])
def test_a_name_of_no_job_is_said_to_be_none(run: Run, past: Past, command: str, name: str) -> None:
    """Exit 1 and where to look."""
    ended = run(command, name, "--config", past.config)
    assert ended.status == 1
    assert (
        ended.err
        == f"no job is called {name}; `dicom-ai-node jobs` lists them (to act: a person)\n"
    )


def test_the_quarantine_says_where_the_bytes_are(run: Run, past: Past) -> None:
    """A person can look at what was not let in."""
    assert "the data set is cut off" in run("quarantine", "--config", past.config).out
    (entry,) = run("quarantine", "--config", past.config, "--json").json
    assert (entry["sender"], entry["reason"]) == ("CT1", "the data set is cut off")
    assert Path(entry["file"]).read_bytes() == b"half an instance"


def test_a_damaged_ledger_is_no_stack_trace(run: Run, past: Past) -> None:
    """Whatever the database says, people read a sentence."""
    (past.config.parent / "node" / "node.db").write_bytes(b"this is no database" * 1000)
    ended = run("jobs", "--config", past.config)
    assert ended.status == 1
    assert "the ledger cannot answer now" in ended.err


SIMILAR = "similar: {model: image_encoder}\n"


@pytest.fixture
def placed(config: Path) -> Path:
    """Return the configuration of a node that has placed three studies."""
    config.write_text(config.read_text() + SIMILAR)
    settings = compose.settings(config)
    compose.prepare(settings)
    ledger, model = compose.ledger(settings), compose.similar_model(settings)
    for study, angle in (("1.1", 0), ("1.2", 60), ("1.3", 20)):
        ledger.record([arrival(1, f"{study}.1", study, StudyDate="20260301")], NOON, QUIET)
        (series,) = ledger.due_series(NOON + HOUR)
        job = replace(job_for(series, route="similar"), model_digest=model.digest)
        ledger.complete(series, "quiet", [job], [], NOON)
        (held,) = ledger.claim(Stage.READY, NOON, LEASE)
        ledger.place(held, towards(angle), "", NOON)
        ledger.move(held, Stage.DELIVERED, NOON)
    return config


def test_similar_lists_what_looks_alike(run: Run, placed: Path) -> None:
    """The nearest first: its study, its score, its modality, its date."""
    ended = run("similar", "1.1", "--config", placed)
    head, first, second = ended.out.splitlines()
    assert head.split()[:2] == ["study", "instance"]
    assert first.split() == ["1.3", "1.3.1", "0.939693", "CT", "20260301", "2026-03-01", "12:00:00"]
    assert second.split()[0] == "1.2"
    (found,) = run("similar", "1.1", "-n", "1", "--config", placed, "--json").json
    assert (found["study_instance_uid"], found["modality"]) == ("1.3", "CT")


def test_similar_says_why_it_cannot_tell(run: Run, placed: Path, past: Past) -> None:
    """A study that is not here, or a node that looks for nothing."""
    ended = run("similar", "9.9", "--config", placed)
    assert (ended.status, ended.out) == (1, "")
    assert "no image of 9.9 is here, or none has been looked at yet" in ended.err
    past.config.write_text(past.config.read_text().replace(SIMILAR, ""))
    ended = run("similar", "1.1", "--config", past.config)
    assert (ended.status, ended.err) == (
        78, "there is no section `similar`: nobody looks for what looks alike\n",
    )  # fmt: skip
