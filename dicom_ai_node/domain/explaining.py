"""How a model explains its answers, as its folder says it: `explain: {method: occlusion}`."""

from dataclasses import dataclass

from dicom_ai_node.domain.pictures import Explained
from dicom_ai_node.domain.wording import Wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Explain:
    """By which method, and for Grad-CAM by which module of the network."""

    method: Explained
    layer: str = ""


def explain_of(w: Wording) -> Explain | None:
    """Return what `explain` says, or `explain_layer`, its short form for Grad-CAM.

    `None` if the model says neither: then its answers are not explained.
    """
    if w.has("explain_layer"):
        if w.has("explain"):
            w.wrong("explain_layer", "stands beside explain; take one of them")
        return Explain(method=Explained.GRAD_CAM, layer=w.text("explain_layer"))
    if not w.has("explain"):
        return None
    part = w.part("explain")
    said = part.text("method")
    if said not in set(Explained):
        part.wrong("method", f"must be one of {', '.join(Explained)}")
        return None
    method, layer = Explained(said), ""
    if method is Explained.GRAD_CAM:
        layer = part.text("layer")
    part.no_more()
    return Explain(method=method, layer=layer)
