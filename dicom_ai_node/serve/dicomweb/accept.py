"""Which representation an asker gets: the media types and transfer syntaxes of PS3.18 8.7.

An `Offer` is a representation that we can give. What is asked for are media ranges: those of the
`accept` query parameter count first, those of the Accept header where none of them fits.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fastapi import HTTPException, Request

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
"""The transfer syntax of whoever names none, PS3.18 8.7.3.5.2."""

MULTIPART = "multipart/related"
LONGEST = 8192
"""Characters of media ranges that are looked at; browsers send some hundred."""

_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]*)\s*')
_TYPE = re.compile(r"\s*([!#$%&'*+.^_`|~\w-]+/[!#$%&'*+.^_`|~\w-]+)\s*")
_ANY = "*/*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A representation that can be given.

    Attributes
    ----------
    transfer_syntax_uid
        Empty where the media type has none.
    is_default
        Whether who names the media type and no transfer syntax means this.
    is_for_anybody
        Whether who takes anything (`*/*`) gets this.
    """

    media_type: str
    transfer_syntax_uid: str = ""
    is_multipart: bool = False
    is_default: bool = True
    is_for_anybody: bool = True

    @property
    def content_type(self) -> str:
        """Return the Content-Type of the thing, or of each part."""
        if not self.transfer_syntax_uid:
            return self.media_type
        return f"{self.media_type}; transfer-syntax={self.transfer_syntax_uid}"

    def __str__(self) -> str:
        """Return it as one may ask for it."""
        syntax = f"; transfer-syntax={self.transfer_syntax_uid}" if self.transfer_syntax_uid else ""
        if self.is_multipart:
            return f'{MULTIPART}; type="{self.media_type}"{syntax}'
        return f"{self.media_type}{syntax}"


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One thing that an asker takes; `part` is what a multipart message consists of."""

    media_type: str
    part: str
    transfer_syntax_uid: str
    quality: float

    def fit(self, offer: Offer) -> int:
        """Return how exactly this range names the offer, 0 if it does not."""
        wanted = self.media_type
        if wanted in (MULTIPART, "multipart/*"):
            if not offer.is_multipart:
                return 0
            wanted = self.part or _ANY
        elif offer.is_multipart and wanted != _ANY:
            return 0
        if wanted == _ANY:
            return self._fit_of_syntax(offer, is_meant=offer.is_for_anybody)
        if wanted not in (offer.media_type, f"{offer.media_type.partition('/')[0]}/*"):
            return 0
        fit = self._fit_of_syntax(offer, is_meant=offer.is_default)
        return fit + 3 * (wanted == offer.media_type) if fit else 0

    def _fit_of_syntax(self, offer: Offer, *, is_meant: bool) -> int:
        wanted = self.transfer_syntax_uid if offer.transfer_syntax_uid else ""
        match wanted:
            case "":
                return 1 if is_meant else 0
            case "*":
                return 2
            case named:
                return 3 if named == offer.transfer_syntax_uid else 0


@lru_cache(maxsize=256)
def media_ranges(text: str) -> tuple[MediaRange, ...]:
    """Return the ranges of an Accept header; what is none is passed over.

    Programs say the same with each of thousands of requests.
    """
    return tuple(_ranges(text))


def _ranges(text: str) -> Iterator[MediaRange]:
    for one in _split(text):
        found = _TYPE.match(one)
        if not found:
            continue
        parameters = {
            name.lower(): value.strip('"') for name, value in _PARAMETER.findall(one[found.end() :])
        }
        yield MediaRange(
            found[1].lower(),
            parameters.get("type", "").lower(),
            parameters.get("transfer-syntax", ""),
            _quality(parameters.get("q", "1")),
        )


def chosen(request: Request, offers: Sequence[Offer]) -> Offer:
    """Return what an asker gets of what is offered, the better of equal ones first.

    Raises
    ------
    HTTPException
        406, with what there is, if it takes none of them.
    """
    found = best(asked(request), offers)
    if found is None:
        raise not_acceptable(offers)
    return found


def asked(request: Request) -> Sequence[Sequence[MediaRange]]:
    """Return the ranges that count, those that count only if no other fits last."""
    # A plus sign in a query is a space to whoever forgets to escape it.
    queries = ",".join(request.query_params.getlist("accept")).strip()
    by_query = media_ranges(re.sub(r"(?<=\w) (?=\w)", "+", queries)[:LONGEST])
    header = ",".join(request.headers.getlist("accept")).strip()[:LONGEST]
    by_header = media_ranges(header)
    if not header and not queries:
        return [[MediaRange(_ANY, "", "", 1.0)]]
    return [by_query, by_header]


def best(asked_for: Sequence[Sequence[MediaRange]], offers: Sequence[Offer]) -> Offer | None:
    """Return the offer that is liked best, `None` if none is taken."""
    for ranges in asked_for:
        liked = [(_liking(offer, ranges), -place) for place, offer in enumerate(offers)]
        most, place = max(liked, default=(0.0, 0))
        if most > 0:
            return offers[-place]
    return None


def not_acceptable(offers: Sequence[Offer]) -> HTTPException:
    """Return the refusal, which says what there is."""
    if not offers:
        return HTTPException(406, "there is no such representation of this")
    return HTTPException(406, f"offered is: {', '.join(dict.fromkeys(map(str, offers)))}")


def _liking(offer: Offer, ranges: Sequence[MediaRange]) -> float:
    """Return the quality of the range that names the offer most exactly, RFC 9110 12.5.1."""
    fits = [(one.fit(offer), one.quality) for one in ranges]
    fit, quality = max(fits, default=(0, 0.0))
    return quality if fit else 0.0


def _split(text: str) -> list[str]:
    """Split at commas that do not stand in quotes."""
    return re.findall(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+', text)


def _quality(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text)))
    except ValueError:
        return 0.0
