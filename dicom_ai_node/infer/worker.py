"""A worker on one device: keeps models warm and tested, runs one inference after the other."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

import structlog
import torch

from dicom_ai_node.domain.devices import GpuSeen
from dicom_ai_node.domain.errors import (
    ConfigError,
    ModelUnusable,
    NodeError,
    OutOfResources,
    TaskFailed,
)
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.progress import Phase, during, heard_by
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.courses import compared
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.gpu import seen_by_torch
from dicom_ai_node.infer.guard import Guard
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.leg import LOADED
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.planes import legible
from dicom_ai_node.infer.read import MAX_PIXELS_BYTES
from dicom_ai_node.infer.run import run_inference

log = structlog.get_logger()

MODELS_KEPT_WARM = 8
"""More than this many, and the one that was idle longest is forgotten."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    facts: ModelFacts
    task: Task
    guard: Guard | None


class Worker:
    """Loads models from a catalogue onto one device and runs attempts on them.

    Parameters
    ----------
    warm
        Models to load and test before the first attempt. One that fails is no reason not to
        start: it is listed in `unusable`, and its attempts raise `ModelUnusable`.
    threads
        How many threads torch may use; `None` leaves it alone. Cores by slots is right.
    keep
        How many models stay loaded.
    """

    def __init__(
        self,
        catalog: Catalog,
        device: str,
        *,
        max_pixels_bytes: int = MAX_PIXELS_BYTES,
        warm: Sequence[str] = (),
        threads: int | None = None,
        keep: int = MODELS_KEPT_WARM,
    ) -> None:
        self._catalog = catalog
        self._device = device
        self._max_pixels_bytes = max_pixels_bytes
        self._keep = keep
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()
        self._tested: set[str] = set()
        self._unusable: dict[str, str] = {}
        if threads is not None:
            torch.set_num_threads(threads)
        for name in warm:
            # One that cannot be loaded stands in `unusable`, or was too large for now.
            with suppress(NodeError):
                self._ready(name)

    @property
    def unusable(self) -> Mapping[str, str]:
        """Models that take no work on this machine, and why."""
        return MappingProxyType(self._unusable)

    @property
    def gpu(self) -> GpuSeen | None:
        """The GPU that models lie on, and how full it is; `None` on a CPU."""
        return seen_by_torch(torch.cuda) if self._device.startswith("cuda") else None

    def __call__(self, attempt: Attempt) -> Findings:
        """Run the inference that `attempt` orders.

        Raises
        ------
        ModelUnusable
            If the model is not what the job asked for, or failed its golden test.
        OutOfResources
            If there is not enough memory on the device.
        SystemExit
            If the device itself failed: nothing that this process computes can be trusted now.
        NodeError
            Whatever reading, coverage or the task raise.
        """
        order = attempt.order
        if not isinstance(order, InferenceOrder):
            raise TaskFailed("an inference worker was given something else to do")
        try:
            with during(Phase.LOADING, high=LOADED):
                loaded = self._for(order)
            with during(Phase.READING, LOADED), legible():
                found = run_inference(
                    order,
                    loaded.facts,
                    loaded.task,
                    loaded.guard,
                    max_pixels_bytes=self._max_pixels_bytes,
                )
            return compared(found, order, loaded.facts)
        except torch.OutOfMemoryError as full:
            raise OutOfResources(f"{order.model}: no memory left on {self._device}") from full
        except torch.AcceleratorError as broken:
            # After an illegal address or an ECC error the context of this process is poisoned.
            log.exception("device_failed", device=self._device, model=order.model)
            raise SystemExit(1) from broken

    def _for(self, order: InferenceOrder) -> _Loaded:
        loaded = self._ready(order.model)
        if loaded.facts.digest != order.model_digest or loaded.facts.kind != order.kind:
            raise ModelUnusable(f"{order.model}: this is not the model that the job was made for")
        return loaded

    def _ready(self, name: str) -> _Loaded:
        """Return a model that is loaded and has passed its golden test in this process.

        One that failed is tried again when work for it comes again: its folder may be mended.
        """
        if name not in self._loaded:
            try:
                self._loaded[name] = self._load(name)
            except (ModelUnusable, ConfigError) as trouble:
                self._unusable[name] = str(trouble)
                raise
            self._unusable.pop(name, None)
            while len(self._loaded) > self._keep:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(name)
        return self._loaded[name]

    def _load(self, name: str) -> _Loaded:
        self._catalog.verify(name)
        facts = self._catalog.facts(name)
        net = network(facts, self._device, self._catalog.trust)
        task = task_of(facts, net, self._device)
        guard = None if facts.guard is None else Guard(facts, net, self._device)
        if name not in self._tested:
            with heard_by(None):  # it runs the same task, which is no part of any job
                check_golden(facts, task)
            self._tested.add(name)
            log.info("model_ready", model=name, device=self._device)
        return _Loaded(facts, task, guard)
