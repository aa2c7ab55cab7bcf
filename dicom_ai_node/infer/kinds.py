"""From the kind of a task to the class that does it: `tasks/segment.py` holds `Segment`."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import cast

import torch

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.ports import Task

TASKS = "dicom_ai_node.tasks"

TaskClass = Callable[[ModelFacts, torch.nn.Module, str], Task]


def task_class(kind: str) -> TaskClass:
    """Return the class for tasks of this kind, to be called with facts, network and device.

    Only modules of our own are looked at: the kind is written in a model folder, and a model
    folder must not be able to run anything else.

    Raises
    ------
    ConfigError
        If there is no such kind.
    """
    kinds = sorted(module.name for module in iter_modules(import_module(TASKS).__path__))
    if kind not in kinds:
        raise ConfigError(f"there is no task of kind {kind!r}; there are {', '.join(kinds)}")
    name = "".join(word.capitalize() for word in kind.split("_"))
    return cast("TaskClass", getattr(import_module(f"{TASKS}.{kind}"), name))
