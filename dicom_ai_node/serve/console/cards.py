"""What a model folder says to people: its card as safe HTML, and its scores."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

LARGEST_CARD_BYTES = 1_000_000
_SCROLLED = '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>'
"""A wide table is moved in a frame of its own, by keys too."""
PARTS = ("test", "validation")
"""The scores that are shown, the first that is there: the test part chose nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One score of a model with its interval, where it has one."""

    name: str
    value: float
    low: float | None
    high: float | None
    cases: int | None


def card(folder: Path, pictures: str) -> Markup:
    """Return the card of a model as HTML; `pictures` is where its pictures are served.

    Markup in the card itself stays text, and a link leads nowhere but to https.
    """
    try:
        with (folder / "docs" / "README.md").open(encoding="utf-8", errors="replace") as file:
            text = file.read(LARGEST_CARD_BYTES)
    except OSError:
        return Markup()
    text = "\n".join(_without_scores(text.splitlines()))
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = renderer.parse(text)
    names = pictures_in(folder)
    for token in tokens:
        _lower(token)
        for child in token.children or ():
            if child.type == "image":
                _point(child, pictures, names)
    # Everything was escaped by the renderer, which lets no HTML of the card through.
    made = renderer.renderer.render(tokens, renderer.options, {})
    return Markup(made.replace("<table>", _SCROLLED).replace("</table>", "</table></div>"))  # noqa: S704


def pictures_in(folder: Path) -> frozenset[str]:
    """Return the names of the pictures beside the card of a model."""
    return frozenset(path.name for path in (folder / "docs").glob("*.png"))


def scores(folder: Path) -> tuple[str, list[Score]]:
    """Return the part of the data that the scores of a model are of, and the scores."""
    try:
        said = json.loads((folder / "docs" / "score.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "", []
    for part in PARTS:
        found = said.get(part) if isinstance(said, dict) else None
        if isinstance(found, dict) and found:
            return part, [one for name, value in found.items() if (one := _score(name, value))]
    return "", []


def _score(name: str, said: Any) -> Score | None:  # noqa: ANN401 - JSON
    if not isinstance(said, Mapping):
        return None
    value = said.get("value", said.get("mean"))
    if not isinstance(value, int | float):
        return None
    low, high, cases = (said.get(key) for key in ("low", "high", "cases"))
    return Score(
        name=name,
        value=float(value),
        low=float(low) if isinstance(low, int | float) else None,
        high=float(high) if isinstance(high, int | float) else None,
        cases=cases if isinstance(cases, int) else None,
    )


def _without_scores(lines: Sequence[str]) -> Iterator[str]:
    """Yield a card without its title and its table of scores: the page shows both already."""
    is_table = False
    for number, line in enumerate(lines):
        if line.startswith("<!--") and line.rstrip().endswith("-->"):
            is_table = line.split()[1] == "score"
        elif line.strip() and not line.startswith("|"):
            is_table = False
        if not (is_table or line.startswith("<!--") or (number == 0 and line.startswith("# "))):
            yield line


def _lower(token: Token) -> None:
    """Put the headings of a card below that of its page."""
    if token.type in {"heading_open", "heading_close"}:
        token.tag = f"h{min(6, int(token.tag[1:]) + 1)}"


def _point(image: Token, pictures: str, names: frozenset[str]) -> None:
    """Let an image lead to the picture beside the card, and to nothing else."""
    name = str(image.attrGet("src") or "").removeprefix("docs/").removeprefix("./")
    image.attrSet("src", f"{pictures}/{name}" if name in names else "")
    image.attrSet("loading", "lazy")
