"""`configs/dicom.yaml` for a model from elsewhere: what is known, and what a person must answer."""

import io
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from dicom_ai_node.infer.formats.drafts import Draft

GOLDEN = "golden/golden.npz"
MIN_DICE, MAX_DIFFERENCE = 0.95, 0.02
"""How near to the answer of the machine that imported a model another one must come."""
COLOURS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167),
)  # fmt: skip
"""Colours that most people with a colour vision deficiency can tell apart (Okabe and Ito)."""
HINTS: Mapping[str, str] = MappingProxyType(
    {
        "kind": "segment, classify ...: what the network is for",
        "title": "what it finds, in a few words",
        "manufacturer": "who has trained it; stands in every object",
        "modality": "[CT], [MR], [CR, DX] ...",
        "sees": "volume, slices or frames",
        "axes": "where the network's axes run to, e.g. RAS, or SPL as here; see --axes",
        "gives": "logits, probabilities, or for one channel logit or probability",
        "scaling": "window, percentile, zscore or standard, as in training",
        "low": "of window and standard in the unit of the image, of percentile in percent",
        "high": "as low",
        "spacing_mm": "[slice, row, column] or [row, column] that it was trained on; or size_px",
        "roi_size": "[slice, row, column] of a window",
        "label": "at most 64 characters",
        "category": '["code", SCHEME, meaning], e.g. ["91723000", SCT, Anatomical Structure]',
        "type": '["code", SCHEME, meaning] of SNOMED CT or another scheme',
    }
)


def proposed(draft: Draft, name: str, kind: str | None) -> dict[str, Any]:
    """Return the content of `configs/dicom.yaml`, as far as a model tells it.

    Parameters
    ----------
    kind
        As a person says; it goes before what the model says.
    """
    known = dict(draft.facts)
    kind = kind or known.get("kind")
    facts: dict[str, Any] = {
        "name": name,
        "version": known.get("version") or "1.0.0",
        "kind": kind,
        "title": known.get("title") or None,
        "manufacturer": None,
        "modality": known.get("modality"),
        "sees": known.get("sees"),
        "network": known.get("network"),
        "intensity": known.get("intensity") or {"scaling": None, "low": None, "high": None},
        "grid": known.get("grid") or {"spacing_mm": None},
    }
    if kind != "classify" and "window" in known:
        facts["window"] = known["window"]
    if kind == "segment":
        facts["segments"] = _segments(draft.labels)
    elif kind == "classify":
        facts["classes"] = [{"label": label, "type": None} for label in draft.labels or (None,) * 2]
    facts["parameters"] = {"research_use_only": "true"}
    return facts


def with_golden(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return `facts` with the golden test that an import makes."""
    golden: dict[str, Any] = {"file": GOLDEN}
    if facts.get("segments"):
        golden["min_dice"] = MIN_DICE
    if facts.get("kind") != "segment":
        golden["max_difference"] = MAX_DIFFERENCE
    return {**facts, "golden": golden}


def _segments(labels: tuple[str | None, ...]) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "label": label,
            "category": None,
            "type": None,
            "colour_rgb": list(COLOURS[(number - 1) % len(COLOURS)]),
        }
        for number, label in enumerate(labels[1:] or (None,), start=1)
    ]


def questions(value: object, where: str = "") -> Iterator[str]:
    """Yield where something is that only a person can answer."""
    match value:
        case None:
            yield where
        case Mapping():
            for key, inner in value.items():
                yield from questions(inner, f"{where}.{key}" if where else str(key))
        case list():
            for place, inner in enumerate(value):
                yield from questions(inner, f"{where}[{place}]")
        case _:
            pass


def as_yaml(facts: Mapping[str, Any]) -> str:
    """Return `facts` as YAML, with a hint beside every question."""
    writer = YAML()
    writer.width = 100
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.representer.add_representer(type(None), _null)
    text = io.StringIO()
    writer.dump(_commented(facts), text)
    return text.getvalue()


def _null(representer: Any, _value: None) -> Any:  # noqa: ANN401 - ruamel has no types for it
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _commented(value: Any) -> Any:  # noqa: ANN401 - whatever YAML can hold
    match value:
        case Mapping():
            mapping = CommentedMap({key: _commented(inner) for key, inner in value.items()})
            for key, inner in value.items():
                if inner is None and key in HINTS:
                    mapping.yaml_add_eol_comment(HINTS[key], key)
            return mapping
        case list():
            sequence = CommentedSeq(map(_commented, value))
            if not any(isinstance(inner, dict) for inner in value):
                sequence.fa.set_flow_style()
            return sequence
        case _:
            return value
