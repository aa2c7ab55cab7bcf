"""Which series of a study are the inputs of a route?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dicom_ai_node.domain.rule import Input, Route
from dicom_ai_node.domain.study import Series
from dicom_ai_node.domain.vocabulary import Value
from dicom_ai_node.route.expression import objection
from dicom_ai_node.route.facts import values_of
from dicom_ai_node.route.match import objections


@dataclass(frozen=True, slots=True)
class Described:
    """A series with everything that a route can ask about it."""

    series: Series
    values: Mapping[str, Value]

    @property
    def rank(self) -> tuple[int, float, str]:
        """Sort key: most instances first, then the newest, then by UID."""
        newest = -self.series.last_received.timestamp()
        return -len(self.series.instances), newest, self.series.series_instance_uid


def describe(series: Series) -> Described:
    """Return `series` with its attributes and facts."""
    return Described(series, values_of(series))


def misfits(wanted: Input, candidate: Described) -> list[str]:
    """Return why `candidate` cannot be this input; an empty list means that it can."""
    reasons = objections(wanted.when, candidate.values)
    if wanted.expression is not None:
        reasons += filter(None, [objection(wanted.expression, candidate.values)])
    return reasons


def shared(route: Route, candidate: Described) -> tuple[str, ...] | None:
    """Return the values that all inputs must share, or `None` if one of them is absent."""
    values = tuple(str(candidate.values.get(name, "")).strip() for name in route.same)
    return values if all(values) else None


def candidates(route: Route, described: Sequence[Described]) -> dict[str, list[Described]]:
    """Return the series that fit each input, best first."""
    return {
        wanted.name: sorted(
            (one for one in described if not misfits(wanted, one)), key=lambda one: one.rank
        )
        for wanted in route.inputs
    }


def choose(fitting: Mapping[str, Sequence[Described]]) -> dict[str, Described] | None:
    """Return one series per input, no series twice, or `None` if that is impossible.

    The first input gets the best series that leaves something for the others, then the second.
    """
    return next(_choices(list(fitting.items()), frozenset()), None)


def _choices(
    inputs: Sequence[tuple[str, Sequence[Described]]], taken: frozenset[str]
) -> Iterator[dict[str, Described]]:
    if not inputs:
        yield {}
        return
    (name, fitting), *others = inputs
    for one in fitting:
        if one.series.series_instance_uid not in taken:
            for rest in _choices(others, taken | {one.series.series_instance_uid}):
                yield {name: one, **rest}
