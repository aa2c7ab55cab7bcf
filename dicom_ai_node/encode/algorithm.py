"""Which algorithm made a finding, as a report says it, PS3.16 TID 4019."""

from highdicom import sr
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.model import ModelFacts


def algorithm(model: ModelFacts) -> sr.AlgorithmIdentification:
    """Return TID 4019: the model, its weights and what was done to its input."""
    steps = model.intensity
    grid = model.grid.spacing_mm or model.grid.size_px or ()
    unit = "mm" if model.grid.spacing_mm else "pixels"
    parameters = {
        "model digest": model.digest,
        "intensity": f"{steps.scaling} {steps.low:g} {steps.high:g}",
        "grid": " x ".join(f"{size:g}" for size in grid) + f" {unit}",
        **_of_kind(model),
    }
    # What a card says freely comes after what is computed with, and never in its place.
    parameters = {**parameters, **model.parameters, **parameters}
    return sr.AlgorithmIdentification(
        name=model.name,
        version=model.version,
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=model.manufacturer or None,
        parameters=[f"{name}={value}" for name, value in parameters.items()],
    )


def _of_kind(model: ModelFacts) -> dict[str, str]:
    if not model.classes:
        return {"largest part only": "yes" if model.largest_only else "no"}
    point = model.operating_point
    return {
        "temperature": f"{model.temperature:g}",
        "threshold": "most probable class"
        if point is None
        else f"{point.label} from {100 * point.threshold:g} %",
        "explained by": model.explain_layer or "nothing",
    }
