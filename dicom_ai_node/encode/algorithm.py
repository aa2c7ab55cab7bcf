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
        "largest part only": "yes" if model.largest_only else "no",
        **model.parameters,
    }
    return sr.AlgorithmIdentification(
        name=model.name,
        version=model.version,
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=model.manufacturer or None,
        parameters=[f"{name}={value}" for name, value in parameters.items()],
    )
