"""Whether an input is fit to be judged by a model, as far as somebody has looked."""

from dataclasses import dataclass

from pydicom.sr.coding import Code

from dicom_ai_node.domain.image import SourceFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityCheck:
    """One thing that was asked about an input; from `threshold` on the answer is yes.

    `concept` names the score in a report, `flag` the answer; `says` is the answer in words that
    follow "the input". The score has no unit and is the higher the more speaks for it. `of` is the
    name of the input where there are several.
    """

    concept: Code
    flag: Code
    says: str
    score: float
    threshold: float
    of: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the input is reported for it."""
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuality:
    """Whether an input is fit to be judged by the model, as far as was looked.

    Attributes
    ----------
    checks
        What the guard of the model has measured; none if it was not asked.
    sources
        What was measured.
    is_purified
        Whether the model saw a smoothed copy because of them.
    looked_at
        Which parts of the input were judged, or an empty text for all of it.
    declined
        Why the model did not look at all, or an empty text if it did.
    """

    checks: tuple[QualityCheck, ...] = ()
    sources: tuple[SourceFrame, ...] = ()
    is_purified: bool = False
    looked_at: str = ""
    declined: str = ""

    @property
    def is_flagged(self) -> bool:
        """Whether any check says yes."""
        return any(check.is_over for check in self.checks)
