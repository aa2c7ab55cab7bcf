"""Both languages say everything, and nothing is said that nobody wrote down."""

import re
from pathlib import Path
from typing import get_args

import pytest

from dicom_ai_node.domain.audit import Kind, Outcome
from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.domain.reject import RejectCode, Who
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.serve import console
from dicom_ai_node.serve.console.audit import KINDS
from dicom_ai_node.serve.console.home import LEGS
from dicom_ai_node.serve.console.page import NAVIGATION, THEMES
from dicom_ai_node.serve.console.sending import Health
from dicom_ai_node.serve.console.story import ANSWERS
from dicom_ai_node.serve.console.words import LANGUAGES, catalogue, preferred

FOLDER = Path(console.__file__).parent
COMPUTED = {
    *(f"stage.{one}" for one in Stage), *(f"stage_told.{one}" for one in Stage),
    *(f"who.{one.name}" for one in Who), *(f"todo.{one.name}" for one in Who),
    *(f"event.{one}" for one in KINDS), *(f"leg.{one}" for one in LEGS),
    *(f"delivery.{one}" for one in DeliveryState), *(f"priority.{one.name}" for one in Priority),
    *(f"reject.{one.name}" for one in RejectCode), *(f"theme.{one}" for one in THEMES),
    *(f"trail.{one}" for one in Kind), *(f"trail.outcome.{one:d}" for one in Outcome),
    *(f"answer.{one}" for one in ANSWERS), *(f"page.{name}" for name, _, _ in NAVIGATION),
    *(f"health.{one}" for one in get_args(Health)),
    "model.scores_test", "model.scores_validation",
}  # fmt: skip


def _written() -> set[str]:
    """Return every key that a template or a module writes out."""
    found: set[str] = set()
    for path in FOLDER.rglob("*.html"):
        found.update(re.findall(r"\bt\('([a-z_]+\.[A-Za-z_0-9 ]+)'[,)]", path.read_text()))
    for path in FOLDER.rglob("*.py"):
        text = path.read_text()
        found.update(re.findall(r'"(missing\.[a-z_]+)"', text))
        found.update(f"told.{name}" for name in re.findall(r'\?told=([a-z_]+)"', text))
    return found


def test_every_language_says_the_same_things() -> None:
    """No key is missing in one of them, and both fill in the same values."""
    english, *others = (catalogue(language) for language in LANGUAGES)
    for other in others:
        assert english.keys() == other.keys()
        for key, sentence in english.items():
            values = [set(re.findall(r"{(\w+)}", text)) for text in (sentence, other[key])]
            assert values[0] == values[1], key
            assert other[key].strip(), key


def test_every_key_that_is_used_exists() -> None:
    """Those that are written out, and those that follow from what there can be."""
    written = _written()
    assert len(written) > 150
    assert not (written | COMPUTED) - catalogue("en").keys()


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        pytest.param("zh-CN,zh;q=0.9,en;q=0.8", "zh", id="Chinese first"),
        pytest.param("en-GB,zh;q=0.9", "en", id="English first"),
        pytest.param("de,fr;q=0.9", "en", id="neither"),
        pytest.param("de,zh;q=0.1", "zh", id="rather Chinese than nothing"),
        pytest.param("zh;q=0", "en", id="anything but Chinese"),
        pytest.param("", "en", id="nothing said"),
        pytest.param("zh;q=abc;;,,", "en", id="nonsense"),
    ],
)
def test_a_browser_is_answered_in_its_language(said: str, spoken: str) -> None:
    """As RFC 9110 12.5.4 says."""
    assert preferred(said) == spoken


def test_no_file_of_the_console_comes_from_elsewhere() -> None:
    """A hospital without the internet sees the same pages."""
    for path in [
        *FOLDER.rglob("*.html"),
        FOLDER / "static/console.css",
        FOLDER / "static/console.js",
    ]:
        assert not re.search(
            r"""(src|href|url\(|import)\s*=?\s*["'(]?(https?:)?//""", path.read_text()
        ), path
    assert "Zero-Clause BSD" in (FOLDER / "static/htmx.LICENSE.txt").read_text()
