"""Why does a series go where it goes? For people, and for trying a new table on the past."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.study import Series
from dicom_ai_node.domain.uids import SeriesInstanceUID
from dicom_ai_node.domain.vocabulary import Value
from dicom_ai_node.route.decide import Answer, Decision, decide
from dicom_ai_node.route.facts import facts
from dicom_ai_node.route.inputs import describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One series: its facts, and what every route says to it, in the order of the routes."""

    series_instance_uid: SeriesInstanceUID
    attributes: Mapping[str, str]
    facts: Mapping[str, Value]
    decisions: tuple[Decision, ...]

    @property
    def taken_by(self) -> tuple[str, ...]:
        """The routes that make a job of it, or would if their other inputs were there."""
        return tuple(one.route.name for one in self.decisions if one.answer is not Answer.REFUSES)

    @property
    def refusals(self) -> Mapping[str, tuple[str, ...]]:
        """The reasons of every other route, by its name."""
        return {
            one.route.name: one.reasons
            for one in self.decisions
            if one.answer is Answer.REFUSES
        }  # fmt: skip


def explain(
    series: Iterable[Series], routes: Sequence[Route], models: Mapping[str, ModelFacts]
) -> list[Explanation]:
    """Return one explanation per series, as if all of them had arrived in full.

    For the series of a study give `study.series`; series of several studies may be mixed.
    """
    described = [describe(replace(one, is_complete=True)) for one in series]
    return [
        Explanation(
            series_instance_uid=it.series.series_instance_uid,
            attributes=it.series.attributes,
            facts=facts(it.series),
            decisions=tuple(
                decide(
                    route,
                    it,
                    [
                        one
                        for one in described
                        if one is not it
                        and one.series.study_instance_uid == it.series.study_instance_uid
                    ],
                    models,
                )
                for route in routes
            ),
        )
        for it in described
    ]
