"""What does one route say to one complete series, given the rest of its study?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dicom_ai_node.domain.model import REPORT, SEGMENTATION, ModelFacts
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.study import Series
from dicom_ai_node.route.inputs import Described, candidates, choose, misfits, shared
from dicom_ai_node.route.match import objections


class Answer(StrEnum):
    """What a route says to a series."""

    TAKES = "takes it"
    WAITS = "takes it and waits"
    REFUSES = "does not take it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer of one route, with its reasons as sentences.

    `chosen` maps the names of the inputs to their series and is empty unless `answer` is TAKES.
    """

    route: Route
    answer: Answer
    reasons: tuple[str, ...]
    chosen: Mapping[str, Series] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.route.name} {self.answer}: {'; '.join(self.reasons)}"


def decide(
    route: Route,
    completed: Described,
    others: Sequence[Described],
    models: Mapping[str, ModelFacts],
) -> Decision:
    """Return what `route` says to `completed`; `others` are the other series of its study."""
    objected = _refusals(route, completed)
    if len(objected) == len(route.inputs):
        return _refusal(route, *_as_inputs(route, objected))
    model = models.get(route.model)
    if model is None:
        return _refusal(route, f"the model {route.model} is not installed")
    declined = declines(route, model, completed)
    if declined:
        return _refusal(route, declined)
    if len(route.inputs) == 1:
        chosen = {route.inputs[0].name: completed}
        many = len(completed.series.instances)
        counted = "1 instance" if many == 1 else f"{many} instances"
        reasons = [counted, *_warnings(model, chosen)]
        return _taken(route, chosen, reasons)
    return _together(route, completed, others, model)


def _refusals(route: Route, completed: Described) -> dict[str, list[str]]:
    """Return the reasons against `completed` by input, for inputs that it does not fit."""
    reasons = {wanted.name: misfits(wanted, completed) for wanted in route.inputs}
    return {name: why for name, why in reasons.items() if why}


def _as_inputs(route: Route, objected: Mapping[str, Sequence[str]]) -> list[str]:
    if len(route.inputs) == 1:
        return [reason for reasons in objected.values() for reason in reasons]
    return [f"as {name}: {', '.join(reasons)}" for name, reasons in objected.items()]


def declines(route: Route, model: ModelFacts, one: Described) -> str:
    """Return why `model` cannot take `one` at all from `route`; empty if it can."""
    modality = str(one.values.get("Modality", "absent"))
    is_outlined = any(wanted.name == model.outline for wanted in route.inputs)
    if modality in (*model.modality, *(SEGMENTATION if is_outlined else ())):
        return ""
    wanted = " or ".join(model.modality)
    return f"the model {model.name} does not take it: Modality is {modality}, wanted {wanted}"


def fitting_inputs(
    route: Route, described: Sequence[Described], model: ModelFacts
) -> dict[str, list[Described]]:
    """Return the series that fit each input of the route and that the model takes as this input.

    A document of which there is none is left out: no job waits for it.
    """
    found = {
        name: [one for one in fitting if one.values.get("Modality") in model.input(name).modality]
        for name, fitting in candidates(route, described).items()
    }
    return {name: fit for name, fit in found.items() if fit or name not in model.documents}


def is_document(model: ModelFacts, one: Described) -> bool:
    """Return whether a series can only be a document to `model`, which has no place or frame."""
    return bool(model.documents) and one.values.get("Modality") in REPORT


def _together(
    route: Route, completed: Described, others: Sequence[Described], model: ModelFacts
) -> Decision:
    """Decide for a route with several inputs, one of which `completed` fits."""
    if is_document(model, completed):
        return _beside_images(route, completed, others, model)
    same = shared(route, completed)
    if same is None:
        return _refusal(route, f"{' and '.join(route.same)} must be the same, and here is none")
    related = [
        one for one in (completed, *others) if is_document(model, one) or shared(route, one) == same
    ]
    fitting = fitting_inputs(route, related, model)
    missing = [name for name, series in fitting.items() if not series]
    if missing:
        return _waiting(route, [_waits_for(route, name, others) for name in missing])
    coming = [
        name
        for name, series in fitting.items()
        if not all(one.series.is_complete for one in series)
    ]
    if coming:
        # A better series may still be on its way; when it is complete, it brings us here again.
        return _waiting(route, [f"until all of {name} has arrived" for name in coming])
    chosen = choose(fitting)
    if chosen is None:
        return _waiting(route, ["for a series of its own for every input"])
    reasons = [_picked(name, one, len(fitting[name])) for name, one in chosen.items()]
    return _taken(route, chosen, [*reasons, *_warnings(model, chosen)])


def _beside_images(
    route: Route, document: Described, others: Sequence[Described], model: ModelFacts
) -> Decision:
    """Decide for a document that has just arrived: it is told if the images are there already.

    It is no reason to wait for images: when they come, it is here.
    """
    for one in others:
        if one.series.is_complete and not is_document(model, one):
            rest = [document, *(other for other in others if other is not one)]
            decision = _together(route, one, rest, model)
            if decision.answer is Answer.TAKES:
                return decision
    return _refusal(route, "it is told beside images that are not here yet")


def _waits_for(route: Route, name: str, others: Sequence[Described]) -> str:
    """Say which input is missing, and whether a series would fit but for `same`."""
    waits = f"for {name}, at most {route.wait_seconds:g} seconds"
    if candidates(route, others)[name]:
        return f"{waits} (one is there, but its {' or '.join(route.same)} is another)"
    return waits


def _picked(name: str, one: Described, of: int) -> str:
    picked = f"{name} with {len(one.series.instances)} instances"
    if of == 1:
        return picked
    return f"{picked}, of {of} series that fit: most instances, then newest"


def _warnings(model: ModelFacts, chosen: Mapping[str, Described]) -> list[str]:
    """Say what the model's own requirements object to; the worker will reject it by code."""
    return [
        f"the model {model.name} will probably reject {name}: {reason}"
        for name, one in chosen.items()
        for reason in objections(model.input(name).requires, one.values)
    ]


def _taken(route: Route, chosen: Mapping[str, Described], reasons: Sequence[str]) -> Decision:
    return Decision(
        route=route,
        answer=Answer.TAKES,
        reasons=tuple(reasons),
        chosen={name: one.series for name, one in chosen.items()},
    )


def _waiting(route: Route, reasons: Sequence[str]) -> Decision:
    return Decision(route=route, answer=Answer.WAITS, reasons=tuple(reasons))


def _refusal(route: Route, *reasons: str) -> Decision:
    return Decision(route=route, answer=Answer.REFUSES, reasons=reasons)
