"""What the pages say, in every language: a catalogue each, chosen by browser or reader."""

import json
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).with_name("words")
LANGUAGES = {"en": "English", "zh": "中文"}
"""By their codes, each in its own words."""
_FIRST = "en"


def catalogue(language: str) -> Mapping[str, str]:
    """Return every sentence in a language, by its key."""
    content = (_FOLDER / f"{language}.json").read_text(encoding="utf-8")
    found: Mapping[str, str] = json.loads(content)
    return found


def preferred(accept: str) -> str:
    """Return the language that an Accept-Language header likes best; English if it has none."""
    wanted: list[tuple[float, str]] = []
    for part in accept.split(",")[:20]:
        name, _, parameter = part.partition(";")
        quality = parameter.strip().removeprefix("q=") or "1"
        code = name.strip().lower().partition("-")[0]
        if code in LANGUAGES and _is_number(quality):
            wanted.append((float(quality), code))
    best = max(wanted, key=lambda one: one[0], default=(0.0, _FIRST))
    return best[1] if best[0] > 0 else _FIRST


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


class Words:
    """The sentences of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._sentences = catalogue(language)

    def __call__(self, key: str, /, **values: object) -> str:  # templates name what they fill in
        """Return a sentence with its values; plain text, which the template escapes."""
        return self._sentences[key].format_map(values)

    def has(self, key: str) -> bool:
        """Return whether there is such a sentence, for what others have named."""
        return key in self._sentences
