"""How values look: charts, lengths of time, names, and cards that cannot do harm."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicom_ai_node.serve.console.cards import card, scores
from dicom_ai_node.serve.console.charts import day_of, hours, legs
from dicom_ai_node.serve.console.display import moment, person, said, size, span

NOON = datetime(2026, 3, 1, 12, 34, tzinfo=UTC)


def test_a_day_has_twenty_four_bars() -> None:
    """The last one is the hour of now; the highest fills the chart."""
    chart = hours({day_of(NOON): 2, NOON.replace(minute=0): 4}, NOON)
    assert (len(chart.bars), chart.most, chart.total) == (24, 4, 6)
    assert chart.bars[-1].at == NOON.replace(minute=0)
    assert chart.bars[-1].height == 2 * chart.bars[0].height == chart.base - chart.top
    empty = hours({}, NOON)
    assert {bar.height for bar in empty.bars} == {0}


def test_half_and_nineteen_of_twenty() -> None:
    """A leg that nothing has been through is left out."""
    (leg,) = legs({"waiting": [1.0] * 90 + [50.0] * 10}, ["arriving", "waiting"])
    assert (leg.name, leg.typical, leg.slow, leg.part, leg.jobs) == ("waiting", 1, 50, 0.02, 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (0.31, "0.3 s"),
        (42, "42 s"),
        (61, "1 min 01 s"),
        (3700, "1 h 01 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_a_length_of_time_is_short(seconds: float | None, text: str) -> None:
    """In the largest units that fit."""
    assert span(seconds) == text


def test_a_moment_is_utc_until_the_browser_knows_better() -> None:
    """Whatever zone it came in."""
    assert moment(NOON + timedelta(seconds=7)) == (
        '<time datetime="2026-03-01T12:34:07Z">2026-03-01 12:34:07 UTC</time>'
    )
    assert [size(one) for one in (999, 1500, 2e12)] == ["999 B", "1.5 kB", "2.0 TB"]


def test_a_header_speaks_to_people() -> None:
    """Dates and names as they are written; odd values are left out."""
    header = {
        "00100010": {
            "vr": "PN",
            "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}],
        },
        "00080020": {"vr": "DA", "Value": ["20260301"]},
        "00080030": {"vr": "TM", "Value": ["123456.789"]},
        "00100020": {"vr": "LO", "Value": [None, {"odd": 1}, ["odd"]]},
    }
    assert person(header) == "Yamada, Tarou · 山田, 太郎"
    assert said(header, "StudyDate") == "2026-03-01"
    assert said(header, "StudyTime") == "12:34:56"
    assert (said(header, "PatientID"), said(header, "StudyID"), person({})) == ("", "", "")


def _model(folder: Path, text: str, score: str = "{}") -> Path:
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").write_text(text)
    (folder / "docs" / "score.json").write_text(score)
    return folder


def test_a_card_is_rendered_and_its_markup_is_text(tmp_path: Path) -> None:
    """A model folder may come from anywhere."""
    hostile = (
        "# Title\n\n## Limits\n<script>alert(1)</script>\n\n[click](javascript:alert(1))\n\n"
        "![see](curve.png) ![no](http://evil.example/x.png)\n\n<!-- score -->\n| a |\n|---|\n| 1 |\n<!-- /score -->\n"
    )
    folder = _model(tmp_path, hostile)
    (folder / "docs" / "curve.png").touch()
    made = card(folder, "/models/x/pictures")
    assert "<script>" not in made
    assert 'href="javascript' not in made
    assert "evil.example" not in made
    assert 'src="/models/x/pictures/curve.png"' in made
    assert "<h3>Limits</h3>" in made
    assert "Title" not in made
    assert "<table>" not in made


def test_scores_are_those_of_the_test_part(tmp_path: Path) -> None:
    """The validation part chose something; what is no score is left out."""
    said_so = '{"validation": {"a": {"value": 1}}, "test": {"AUC": {"value": 0.9, "low": 0.8, "high": 1, "cases": 7}, "odd": 3, "Dice": {"mean": 0.5}}}'
    part, found = scores(_model(tmp_path, "", said_so))
    assert part == "test"
    assert [(one.name, one.value, one.low, one.cases) for one in found] == [
        ("AUC", 0.9, 0.8, 7), ("Dice", 0.5, None, None),
    ]  # fmt: skip
    (tmp_path / "docs" / "score.json").write_text("no JSON")
    assert scores(tmp_path) == ("", [])
    assert card(tmp_path / "none", "/x") == ""
