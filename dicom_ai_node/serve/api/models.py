"""Models: what each is, how well it did, and where it is used."""

from fastapi import APIRouter, HTTPException

from dicom_ai_node.serve.api.shape import AName, Shape, refusals
from dicom_ai_node.serve.console.cards import Score, scores
from dicom_ai_node.serve.console.desk import Desk, ModelShown
from dicom_ai_node.serve.console.models import model_called, used_by

_NO_MODEL = "there is no model of that name"


class ScoreTold(Shape):
    """A score of a model."""

    name: str
    """What was measured."""
    value: float
    """How much."""
    low: float | None
    """The lower end of its interval."""
    high: float | None
    """The upper end of its interval."""
    cases: int | None
    """On how many cases."""


class ModelTold(Shape):
    """A model; `mistake` says why where it cannot be used, and then its facts are null."""

    name: str
    """What routes call it."""
    is_shipped: bool
    """Whether it came with this program."""
    mistake: str
    """Why it cannot be used; empty if it can."""
    used_by: list[str]
    """The routes that run it."""
    title: str | None
    """What it does, in words."""
    version: str | None
    """Its version."""
    digest: str | None
    """The sha256 of the list of its files."""
    kind: str | None
    """The kind of task that runs it."""
    manufacturer: str | None
    """Who has made it."""
    modality: list[str] | None
    """The modalities that it looks at."""
    finds: list[str] | None
    """What it outlines, finds or tells apart."""


class ModelsTold(Shape):
    """The models that this node knows, by name."""

    models: list[ModelTold]
    """All of them."""


class ModelFull(ModelTold):
    """A model with its scores."""

    scored_on: str
    """The part of its data that the scores are of; empty without scores."""
    scores: list[ScoreTold]
    """How well it did there."""


def add_models(router: APIRouter, desk: Desk) -> None:
    """Add the models."""

    @router.get("/models")
    def models() -> ModelsTold:
        """List the models."""
        return ModelsTold(models=[_told(desk, one) for one in desk.models()])

    @router.get("/models/{name}", responses=refusals(s404=_NO_MODEL))
    def model(name: AName) -> ModelFull:
        """Return one model with its scores."""
        found = model_called(desk, name)
        if found is None:
            raise HTTPException(404, _NO_MODEL)
        part, numbers = scores(found.folder)
        return ModelFull(
            **dict(_told(desk, found)), scored_on=part, scores=[_score(one) for one in numbers]
        )


def _told(desk: Desk, model: ModelShown) -> ModelTold:
    facts = model.facts
    return ModelTold(
        name=model.name,
        is_shipped=model.is_shipped,
        mistake=model.mistake,
        used_by=used_by(desk, model),
        title=None if facts is None else facts.title,
        version=None if facts is None else facts.version,
        digest=None if facts is None else facts.digest,
        kind=None if facts is None else facts.kind,
        manufacturer=None if facts is None else facts.manufacturer,
        modality=None if facts is None else list(facts.modality),
        finds=None
        if facts is None
        else [*(one.label for one in facts.segments), *(one.label for one in facts.classes)],
    )


def _score(score: Score) -> ScoreTold:
    return ScoreTold(
        name=score.name, value=score.value, low=score.low, high=score.high, cases=score.cases
    )
