"""models list, show, test: what there is, who vouches for it, what this machine computes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_ai_node.compose import SHIPPED_MODELS
from dicom_ai_node.infer.trust import make_key, sign
from tests.cli.conftest import Run
from tests.foreign_folders import adopted, threshold_file
from tests.model_folders import threshold_model


def _with_infer(config: Path, said: str) -> None:
    content = config.read_text()
    head, _, routes = content.partition("routes:")
    before = "\n".join(line for line in head.splitlines() if not line.startswith("infer:"))
    config.write_text(f"{before}\ninfer: {{models: [./models]{said}}}\nroutes:{routes}")


def test_models_are_compared_with_their_release(run: Run, config: Path) -> None:
    """One wrong bit is exit 1 and the name of the file; the others are listed all the same."""
    folder = threshold_model(config.parent / "models")
    threshold_model(config.parent / "models", name="bright_pt", modality=["PT"])
    _with_infer(config, "")
    assert run("models", "--config", config).status == 0
    weights = folder / "models/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    (config.parent / "models/bright_pt/configs/metadata.json").unlink()
    ended = run("models", "--config", config, "--json")
    assert ended.status == 1
    assert ended.err == "not as released: bright_ct, bright_pt (to act: operator)\n"
    found = {row["model"]: row for row in ended.json}
    assert "models/model.safetensors has changed" in found["bright_ct"]["files"]
    assert "configs/metadata.json is missing" in found["bright_pt"]["files"]
    assert found["ct_tissue"]["files"] == "as released"
    assert run("models", "list", "--config", config).out.count("as released") >= 1
    assert run("models", "list", "--config", config, "--json").json == ended.json


def test_the_list_tells_the_score_with_its_interval(run: Run, config: Path) -> None:
    """The first one of the recipe, where the model folder has one."""
    threshold_model(config.parent / "models")
    _with_infer(config, "")
    found = {row["model"]: row for row in run("models", "--config", config, "--json").json}
    on_record = json.loads((SHIPPED_MODELS / "pneumonia_cxr/docs/score.json").read_text())
    first = on_record["test"]["AUC"]
    assert found["pneumonia_cxr"]["score"] == (
        f"AUC {first['value']} ({first['low']} to {first['high']})"
    )
    assert found["bright_ct"]["score"] == ""
    assert {row["format"] for row in found.values()} == {"bundle"}
    assert {row["trusted"] for row in found.values()} == {"runs no code"}


def test_the_list_tells_who_vouches_for_what_runs_code(run: Run, config: Path) -> None:
    """Nobody, a digest in the configuration, or a signature."""
    models = config.parent / "models"
    facts = adopted(threshold_file("torchscript", config.parent / "from"), models, "bright")
    public = make_key(config.parent / "key")

    def trusted() -> str:
        found = run("models", "show", "bright", "--config", config, "--json").json
        return str(found["trusted"])

    _with_infer(config, "")
    assert trusted() == "nobody"
    refused = run("models", "test", "bright", "--config", config)
    assert refused.status == 1
    assert f"infer: {{trust: [{facts.digest}]}}" in refused.err
    _with_infer(config, f", trust: [{facts.digest}], trust_keys: [{public}]")
    assert trusted() == "digest"
    sign(facts.folder, config.parent / "key")
    assert trusted() == "digest, signed"
    _with_infer(config, f", trust_keys: [{public}]")
    assert trusted() == "signature"
    found = run("models", "test", "bright", "--config", config, "--json").json
    assert (found["golden"], found["device"]) == ("reproduced", "cpu")
    assert found["load_seconds"] >= 0
    assert found["seconds"] > 0


def test_a_model_shows_facts_scores_and_card(run: Run, config: Path) -> None:
    """All that a radiologist asks before a route is written."""
    ended = run("models", "show", "ct_tissue", "--config", config)
    assert ended.status == 0
    for part in ("tissue", "runs no code", "95 %", "RESEARCH USE ONLY", "digest"):
        assert part in ended.out, part
    found = run("models", "show", "ct_tissue", "--config", config, "--json").json
    assert found["kind"] == "segment"
    assert found["scores"]
    assert len(found["digest"]) == 64
    assert run("models", "show", "nobody", "--config", config).status == 78


def test_a_model_that_computes_wrongly_fails_its_test(run: Run, config: Path) -> None:
    """Exit 1, and which number is wrong."""
    threshold_model(config.parent / "models", golden={"file": "golden/golden.npz", "min_dice": 1})
    wrong = threshold_model(
        config.parent / "models",
        name="wrong_ct",
        intensity={"scaling": "window", "low": 210, "high": 240},
    )
    _with_infer(config, "")
    assert run("models", "test", "bright_ct", "--config", config).status == 0
    ended = run("models", "test", wrong.name, "--config", config)
    assert ended.status == 1
    assert "golden test: Bright has Dice 0" in ended.err


@pytest.mark.parametrize("said", ["trust: [abc]", "trust_keys: [./none.pub]"])
def test_trust_that_cannot_be_is_a_mistake(run: Run, config: Path, said: str) -> None:
    """And not silently nobody."""
    _with_infer(config, f", {said}")
    ended = run("check", config)
    assert ended.status == 78
    assert "trust" in ended.err or "none.pub cannot be read" in ended.err


def test_only_what_computes_carries_torch() -> None:
    """A command that looks answers at once, and a receiver needs no gigabyte."""
    asked = "import sys, dicom_ai_node.cli; print(sorted({'torch', 'monai'} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
