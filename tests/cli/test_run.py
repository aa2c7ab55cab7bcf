"""check, serve and explain: what the node would do, and what is wrong with what it was told."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import phantoms
from tests.cli.conftest import CANARY, Run
from tests.model_folders import threshold_model

ROOT = Path(__file__).parents[2]


def _with(config: Path, old: str, new: str) -> Path:
    content = config.read_text()
    assert old in content
    config.write_text(content.replace(old, new))
    return config


def test_a_right_configuration_is_said_to_be_right(run: Run, config: Path) -> None:
    """Exit 0, one line, one before it for a model without a guard, and nothing is made."""
    ended = run("check", config)
    unguarded = "routes.tissue: its model has no guard, so nobody judges its inputs\n"
    said = f"{unguarded}{config}: 1 route, all right\n"
    assert (ended.status, ended.out, ended.err) == (0, said, "")
    found = run("check", config, "--json").json
    assert found == {"routes": ["tissue"], "unguarded": ["tissue"], "advice": []}
    assert [path.name for path in config.parent.iterdir()] == ["ae_config.yaml"]


def test_a_guard_that_is_not_there_cannot_be_asked(run: Run, config: Path) -> None:
    """A route that wants inputs to be refused must not run with a model that cannot."""
    ended = run("check", _with(config, "run: segment", "run: segment\n    guard: refuse"))
    assert ended.status != 0
    assert "routes.tissue.guard: ct_tissue has no guard" in ended.err


def _no_file(config: Path) -> None:
    config.unlink()


def _a_folder(config: Path) -> None:
    config.unlink()
    config.mkdir()


def _no_yaml(config: Path) -> None:
    config.write_text("receive: {ae_title: [")


def _an_unknown_key(config: Path) -> None:
    _with(config, "min_free_gb: 0", "min_free_bg: 0")


def _an_unknown_model(config: Path) -> None:
    _with(config, "ct_tissue", "ct_tisue")


def _an_unknown_destination(config: Path) -> None:
    _with(config, "to: [results]", "to: [pacs]")


def _a_secret_without_its_file(config: Path) -> None:
    _with(config, "results: {folder: ./results}",
          "results: {url: 'https://pacs.example.org', token: {file: ./no.token}}")  # fmt: skip


def _a_secret_without_its_variable(config: Path) -> None:
    _with(config, "results: {folder: ./results}",
          "results: {url: 'https://pacs.example.org', token: {environment: NO_SUCH_TOKEN}}")  # fmt: skip


def _a_map_of_what_has_no_place(config: Path) -> None:
    _with(config, "ct_tissue", "lung_fields_cxr")
    _with(config, "write: [", "write: [parametric_map, ")


def _a_model_folder_that_contradicts_itself(config: Path) -> None:
    folder = threshold_model(config.parent / "models")
    facts = folder / "configs/dicom.yaml"
    facts.write_text(facts.read_text().replace("segment", "guess"))
    _with(config, "routes:", "infer: {models: [./models]}\nroutes:")
    _with(config, "ct_tissue", "bright_ct")
    (folder / "golden/golden.npz").unlink()


def _inputs_that_its_model_does_not_have(config: Path) -> None:
    _with(config, "when: {Modality: CT, slices: {min: 3}}",
          "inputs: {ct: {Modality: CT}, pet: {Modality: PT}}")  # fmt: skip


@pytest.mark.parametrize("command", ["check", "serve"])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_file, "cannot be read: No such file or directory"),
        (_a_folder, "cannot be read: Is a directory"),
        (_no_yaml, "ae_config.yaml:"),
        (_an_unknown_key, "min_free_bg: is not known here; did you mean min_free_gb?"),
        (_an_unknown_model, "ct_tisue is not a model of this node; did you mean ct_tissue?"),
        (_an_unknown_destination, "pacs is not a destination"),
        (_a_secret_without_its_file, "destinations.results.token: cannot read the file"),
        (_a_secret_without_its_variable, "destinations.results.token: there is nothing in"),
        (_inputs_that_its_model_does_not_have, "routes: tissue: ct_tissue takes one input, not 2"),
        (_a_map_of_what_has_no_place, "lung_fields_cxr looks at CR, DX"),
        (_a_model_folder_that_contradicts_itself, "bright_ct: golden/golden.npz is missing"),
    ],
)
def test_a_mistake_in_the_configuration_is_exit_78_and_a_sentence(
    run: Run, config: Path, command: str, spoil: Callable[[Path], None], said: str
) -> None:
    """`serve` says the same as `check`, before it starts or makes anything."""
    spoil(config)
    ended = run(command, config)
    assert (ended.status, ended.out) == (78, "")
    assert said in ended.err
    assert not (config.parent / "node").exists()


def test_check_lets_every_kind_of_task_judge_its_models(run: Run, config: Path) -> None:
    """A setting that no task understands would otherwise come out when the first study waits."""
    threshold_model(config.parent / "models", settings={"largest": True})
    _with(config, "routes:", "infer: {models: [./models]}\nroutes:")
    _with(config, "ct_tissue", "bright_ct")
    ended = run("check", config)
    assert (ended.status, ended.out) == (78, "")
    assert "bright_ct.settings.largest: unknown key" in ended.err


@pytest.mark.parametrize("command", ["status", "jobs", "quarantine", "models", "job x", "retry x"])
def test_every_command_says_that_there_is_no_configuration(run: Run, command: str) -> None:
    """Exit 78 and the path that was looked for."""
    ended = run(*command.split(), "--config", "/nowhere/ae_config.yaml")
    assert (ended.status, ended.out) == (78, "")
    assert ended.err.startswith("/nowhere/ae_config.yaml: the file cannot be read")


def test_a_port_that_is_taken_is_said_in_a_sentence(run: Run, config: Path) -> None:
    """The second node on a machine names the port instead of crashing."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = next(line for line in config.read_text().splitlines() if "port:" in line)
        before = said.split("port: ")[1].split(",")[0]
        ended = run("serve", _with(config, f"port: {before}", f"port: {port}"))
    assert ended.status == 78
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("folder: ./node", "folder: ./ae_config.yaml/node", id="its own folder"),
        pytest.param("folder: ./results", "folder: ./ae_config.yaml/out", id="that of a destination"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(
    run: Run, config: Path, old: str, new: str
) -> None:
    """The node does not start half."""
    ended = run("serve", _with(config, old, new))
    assert ended.status == 78
    assert "ae_config.yaml/" in ended.err
    assert "cannot be used: Not a directory" in ended.err


def test_the_environment_can_name_the_configuration(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service sets it once for all commands."""
    monkeypatch.setenv("DICOM_AI_NODE_CONFIG", str(config))
    assert run("check").out.endswith(f"{config}: 1 route, all right\n")
    assert run("jobs").status == 1


def test_explain_says_who_takes_what_and_why_not(run: Run, config: Path, images: Path) -> None:
    """One block per series, one line per route, for a folder or for one file."""
    ended = run("explain", images, "--config", config)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "CT CT: tissue\n    tissue takes it: 4 instances\n"
    first = min(images.iterdir())
    assert "no route" in run("explain", first, "--config", config).out
    (found,) = run("explain", images, "--config", config, "--json").json
    assert found["facts"]["slices"] == 4
    assert found["routes"] == {"tissue": "tissue takes it: 4 instances"}


def test_explain_tells_series_apart(run: Run, config: Path, images: Path) -> None:
    """Each is judged by itself, whatever lies beside it in the folder."""
    phantoms.write(phantoms.mr(slices=3), images / "mr")
    (images / "notes.txt").write_text(f"about {CANARY}")
    ended = run("explain", images, "--config", config)
    assert [line for line in ended.out.splitlines() if line[0] != " "] == [
        "CT CT: tissue",
        "MR T1 axial: no route",
    ]


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _damaged(folder: Path) -> None:
    first = min(folder.iterdir())
    first.write_bytes(first.read_bytes()[:600])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(_empty, "no DICOM files in", id="a folder without images"),
        pytest.param(_damaged, "CT0000.dcm: ", id="a file that is cut off, by its name"),
    ],
)
def test_explain_says_what_it_cannot_explain(
    run: Run, config: Path, images: Path, spoil: Callable[[Path], None], said: str
) -> None:
    """Exit 1 and a sentence for a person."""
    spoil(images)
    ended = run("explain", images, "--config", config)
    assert (ended.status, ended.out) == (1, "")
    assert said in ended.err
    assert ended.err.endswith("(to act: a person)\n")


def test_a_folder_that_is_not_there_is_a_mistake_of_usage(run: Run, config: Path) -> None:
    """Exit 2, as for every argument that cannot be."""
    for command in ("explain", "send"):
        ended = run(command, "/nowhere", "--config", config)
        assert ended.status == 2
        assert "/nowhere" in ended.err


def test_the_help_fits_a_line_each(run: Run) -> None:
    """Every command says in one whole sentence what it does."""
    ended = run("--help")
    assert ended.status == 0
    lines = ended.out.partition("Commands:\n")[2].splitlines()
    assert len(lines) == 20
    assert [line for line in lines if line.rstrip().endswith("...")] == []


@pytest.mark.parametrize(
    "command",
    [
        "serve",
        "check",
        "explain",
        "status",
        "jobs",
        "job",
        "quarantine",
        "models",
        "retry",
        "send",
        "users",
        "tokens",
    ],
)
def test_every_command_has_help(run: Run, command: str) -> None:
    """And shows its options."""
    ended = run(command, "--help")
    assert ended.status == 0
    assert "--help" in ended.out


def test_the_program_can_be_run_as_a_module(config: Path) -> None:
    """As systemd and the supervisor do; the exit status reaches the shell."""
    said = {}
    for path in (config, config.with_name("none.yaml")):
        ended = subprocess.run(
            [sys.executable, "-m", "dicom_ai_node", "check", path, "--json"],
            cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip
        said[ended.returncode] = ended.stdout
    assert said.keys() == {0, 78}
    found = {"routes": ["tissue"], "unguarded": ["tissue"], "advice": []}
    assert json.loads(said[0]) == found
