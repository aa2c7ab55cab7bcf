"""What the README claims about the models is what was measured."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCORES = sorted((ROOT / "dicom_ai_node" / "bundles").glob("*/docs/score.json"))


@pytest.mark.parametrize("path", SCORES, ids=lambda path: path.parents[1].name)
def test_the_table_of_models_holds_the_measured_scores(path: Path) -> None:
    """Every number in a model's row is a score on its test part or an end of its interval."""
    (row,) = re.findall(rf"^\| `{path.parents[1].name}` .*$", README, re.MULTILINE)
    claimed = re.findall(r"\b\d+\.\d+\b", row.split("|")[3])
    test = json.loads(path.read_text(encoding="utf-8"))["test"]
    measured = {
        f"{score[key]:.{places}f}"
        for score in test.values()
        for key in ("mean", "value", "low", "high")
        if key in score
        for places in (1, 2, 3)
    }
    assert claimed
    assert set(claimed) <= measured


def test_every_model_is_in_the_table() -> None:
    """A model that is shipped is spoken of."""
    shipped = {
        path.name for path in (ROOT / "dicom_ai_node" / "bundles").iterdir() if path.is_dir()
    }
    assert shipped - {"__pycache__"} == {path.parents[1].name for path in SCORES}


def test_what_the_readme_says_of_attacks_was_measured() -> None:
    """Every number in the table of attacks is in the report on its model."""
    section = README.split("## Inputs that should not be trusted")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ") and "reach" not in line]
    measured = {
        form.format(value)
        for path in (ROOT / "dicom_ai_node" / "bundles").glob("*/docs/robustness.json")
        for row in json.loads(path.read_text(encoding="utf-8"))["rows"].values()
        for value in row.values()
        for form in ("{:.3f}", "{:.1%}")
    }
    claimed = {
        number.replace(" ", "") for row in rows for number in re.findall(r"\d+\.\d+(?: %)?", row)
    }
    assert claimed
    assert claimed <= measured
