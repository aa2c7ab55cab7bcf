"""Models: what each is, how well it did, where it is used, and its card."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import FileResponse, HTMLResponse

from dicom_ai_node.serve.console.cards import card, pictures_in, scores
from dicom_ai_node.serve.console.desk import Desk, ModelShown
from dicom_ai_node.serve.console.page import HEADERS, Pages

_NOT_THERE = 404
AName = Annotated[str, Path(max_length=200)]


def add_models(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the pages of the models."""

    @router.get("/models")
    def models(request: Request) -> HTMLResponse:
        """List the models, those in use first."""
        found = sorted(desk.models(), key=lambda one: (not used_by(desk, one), one.name))
        facts = {
            "models": [(one, used_by(desk, one), scores(one.folder)[1][:1]) for one in found],
            "looks_alike": "" if desk.alike is None else desk.alike.model,
        }
        return pages.show(request, "models", facts)

    @router.get("/models/{name}")
    def model(request: Request, name: AName) -> HTMLResponse:
        """Show one model with its scores and its card."""
        found = _called(desk, name)
        part, numbers = scores(found.folder)
        facts = {
            "model": found,
            "used_by": used_by(desk, found),
            "part": part,
            "scores": numbers,
            "card": card(found.folder, f"/models/{name}/pictures"),
        }
        return pages.show(request, "model", facts)

    @router.get("/models/{name}/pictures/{picture}")
    def picture(name: AName, picture: AName) -> FileResponse:
        """Return a picture that stands beside the card."""
        found = _called(desk, name)
        if picture not in pictures_in(found.folder):
            raise HTTPException(_NOT_THERE, "missing.picture")
        return FileResponse(found.folder / "docs" / picture, headers=dict(HEADERS))


def used_by(desk: Desk, model: ModelShown) -> list[str]:
    """Return the routes that run a model."""
    return [route.name for route in desk.routes if route.model == model.name]


def _called(desk: Desk, name: str) -> ModelShown:
    found = model_called(desk, name)
    if found is None:
        raise HTTPException(_NOT_THERE, "missing.model")
    return found


def model_called(desk: Desk, name: str) -> ModelShown | None:
    """Return the model of this name."""
    return next((one for one in desk.models() if one.name == name), None)
