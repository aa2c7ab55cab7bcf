"""Which algorithm made a finding, as a report says it, PS3.16 TID 4019."""

from collections.abc import Mapping
from typing import Any

from highdicom import sr
from pydicom.sr.codedict import codes

from dicom_ai_node.domain.model import ModelFacts


def algorithm(model: ModelFacts) -> sr.AlgorithmIdentification:
    """Return TID 4019: the model, its weights and what was done to its input."""
    steps = model.intensity
    grid = model.grid.spacing_mm or model.grid.size_px
    unit = "mm" if model.grid.spacing_mm else "pixels"
    parameters = {
        "model digest": model.digest,
        "intensity": f"{steps.scaling} {steps.low:g} {steps.high:g}",
        "grid": " x ".join(f"{size:g}" for size in grid) + f" {unit}" if grid else "the source",
        **_told(model.settings),
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


def _told(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of the kind in words: operating point=label Pneumonia, threshold 0.4."""
    return {name.replace("_", " "): _value(value) for name, value in settings.items()}


def _value(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case dict():
            return ", ".join(f"{name} {_value(inner)}" for name, inner in value.items())
        case list():
            return " ".join(map(_value, value))
        case _:
            return str(value)
