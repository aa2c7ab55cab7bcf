"""Which language a page speaks."""

from fastapi import Request

LANGUAGES = ("en", "zh")


def language(request: Request) -> str:
    """Return what the address says, or what was chosen in the console, or what the browser likes.

    In this order: `?lang=`, the cookie `language`, `Accept-Language`; else it is English.
    """
    for said in (request.query_params.get("lang", ""), request.cookies.get("language", "")):
        if said in LANGUAGES:
            return said
    liked = [_liked(part) for part in request.headers.get("Accept-Language", "").split(",")]
    spoken = [(weight, name) for weight, name in liked if name in LANGUAGES and weight > 0]
    # Of those with the same weight the first one.
    return max(spoken, key=lambda one: one[0])[1] if spoken else LANGUAGES[0]


def _liked(part: str) -> tuple[float, str]:
    name, _, weight = part.partition(";")
    try:
        q = float(weight.partition("=")[2]) if weight.strip() else 1.0
    except ValueError:
        q = 0.0
    return q, name.strip().lower().partition("-")[0]
