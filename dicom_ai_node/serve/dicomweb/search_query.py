"""What a search asks for, read from the query of its URL, PS3.18 8.3.4 and 10.6.1.2."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_ai_node.domain.archive import Key, Level
from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.levels import TOLD, path_of, spoken, vr_of

USUAL = 1000
"""Lines of an answer about the whole archive where nobody says how many."""
MOST = 10_000
"""Lines of an answer at most, and of one about one study: half a series would be worse than none
and nobody would notice."""
_FURTHEST = 2**31 - 1
_KNOWN = "limit, offset, includefield, fuzzymatching, emptyvaluematching, multiplevaluematching"
_BOOLEANS = {"true": True, "false": False}
_NEEDS_NO_KEY = frozenset({"accept", "charset"})
"""Parameters about how to answer, PS3.18 8.3.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is looked for and what of it is told.

    Attributes
    ----------
    tags
        What is told of each line; `None` is all that there is.
    """

    keys: tuple[Key, ...]
    tags: frozenset[str] | None
    limit: int
    offset: int
    is_fuzzy: bool


def wanted(
    parameters: Iterable[tuple[str, str]], told: Sequence[Level], above: Sequence[Key]
) -> Wanted:
    """Return what the parameters of a query ask for.

    Parameters
    ----------
    told
        The levels whose usual attributes are told.
    above
        Keys of the path: the study, and the series.

    Raises
    ------
    Refused
        If one of them is unknown, said twice or cannot be understood.
    """
    keys: dict[tuple[str, ...], str] = {key.path: key.value for key in above}
    settings: dict[str, str] = {}
    fields: list[str] = []
    for name, value in parameters:
        plain = name.lower()
        if plain == "includefield":
            fields += value.split(",")
        elif plain in _SETTINGS:
            if plain in settings:
                raise Refused(f"{plain} is given twice")
            settings[plain] = value
        elif plain not in _NEEDS_NO_KEY:
            _add(keys, name, value)
    for name in ("emptyvaluematching", "multiplevaluematching"):
        _boolean(settings, name)  # both are always done
    tags = {tag for level in told for tag in TOLD[level]} | {path[0] for path in keys}
    is_all, named = _fields(fields)
    return Wanted(
        keys=tuple(Key(path=path, value=value) for path, value in keys.items()),
        tags=None if is_all else frozenset(tags | named | {"00080005"}),
        limit=min(MOST, _number(settings, "limit", MOST if above else USUAL)),
        offset=_number(settings, "offset", 0),
        is_fuzzy=_boolean(settings, "fuzzymatching"),
    )


_SETTINGS = frozenset(_KNOWN.split(", ")) - {"includefield"}


def _add(keys: dict[tuple[str, ...], str], name: str, value: str) -> None:
    try:
        path = path_of(name)
    except Refused as why:
        raise Refused(f"a parameter is neither an attribute nor one of {_KNOWN}: {why}") from None
    if vr_of(path[-1]) == "UI":
        # A list of UIDs has commas here, PS3.18 8.3.4.1, and backslashes everywhere else.
        value = value.replace(",", "\\")
        if path in keys and keys[path] != value:
            value = _both(path, keys[path], value)
    elif path in keys:
        raise Refused(f"{spoken(path)} is given twice")
    keys[path] = value


def _both(path: tuple[str, ...], one: str, other: str) -> str:
    """Return the UIDs that are in both lists; that of a path in the URL is one of them."""
    both = [uid for uid in one.split("\\") if uid in other.split("\\")]
    if not both:
        raise Refused(f"{spoken(path)} is given twice, and nothing is in both")
    return "\\".join(both)


def _fields(names: Iterable[str]) -> tuple[bool, frozenset[str]]:
    """Return whether all is to be told, and the attributes that are named."""
    asked = [name.strip() for name in names if name.strip()]
    named = frozenset(path_of(name)[0] for name in asked if name.lower() != "all")
    return any(name.lower() == "all" for name in asked), named


def _number(settings: dict[str, str], name: str, usual: int) -> int:
    said = settings.get(name)
    if said is None:
        return usual
    if not (said.isascii() and said.isdigit() and int(said[:12]) <= _FURTHEST):
        raise Refused(f"{name} is a whole number from 0 on")
    return int(said)


def _boolean(settings: dict[str, str], name: str) -> bool:
    said = settings.get(name, "false").lower()
    if said not in _BOOLEANS:
        raise Refused(f"{name} is true or false")
    return _BOOLEANS[said]
