"""`configs/dicom.yaml` of a model folder, field for field `domain.model.ModelFacts`."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dicom_ai_node.domain.model import (
    REPORT,
    Golden,
    Grid,
    Guarded,
    Intensity,
    ModelFacts,
    ModelInput,
    Scaling,
    Sees,
    SlidingWindow,
)
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.infer.asked import clinical_in
from dicom_ai_node.infer.labels import classes_in, segments_in
from dicom_ai_node.infer.lesions import MEASURE as LESIONS
from dicom_ai_node.infer.measure import MEASURES
from dicom_ai_node.infer.network_facts import network_in
from dicom_ai_node.infer.requires import conditions

_CHOICE = TypeVar("_CHOICE", Scaling, Sees)


def facts_in(content: bytes, folder: Path, digest: Sha256, mistakes: list[str]) -> ModelFacts:
    """Return the facts that the YAML `content` of the model in `folder` states.

    Raises
    ------
    ConfigError
        With every mistake, one a line, those already in `mistakes` first: unknown keys, missing
        keys, values of another type, codes that cannot be codes. What stands in `settings` is
        judged by the kind, see `infer.kinds`.
    """
    w = Wording(_yaml(content, folder.name, mistakes), folder.name, mistakes)
    sees = _choice(w, "sees", Sees)
    axes = 3 if sees is Sees.VOLUME else 2
    inputs, reference = _inputs(w, sees)
    documents = w.texts("documents")
    main = inputs[reference] if inputs else _input(w)
    asked = inputs.values() or [main]
    facts = ModelFacts(
        name=w.text("name"),
        version=w.text("version"),
        digest=digest,
        folder=folder,
        kind=w.text("kind"),
        title=w.text("title"),
        manufacturer=w.text("manufacturer"),
        modality=_modalities([*(one.modality for one in asked), REPORT if documents else ()]),
        sees=sees,
        intensity=main.intensity,
        grid=_grid(w.part("grid"), axes) if w.has("grid") else Grid(),
        golden=_golden(w.part("golden")),
        network=network_in(w, axes),
        requires=main.requires,
        inputs=inputs,
        reference=reference,
        documents=documents,
        outline=w.text("outline") if w.has("outline") else "",
        clinical=clinical_in(w, documents),
        max_extent_mm=_extent(w),
        window=_window(w.part("window"), axes) if w.has("window") else None,
        segments=segments_in(w),
        measure=w.texts("measure"),
        classes=classes_in(w),
        settings=w.part("settings").items() if w.has("settings") else {},
        guard=_guard(w.part("guard")) if w.has("guard") else None,
        display_window=_display_window(w),
        parameters=_parameters(w),
    )
    _check(w, facts)
    w.no_more()
    w.raise_if_wrong()
    return facts


def _yaml(content: bytes, name: str, mistakes: list[str]) -> object:
    try:
        loaded: object = YAML(typ="safe", pure=True).load(content.decode("utf-8"))
    except (YAMLError, UnicodeDecodeError) as wrong:
        mistakes.append(f"{name}: configs/dicom.yaml is not YAML: {str(wrong).splitlines()[0]}")
        return {}
    return loaded


def _inputs(w: Wording, sees: Sees) -> tuple[dict[str, ModelInput], str]:
    """Return the named inputs, none if the model has but one, and which one is the reference."""
    if not w.has("inputs"):
        return {}, ""
    if sees is not Sees.VOLUME:
        w.wrong("inputs", "only volumes can be brought to each other's place")
    named = w.part("inputs")
    found = {}
    for name in named.items():
        part = named.part(name)
        outside = part.number("outside", 0.0)
        window = _display_window(part)
        found[name] = replace(_input(part), outside=outside, display_window=window)
        part.no_more()
    if len(found) < 2:  # noqa: PLR2004
        w.wrong("inputs", "must be two at least")
    reference = w.text("reference")
    if reference not in found:
        w.wrong("reference", f"must be one of {', '.join(found)}")
        reference = next(iter(found), "")
    return found, reference


def _modalities(each: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for modalities in each for name in modalities))


def _input(w: Wording) -> ModelInput:
    found = ModelInput(
        modality=w.texts("modality"),
        intensity=_intensity(w.part("intensity")),
        requires=conditions(w.part("requires")) if w.has("requires") else {},
    )
    if not found.modality:
        w.wrong("modality", "must name at least one modality")
    return found


def _check(w: Wording, facts: ModelFacts) -> None:
    """Note what is wrong only when several values are seen together."""
    if facts.name not in {"?", facts.folder.name}:
        w.wrong("name", f"must be the name of the folder, {facts.folder.name}")
    known = {*MEASURES, LESIONS}
    for name in facts.measure:
        if name not in known:
            w.wrong("measure", f"there is no {name}; there are {', '.join(sorted(known))}")
    if facts.sees is Sees.VOLUME and facts.grid.size_px:
        w.wrong("grid.size_px", "a volume needs spacing_mm")
    if facts.documents and (not facts.inputs or set(facts.documents) & set(facts.inputs)):
        w.wrong("documents", "stand beside named inputs and have names of their own")
    if facts.outline and (facts.inputs or facts.sees is not Sees.FRAMES):
        w.wrong("outline", "stands beside the one input of a model that sees frames")


def _choice(w: Wording, key: str, kind: type[_CHOICE]) -> _CHOICE:
    text = w.text(key)
    for choice in kind:
        if choice.value == text:
            return choice
    if text != "?":
        w.wrong(key, f"must be one of {', '.join(kind)}")
    return next(iter(kind))


def _intensity(w: Wording) -> Intensity:
    scaling = _choice(w, "scaling", Scaling)
    if scaling is Scaling.ZSCORE:
        low, high = w.number("low", 0.0), w.number("high", 1.0)
    else:
        low, high = w.number("low"), w.number("high")
    if low >= high:
        w.wrong("high", "must be larger than low")
    if scaling is Scaling.PERCENTILE and (low < 0 or high > 100):  # noqa: PLR2004
        w.wrong("low", "percentiles lie between 0 and 100")
    is_standard, is_zscore = scaling is Scaling.STANDARD, scaling is Scaling.ZSCORE
    intensity = Intensity(
        scaling=scaling,
        low=low,
        high=high,
        mean=w.number("mean") if is_standard else 0.0,
        deviation=w.number("deviation") if is_standard else 1.0,
        nonzero=w.yes("nonzero") if is_zscore else False,
        pad=w.number("pad") if w.has("pad") else None,
    )
    if intensity.deviation <= 0:
        w.wrong("deviation", "must be above 0")
    w.no_more()
    return intensity


def _grid(w: Wording, axes: int) -> Grid:
    has_spacing, has_size = w.has("spacing_mm"), w.has("size_px")
    if has_spacing == has_size:
        w.wrong("", "exactly one of spacing_mm and size_px must be given")
    w.no_more()
    if has_size:
        rows, columns = map(int, w.numbers("size_px", (2,), above=0))
        return Grid(size_px=(rows, columns))
    if has_spacing:
        return Grid(spacing_mm=w.numbers("spacing_mm", (axes,), above=0))
    return Grid(spacing_mm=(1.0,) * axes)


def _golden(w: Wording) -> Golden:
    min_dice = w.number("min_dice") if w.has("min_dice") else None
    max_difference = w.number("max_difference") if w.has("max_difference") else None
    if min_dice is None and max_difference is None:
        w.wrong("", "one of min_dice and max_difference must be given")
    if min_dice is not None and not 0 < min_dice <= 1:
        w.wrong("min_dice", "must be above 0 and at most 1")
    if max_difference is not None and not max_difference > 0:
        w.wrong("max_difference", "must be above 0")
    golden = Golden(file=w.text("file"), min_dice=min_dice, max_difference=max_difference)
    w.no_more()
    return golden


def _guard(w: Wording) -> Guarded:
    guarded = Guarded(layer=w.text("layer"), smoothing=w.whole("smoothing", 1))
    w.no_more()
    return guarded


def _extent(w: Wording) -> tuple[float, float, float] | None:
    if not w.has("max_extent_mm"):
        return None
    slices, rows, columns = w.numbers("max_extent_mm", (3,), above=0)
    return slices, rows, columns


def _window(w: Wording, axes: int) -> SlidingWindow:
    window = SlidingWindow(
        roi_size=tuple(map(int, w.numbers("roi_size", (axes,), above=0))),
        overlap=w.number("overlap", 0.5),
        batch=w.whole("batch", 4),
    )
    if not 0 <= window.overlap < 1:
        w.wrong("overlap", "must be at least 0 and below 1")
    w.no_more()
    return window


def _display_window(w: Wording) -> tuple[float, float] | None:
    if not w.has("display_window"):
        return None
    low, high = w.numbers("display_window", (2,), above=-1e9)
    if low >= high:
        w.wrong("display_window", "must be [low, high]")
    return low, high


def _parameters(w: Wording) -> dict[str, str]:
    if not w.has("parameters"):
        return {}
    return {key: str(value) for key, value in w.part("parameters").items().items()}
