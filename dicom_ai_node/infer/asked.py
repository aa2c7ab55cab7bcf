"""The section `clinical` of `configs/dicom.yaml`: what a model wants to be told of a patient."""

import math

from pydicom.datadict import keyword_dict

from dicom_ai_node.domain.clinical import AskedFact, ReportedAs
from dicom_ai_node.domain.vocabulary import word
from dicom_ai_node.domain.wording import Wording, is_number

COUNTED_AS_YEARS = "PatientAge"
"""The one attribute whose text is a number with a unit, VR AS."""


def clinical_in(w: Wording, documents: tuple[str, ...]) -> tuple[AskedFact, ...]:
    """Return the facts that a model asks for, in the order in which its network takes them.

    `documents` are the inputs of the model that are reports.
    """
    asked = tuple(map(_fact, w.parts("clinical"))) if w.has("clinical") else ()
    if len({one.name for one in asked}) < len(asked):
        w.wrong("clinical", "two have the same name")
    if any(one.reported for one in asked) != bool(documents):
        w.wrong(
            "documents", "name the inputs that are reports, if and only if a fact is `reported`"
        )
    return asked


def _fact(w: Wording) -> AskedFact:
    concept = w.code("concept")
    values = w.part("values").items() if w.has("values") else {}
    if not all(is_number(value) for value in values.values()):
        w.wrong("values", "must be numbers")
        values = {}
    least, most = _range(w)
    found = AskedFact(
        name=w.text("name"),
        concept=concept,
        unit=None if values else w.code("unit"),
        attribute=_attribute(w),
        values={text: float(value) for text, value in values.items()},
        reported=tuple(map(_reported, w.parts("reported"))) if w.has("reported") else (),
        earlier_days=w.number("earlier_days", 0.0),
        least=least,
        most=most,
        mean=w.number("mean"),
        deviation=w.number("deviation"),
    )
    if not found.deviation > 0:
        w.wrong("deviation", "must be above 0")
    if found.earlier_days < 0 or (found.earlier_days and not found.reported):
        w.wrong("earlier_days", "must be above 0, and is for what reports tell")
    if bool(found.attribute) == bool(found.reported):
        w.wrong("", "either an attribute or reports tell it")
    w.no_more()
    return found


def _attribute(w: Wording) -> str:
    if not w.has("attribute"):
        return ""
    keyword = w.text("attribute")
    # Of a patient only what a route may see, too: nothing that names anyone.
    if keyword not in keyword_dict or word(keyword) is None:
        w.wrong("attribute", "is no PS3.6 keyword, or one that names a patient")
    return keyword


def _range(w: Wording) -> tuple[float, float]:
    if not w.has("range"):
        return -math.inf, math.inf
    least, most = w.numbers("range", (2,), above=-1e9)
    if least >= most:
        w.wrong("range", "must be [least, most]")
    return least, most


def _reported(w: Wording) -> ReportedAs:
    found = ReportedAs(
        concept=w.code("concept"), unit=w.text("unit"), factor=w.number("factor", 1.0)
    )
    w.no_more()
    return found
