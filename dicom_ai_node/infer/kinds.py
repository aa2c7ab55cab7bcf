"""From the kind of a task to the class that does it: `tasks/segment.py` holds `Segment`."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol, cast

import torch

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.wording import Wording

TASKS = "dicom_ai_node.tasks"
SHARED = ("segments", "classes", "measure", "window")
"""Facts that not every kind has."""
NEEDED = frozenset({"segments", "classes"})
"""Those of them without which a kind that has them finds nothing."""


class Kind(Protocol):
    """What a file in `tasks/` holds: how to read a model's own settings, and how to do the task.

    Attributes
    ----------
    has
        Those of `SHARED` that a model of this kind has.
    """

    has: tuple[str, ...]

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Any:  # noqa: ANN401 - each kind has its own
        """Return the settings of a model; what is wrong with them is noted in `w`."""

    def __call__(
        self,
        facts: ModelFacts,
        settings: Any,  # noqa: ANN401 - each kind has its own
        network: torch.nn.Module,
        device: str,
    ) -> Task:
        """Return the task, ready to be called."""


def kind_called(name: str) -> Kind:
    """Return the kind of this name.

    Only modules of our own are looked at: the kind is written in a model folder, and a model
    folder must not be able to run anything else.

    Raises
    ------
    ConfigError
        If there is no such kind.
    """
    kinds = sorted(module.name for module in iter_modules(import_module(TASKS).__path__))
    if name not in kinds:
        raise ConfigError(f"there is no task of kind {name!r}; there are {', '.join(kinds)}")
    title = "".join(word.capitalize() for word in name.split("_"))
    return cast("Kind", getattr(import_module(f"{TASKS}.{name}"), title))


def settings_of(facts: ModelFacts) -> Any:  # noqa: ANN401 - each kind has its own
    """Return the settings of a model as its kind reads them.

    Raises
    ------
    ConfigError
        With every mistake, one a line: there is no such kind, a fact that the kind needs is
        missing or one that it does not have is there, or a setting is wrong.
    """
    kind = kind_called(facts.kind)
    mistakes = [
        f"{facts.name}.{name}: " + ("is missing" if name in kind.has else _foreign(facts.kind))
        for name in SHARED
        if bool(getattr(facts, name)) != (name in kind.has)
        and (name in NEEDED or name not in kind.has)
    ]
    w = Wording(facts.settings, f"{facts.name}.settings", mistakes)
    settings = kind.settings(w, facts)
    w.no_more()
    w.raise_if_wrong()
    return settings


def task_of(facts: ModelFacts, network: torch.nn.Module, device: str = "cpu") -> Task:
    """Return the task of a model, ready to be called.

    Raises
    ------
    ConfigError
        If its kind or settings are wrong, see `settings_of`.
    ModelUnusable
        If its network does not fit them.
    """
    return kind_called(facts.kind)(facts, settings_of(facts), network, device)


def _foreign(kind: str) -> str:
    return f"is nothing that a model of kind {kind} has"
