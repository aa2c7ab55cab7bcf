"""Checks that look at more than one value, or at a value together with its key.

They read what the file says and not the models, so that they speak even when something else is
wrong: the operator sees every mistake at once.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from dicom_ai_node.config import words
from dicom_ai_node.config.routes import NEEDS_WHEN
from dicom_ai_node.config.tree import Location
from dicom_ai_node.domain.orders import KEY_OBJECTS
from dicom_ai_node.domain.rule import SIMILAR
from dicom_ai_node.domain.vocabulary import Kind, Word, word

Found: TypeAlias = Iterator[tuple[Location, str]]

MOST_INPUTS = 4
_TEXTUAL = frozenset({"contains", "matches"})


def mistakes(data: Mapping[str, Any]) -> Found:
    """Yield the place and the sentence of every mistake in `routes`."""
    routes = data.get("routes")
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        if isinstance(route, dict):
            if "similar" in data and route.get("name") == SIMILAR:
                yield ("routes", index, "name"), "is what the section `similar` calls its own jobs"
            yield from _shape(route, ("routes", index))
            yield from _conditions(route.get("when"), ("routes", index, "when"))
            yield from _expression(route.get("if"), ("routes", index, "if"))
            yield from _inputs(route.get("inputs"), ("routes", index, "inputs"))
            yield from _outputs(route, ("routes", index, "write"))
            for key in ("report_declined", "compare_earlier"):
                yield from _report(route, ("routes", index, key))
            for key in ("write", "to", "same"):
                yield from _twice(route.get(key), ("routes", index, key))


def _shape(route: Mapping[str, Any], path: Location) -> Found:
    if route.get("when") is None and route.get("inputs") is None:
        yield path, NEEDS_WHEN
    if "when" in route and "inputs" in route:
        yield (*path, "inputs"), "stands beside `when`; take one of them"
    if "inputs" in route and "if" in route:
        yield (*path, "if"), "belongs to one of the inputs, beside its conditions"
    if "inputs" not in route and "same" in route:
        yield (*path, "same"), "needs several `inputs`"


def _outputs(route: Mapping[str, Any], path: Location) -> Found:
    write = route.get("write")
    kind = route.get("run")
    if kind in {"classify", "fuse"} and isinstance(write, list):
        for index, name in enumerate(write):
            if str(name).startswith(("segmentation", "rt_")):
                yield (*path, index), f"`run: {kind}` makes no {name}"
    if kind != "retrieve" and isinstance(write, list) and KEY_OBJECTS in write:
        where = (*path, write.index(KEY_OBJECTS))
        yield where, f"only `run: retrieve` makes {KEY_OBJECTS}"


def _report(route: Mapping[str, Any], path: Location) -> Found:
    """Check that who wants to be told, or compared with the next time, writes a report."""
    write = route.get("write")
    asked = [write] if isinstance(write, str) else write
    is_wanted = route.get(str(path[-1])) is True
    if is_wanted and isinstance(asked, list) and "structured_report" not in asked:
        yield path, "needs structured_report in `write`"


def _inputs(inputs: Any, path: Location) -> Found:  # noqa: ANN401 - anything can stand in a YAML file
    if not isinstance(inputs, dict):
        return
    if not 1 <= len(inputs) <= MOST_INPUTS:
        yield path, f"must name between 1 and {MOST_INPUTS} inputs, not {len(inputs)}"
    for name, when in inputs.items():
        yield from _conditions(when, (*path, name))
        if isinstance(when, dict) and "if" in when:
            if not isinstance(when["if"], str):
                yield (*path, name, "if"), "must be a CEL expression"
            yield from _expression(when["if"], (*path, name, "if"))


def _expression(said: Any, path: Location) -> Found:  # noqa: ANN401
    if isinstance(said, str):
        yield from ((path, mistake) for mistake in words.expression_mistakes(said))


def _conditions(when: Any, path: Location) -> Found:  # noqa: ANN401
    if isinstance(when, dict):
        for key, condition in when.items():
            known = word(key)
            if known is not None:
                yield from _condition(known, condition, (*path, key))


def _condition(known: Word, said: Any, path: Location) -> Found:  # noqa: ANN401
    """Check that a condition asks for something that its word can say."""
    match said:
        case dict():
            yield from _entry(known, said, path)
        case list():
            for index, value in enumerate(said):
                yield from _value(known, value, (*path, index))
        case _:
            yield from _value(known, said, path)


def _entry(known: Word, said: Mapping[str, Any], path: Location) -> Found:
    if "not" in said:
        yield from _condition(known, said["not"], (*path, "not"))
    if "one_of" in said:
        yield from _condition(known, said["one_of"], (*path, "one_of"))
    for key in said:
        if key in {"min", "max"} and known.kind is Kind.YES_NO:
            yield (*path, key), f"{known.name} is {known.kind}"
        if key in _TEXTUAL and known.kind is not Kind.TEXT:
            yield (*path, key), f"{known.name} is {known.kind}"


def _value(known: Word, said: Any, path: Location) -> Found:  # noqa: ANN401
    if not isinstance(said, str | int | float | bool):
        return
    text = str(said).upper()
    if known.values and text not in known.values:
        hint = words.did_you_mean(text, known.values) or f"; it is {' or '.join(known.values)}"
        yield path, f"{known.name} is never {said}{hint}"
    if known.kind in {Kind.WHOLE, Kind.NUMBER} and not _is_number(said):
        yield path, f"{known.name} is {known.kind} and never {said}"


def _is_number(said: Any) -> bool:  # noqa: ANN401
    try:
        float(said)
    except ValueError:
        return False
    return not isinstance(said, bool)


def _twice(said: Any, path: Location) -> Found:  # noqa: ANN401
    if isinstance(said, list):
        for index, value in enumerate(said):
            if isinstance(value, str) and value in said[:index]:
                yield (*path, index), f"{value} is named twice"
