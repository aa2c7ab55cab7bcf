"""models import, sign, keygen, remove: bringing a model, and taking it away again."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dicom_ai_node.infer.catalog import Catalog
from tests.cli.conftest import Run
from tests.foreign_folders import ANSWERS, threshold_file
from tests.model_folders import threshold_model


@pytest.fixture(autouse=True)
def here(config: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the node have a folder for models, and work in its folder."""
    config.write_text(config.read_text().replace("routes:", "infer: {models: [./models]}\nroutes:"))
    monkeypatch.chdir(config.parent)
    return config.parent


def _fill_in(draft: Path, **more: object) -> None:
    """Answer all questions of a draft, as a person would."""
    yaml = YAML(typ="safe")
    said: dict[str, Any] = yaml.load(draft)
    said |= {key: value for key, value in ANSWERS.items() if key != "segments"}
    said["segments"][0] |= ANSWERS["segments"][0]
    said["network"] |= {"axes": "SPL", "gives": "logits"}
    with draft.open("w") as file:
        yaml.dump(said | more, file)


def test_a_model_is_asked_about_and_then_installed(run: Run, config: Path, here: Path) -> None:
    """First a draft with questions and nothing else; filled in, it is a model that runs."""
    path = threshold_file("onnx", here / "from")
    asked = run("models", "import", path, "--kind", "segment", "--config", config)
    assert (asked.status, asked.out) == (78, "")
    assert asked.err.startswith("nothing was installed: onnx does not tell everything.")
    assert "bright.dicom.yaml: intensity.scaling: is missing\n" in asked.err
    assert not (here / "models").exists()
    draft = here / "bright.dicom.yaml"
    assert "manufacturer: null # who has trained it" in draft.read_text()
    _fill_in(draft)
    found = run(
        "models",
        "import",
        path,
        "--facts",
        draft,
        "--name",
        "bright_1",
        "--config",
        config,
        "--json",
    ).json
    assert (found["model"], found["format"]) == ("bright_1", "onnx")
    assert found["digest"] == Catalog([here / "models"]).facts("bright_1").digest
    assert "to_allow_it" not in found
    assert run("models", "test", "bright_1", "--config", config).status == 0
    again = run(
        "models", "import", path, "--facts", draft, "--name", "bright_1", "--config", config
    )
    assert again.status == 78
    assert "there is a model of this name" in again.err


def test_code_is_run_only_if_somebody_says_so(run: Run, config: Path, here: Path) -> None:
    """To import it, and again to let it work."""
    path = threshold_file("torchscript", here / "from")
    run("models", "import", path, "--kind", "segment", "--config", config)
    _fill_in(here / "bright.dicom.yaml")
    ask = ("models", "import", path, "--facts", "bright.dicom.yaml", "--config", config)
    refused = run(*ask)
    assert refused.status == 78
    assert "can run code" in refused.err
    assert "add --run-code" in refused.err
    assert not (here / "models").exists()
    found = run(*ask, "--run-code", "--json").json
    assert found["to_allow_it"] == f"infer: {{trust: [{found['digest']}]}}"
    content = config.read_text().replace("model: ct_tissue", "model: bright")
    config.write_text(content)
    unsafe = run("check", config)
    assert unsafe.status == 78
    assert "nobody vouches for it" in unsafe.err
    config.write_text(content.replace("[./models]", f"[./models], trust: [{found['digest']}]"))
    assert run("check", config).status == 0


def test_a_bundle_of_the_zoo_asks_for_codes_only(run: Run, config: Path, here: Path) -> None:
    """Spacing, window, axes, intensities and labels stand in it."""
    path = threshold_file("monai", here / "from")
    asked = run("models", "import", path, "--kind", "segment", "--config", config)
    assert [line.split(": ")[1] for line in asked.err.splitlines()[1:]] == [
        "manufacturer", "segments[0].category", "segments[0].type",
    ]  # fmt: skip


def test_nothing_is_a_model_without_a_place(run: Run, config: Path, here: Path) -> None:
    """The sentence says what to write."""
    config.write_text(config.read_text().replace("infer: {models: [./models]}\n", ""))
    path = threshold_file("onnx", here / "from")
    ended = run("models", "import", path, "--config", config)
    assert ended.status == 78
    assert "write `infer: {models: [./models]}`" in ended.err


def test_a_signed_folder_goes_from_node_to_node(run: Run, config: Path, here: Path) -> None:
    """The one who made it signs, and the other trusts the key."""
    folder = threshold_model(here / "theirs")
    made = run("models", "keygen", here / "key")
    assert made.status == 0
    assert "trust_keys" in made.out
    signed = run("models", "sign", folder, "--key", here / "key")
    assert (signed.status, "SHA256SUMS.sig" in signed.out) == (0, True)
    renamed = run("models", "import", folder, "--name", "mine", "--config", config)
    assert (renamed.status, "keeps that" in renamed.err) == (78, True)
    assert run("models", "import", folder, "--config", config).status == 0
    assert (here / "models/bright_ct/SHA256SUMS.sig").is_file()
    config.write_text(
        config.read_text().replace("[./models]", "[./models], trust_keys: [./key.pub]")
    )
    rows = {row["model"]: row for row in run("models", "--config", config, "--json").json}
    assert rows["bright_ct"]["trusted"] == "runs no code, signed"


def test_a_model_that_a_route_runs_is_not_removed(run: Run, config: Path, here: Path) -> None:
    """Unless one insists; those that are shipped never are."""
    threshold_model(here / "models")
    content = config.read_text()
    config.write_text(content.replace("model: ct_tissue", "model: bright_ct"))
    refused = run("models", "remove", "bright_ct", "--config", config)
    assert refused.status == 1
    assert "bright_ct is run by tissue" in refused.err
    assert run("models", "remove", "bright_ct", "--config", config, "--force").status == 0
    assert list((here / "models").iterdir()) == []
    config.write_text(content)
    shipped = run("models", "remove", "ct_tissue", "--config", config, "--force")
    assert shipped.status == 1
    assert "shipped with the program" in shipped.err
    threshold_model(here / "models")
    assert run("models", "remove", "bright_ct", "--config", config).out == "bright_ct is removed\n"


def test_a_route_runs_a_model_as_what_it_is(run: Run, config: Path) -> None:
    """A model that segments cannot classify, which is found before a job is."""
    content = config.read_text()
    config.write_text(
        content.replace("run: segment", "run: classify").replace(
            "[segmentation]", "[structured_report]"
        )
    )
    ended = run("check", config)
    assert ended.status == 78
    assert ended.err == ("routes.tissue: ct_tissue is of kind segment, so write `run: segment`\n")
