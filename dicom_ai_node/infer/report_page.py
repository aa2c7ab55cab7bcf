"""A structured report as a page of HTML, PS3.3 A.35: what it says, in the order of saying it.

Every word of it comes from elsewhere and is escaped; the page loads nothing and runs nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from html import escape
from types import MappingProxyType
from typing import Any, BinaryIO, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_ai_node.domain.showing import NotShowable

MAX_DEPTH: Final = 32
MOST_ITEMS: Final = 20_000
"""A report with more content items than this ends with a sentence that says so."""

_STYLE: Final = (
    "body{font:16px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;"
    "color:#1b1f24;background:#fff}h1{font-size:1.5rem}dt,b{font-weight:600}"
    "ul{padding-left:1.2rem}li{margin:.15rem 0;overflow-wrap:anywhere}table{border-spacing:0}"
    "th{text-align:left;padding-right:1.5rem;font-weight:600}"
)
_HEADER: Final = (
    ("Patient", "PatientName"), ("Patient ID", "PatientID"), ("Born", "PatientBirthDate"),
    ("Study", "StudyDescription"), ("Date", "ContentDate"), ("Completed", "CompletionFlag"),
    ("Verified", "VerificationFlag"),
)  # fmt: skip


def write_page(file: BinaryIO, made: BinaryIO) -> None:
    """Write the page of a report.

    Raises
    ------
    NotShowable
        If it is no report.
    """
    report = dcmread(file)
    if "ContentSequence" not in report and "ValueType" not in report:
        raise NotShowable("this is no report")
    made.writelines(line.encode() + b"\n" for line in _page(report))


def _page(report: Dataset) -> Iterator[str]:
    title = escape(_meaning(report, "ConceptNameCodeSequence") or "Report")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{title}</h1><table>"
    for name, keyword in _HEADER:
        if report.get(keyword):
            yield f"<tr><th>{name}</th><td>{escape(str(report.get(keyword)))}</td></tr>"
    yield "</table>"
    yield from _items(report, 0, _Left(MOST_ITEMS))
    yield "</body></html>"


class _Left:
    """How many items may still be shown."""

    def __init__(self, count: int) -> None:
        self.count = count


def _items(parent: Dataset, depth: int, left: _Left) -> Iterator[str]:
    items = parent.get("ContentSequence") or ()
    if not items:
        return
    if depth > MAX_DEPTH:
        yield "<p>Deeper levels are not shown.</p>"
        return
    yield "<ul>"
    for item in items:
        if left.count == 0:
            yield "<li>The rest is not shown.</li>"
            break
        left.count -= 1
        name = escape(_meaning(item, "ConceptNameCodeSequence"))
        value = escape(_value(item))
        yield f"<li>{f'<b>{name}</b>' if name else ''}{': ' if name and value else ''}{value}"
        yield from _items(item, depth + 1, left)
        yield "</li>"
    yield "</ul>"


def _value(item: Dataset) -> str:
    read = _VALUES.get(str(item.get("ValueType")))
    return read(item) if read else ""


def _meaning(item: Dataset, keyword: str) -> str:
    codes = item.get(keyword) or ()
    return str(codes[0].get("CodeMeaning") or "") if codes else ""


def _number(item: Dataset) -> str:
    measured = item.get("MeasuredValueSequence") or ()
    if not measured:
        return _meaning(item, "NumericValueQualifierCodeSequence")
    units = measured[0].get("MeasurementUnitsCodeSequence") or ()
    unit = str(units[0].get("CodeValue") or "") if units else ""
    return f"{measured[0].get('NumericValue')} {'' if unit == '1' else unit}".strip()


def _object(item: Dataset) -> str:
    found = item.get("ReferencedSOPSequence") or ()
    if not found:
        return ""
    kind = UID(str(found[0].get("ReferencedSOPClassUID") or "")).name
    frames = found[0].get("ReferencedFrameNumber")
    frame = f", frame {frames}" if frames else ""
    return f"{kind}{frame}, {found[0].get('ReferencedSOPInstanceUID')}"


def _shape(item: Dataset) -> str:
    data = item.get("GraphicData") or ()
    across = 3 if item.get("ValueType") == "SCOORD3D" else 2
    return f"{item.get('GraphicType')} of {len(data) // across} points"


def _text(keyword: str) -> Callable[[Dataset], str]:
    def read(item: Dataset) -> str:
        value: Any = item.get(keyword)
        return "" if value is None else str(value)

    return read


_VALUES: Final[Mapping[str, Callable[[Dataset], str]]] = MappingProxyType({
    "TEXT": _text("TextValue"),
    "CODE": lambda item: _meaning(item, "ConceptCodeSequence"),
    "NUM": _number,
    "DATE": _text("Date"),
    "TIME": _text("Time"),
    "DATETIME": _text("DateTime"),
    "PNAME": _text("PersonName"),
    "UIDREF": _text("UID"),
    "IMAGE": _object,
    "COMPOSITE": _object,
    "WAVEFORM": _object,
    "SCOORD": _shape,
    "SCOORD3D": _shape,
    "TCOORD": _text("TemporalRangeType"),
})  # fmt: skip
