"""The section `network` of `configs/dicom.yaml`: in which format it comes, how to ask it."""

from dicom_ai_node.domain.model import Gives, NetworkFacts
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.infer.formats import FORMATS
from dicom_ai_node.infer.formats.drafts import is_axes


def network_in(w: Wording, axes: int) -> NetworkFacts:
    """Return the section `network`; its mistakes are noted in `w`.

    Parameters
    ----------
    axes
        How many the model's grid has.
    """
    if not w.has("network"):
        return NetworkFacts()
    part = w.part("network")
    found = NetworkFacts(
        format=part.text("format", "bundle"),
        axes=part.text("axes") if part.has("axes") else None,
        gives=_gives(part),
        mirror=part.yes("mirror"),
    )
    if found.format not in FORMATS and found.format != "?":
        part.wrong("format", f"must be one of {', '.join(FORMATS)}")
    if found.axes is not None and not is_axes(found.axes, axes):
        example = "SPL or RAS" if axes == 3 else "PL or LP"  # noqa: PLR2004 - of a volume
        part.wrong("axes", f"must be {axes} letters such as {example}")
    if found.mirror and found.format != "nnunet":
        part.wrong("mirror", "is nothing that other formats than nnunet have")
    part.no_more()
    return found


def _gives(part: Wording) -> Gives:
    said = part.text("gives", Gives.LOGITS)
    for one in Gives:
        if one.value == said:
            return one
    part.wrong("gives", f"must be one of {', '.join(Gives)}")
    return Gives.LOGITS
