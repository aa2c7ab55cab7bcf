"""Take a model from elsewhere into a folder of models: whole and proved, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.infer.catalog import FACTS, Catalog
from dicom_ai_node.infer.facts import facts_in
from dicom_ai_node.infer.formats import FORMATS
from dicom_ai_node.infer.formats.drafts import Draft, is_axes
from dicom_ai_node.infer.golden import check_golden, new_golden
from dicom_ai_node.infer.kinds import settings_of, task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.proposal import GOLDEN, as_yaml, with_golden
from dicom_ai_node.infer.sealed import SUMS, SealedFolder, seal
from dicom_ai_node.infer.trust import SIGNATURE, Trust

CARD = "docs/README.md"
_WARNING = """**RESEARCH USE ONLY.** Not a medical device. Imported, not trained here: nobody has
measured it with this node. Fill in from what data it was made, under which licence, and how good it
is on patients like yours."""
_GOLDEN = """Golden test: noise, and what the network said to it on the machine that imported it. It
  shows that a machine computes what that one did, and not that the model is right."""
_DRAFTS = "dicom_ai_node.infer.formats"


@dataclass(frozen=True, slots=True)
class Place:
    """Where models are adopted to, and whether code of theirs may be run to prove them."""

    models: Path
    may_run_code: bool = False


def drafted(path: Path, format_: str | None = None, axes: str | None = None) -> Draft:
    """Return what is known of the model at `path`.

    Parameters
    ----------
    format_
        One of `FORMATS`, or `None` to find out by looking.
    axes
        Directions of its axes, where a person knows; see `NetworkFacts.axes`.

    Raises
    ------
    ConfigError
        If it is in none of the formats.
    ModelUnusable
        If it is in one of them, and cannot be used.
    """
    if axes is not None and not (is_axes(axes, 3) or is_axes(axes, 2)):
        raise ConfigError(f"--axes {axes}: must be letters such as SPL or RAS, or PL for slices")
    for name in [format_] if format_ else sorted(FORMATS):
        module = import_module(f"{_DRAFTS}.{name}")
        found: Draft | None = module.draft(path, axes) if hasattr(module, "draft") else None
        if found is not None:
            return found
    wanted = format_ or "a model in any known format"
    raise ConfigError(f"{path} is not {wanted}; there are {', '.join(sorted(FORMATS))}")


def is_model_folder(path: Path) -> bool:
    """Return whether `path` is a model folder of a node already."""
    return (path / FACTS).is_file() and (path / SUMS).is_file()


def adopt(draft: Draft, content: Mapping[str, Any], place: Place) -> ModelFacts:
    """Install a model with the facts `content`, and return them as the node reads them.

    Its golden input is noise, the answer to it that of its network here and now.

    Raises
    ------
    ConfigError
        With every mistake in the facts, if there is a model of this name, or if it can run code
        and must not.
    ModelUnusable
        If its network cannot be built, does not give what the facts say, or says nothing to
        noise.
    """
    _refuse_code(str(content["name"]), draft.format, place)
    content = with_golden(content)
    name = str(content["name"])

    def fill(folder: Path) -> None:
        for target, source in draft.files.items():
            _copied(source, folder / target)
        (folder / FACTS).parent.mkdir(exist_ok=True)
        (folder / FACTS).write_text(as_yaml(content), encoding="utf-8")
        (folder / CARD).parent.mkdir(exist_ok=True)
        (folder / CARD).write_text(_card(draft, content), encoding="utf-8")
        sealed = seal(folder)
        facts = facts_in((folder / FACTS).read_bytes(), folder, sealed.digest, [])
        settings_of(facts)
        task = task_of(facts, network(facts, trust=_trust(sealed, place)))
        (folder / GOLDEN).parent.mkdir()
        (folder / GOLDEN).write_bytes(new_golden(facts, task))
        seal(folder)

    return _installed(name, fill, place)


def adopt_folder(path: Path, place: Place) -> ModelFacts:
    """Install a model folder of another node as it is, signature and all.

    Raises
    ------
    ConfigError, ModelUnusable
        As `adopt`, and if a file differs from SHA256SUMS or the golden test fails here.
    """

    def fill(folder: Path) -> None:
        sealed = SealedFolder(path)
        sealed.verify()
        beside = [SUMS, SIGNATURE, *_documents(path)]
        for target in [*sealed.sums, *(one for one in beside if (path / one).is_file())]:
            _copied(path / target, folder / target)

    return _installed(path.resolve().name, fill, place)


def _installed(name: str, fill: Any, place: Place) -> ModelFacts:  # noqa: ANN401
    target = place.models / name
    if target.exists():
        raise ConfigError(f"{name}: there is a model of this name in {place.models}")
    place.models.mkdir(parents=True, exist_ok=True)
    # One level deeper than the catalogue looks, on the same file system.
    workshop = Path(tempfile.mkdtemp(prefix=".adopting-", dir=place.models))
    try:
        folder = workshop / name
        folder.mkdir()
        fill(folder)
        _prove(folder, place)
        folder.rename(target)
    finally:
        shutil.rmtree(workshop)
    return Catalog([place.models]).facts(name)


def _prove(folder: Path, place: Place) -> None:
    """Read the folder as a worker does, from its files alone."""
    catalog = Catalog([folder.parent])
    catalog.verify(folder.name)
    facts = catalog.facts(folder.name)
    _refuse_code(facts.name, facts.network.format, place)
    trust = _trust(SealedFolder(folder), place)
    check_golden(facts, task_of(facts, network(facts, trust=trust)))


def _refuse_code(name: str, format_: str, place: Place) -> None:
    if FORMATS[format_].runs_code and not place.may_run_code:
        raise ConfigError(
            f"{name}: {format_} can run code, and its golden test would; if you trust where it "
            "comes from, add --run-code"
        )


def _trust(sealed: SealedFolder, place: Place) -> Trust:
    return Trust(frozenset({sealed.digest})) if place.may_run_code else Trust()


def _copied(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ModelUnusable(f"{source.name} is no file")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, 0o644)  # noqa: PTH101 - the node may run as another account


def _documents(path: Path) -> list[str]:
    return [one.relative_to(path).as_posix() for one in (path / "docs").rglob("*") if one.is_file()]


def _card(draft: Draft, content: Mapping[str, Any]) -> str:
    """Return a model card that claims nothing, and what the model brings as one after it."""
    lines = [
        f"# {content['title']}",
        "",
        _WARNING,
        "",
        f"- Format: {draft.format}. Files: {', '.join(sorted(draft.files))}.",
        f"- {_GOLDEN}",
        *(f"- Other than in training: {remark}." for remark in draft.remarks),
    ]
    if draft.card is not None:
        lines += ["", "## What it says of itself", "", draft.card.read_text(encoding="utf-8")]
    return "\n".join(lines).rstrip() + "\n"
