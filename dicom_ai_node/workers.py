"""What runs in the processes of the workers: the two legs that touch pixels and build objects.

Heavy things are imported here and only when a worker starts, so that no other process carries
torch or highdicom.
"""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.sr.coding import Code

from dicom_ai_node import log
from dicom_ai_node.config import NodeConfig, routes
from dicom_ai_node.domain.devices import GpuSeen
from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.orders import Attempt, EncodingOrder, InferenceOrder
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.progress import Phase, during
from dicom_ai_node.domain.quality import ImageQuality
from dicom_ai_node.domain.similar import LookedAlike
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.trust import trusting
from dicom_ai_node.store import blobs
from dicom_ai_node.store.findings import findings_of, keep_findings

if TYPE_CHECKING:
    from dicom_ai_node.infer.worker import Worker


_READ, _ENCODED = 0.2, 0.9
"""How an encoding is shared out among its phases: a guess."""


@dataclass(frozen=True, slots=True)
class InferenceWorker:
    """Runs one inference after the other on one device and writes the findings down."""

    worker: "Worker"

    @property
    def unusable(self) -> Mapping[str, str]:
        """Models that failed their golden test here, and why."""
        return self.worker.unusable

    @property
    def gpu(self) -> GpuSeen | None:
        """The GPU that it runs on."""
        return self.worker.gpu

    def __call__(self, attempt: Attempt) -> None:
        """Run one attempt; where a report is wanted, leave also why the model declined.

        Raises
        ------
        NeedsAttention
            If an input is not what was received: no model may look at a bad block.
        """
        if isinstance(attempt.order, InferenceOrder):
            for path in chain.from_iterable(attempt.order.inputs.values()):
                blobs.verify(path)
        try:
            findings = self.worker(attempt)
        except Rejected as no:
            order = attempt.order
            if isinstance(order, InferenceOrder) and order.reports_declined:
                measured = no.quality or ImageQuality()
                quality = replace(measured, declined=f"{no.code.name}: {no.code.meaning}")
                keep_findings(attempt.folder, Findings(quality=quality, notes=(no.detail,)))
            raise
        keep_findings(attempt.folder, findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingWorker:
    """Makes the DICOM objects of one job after the other."""

    catalog: Catalog
    node_serial: str
    content_qualification: str
    equipment_purpose: Code

    def __call__(self, attempt: Attempt) -> None:
        """Run one attempt."""
        from dicom_ai_node.encode.headers import read_sources  # noqa: PLC0415 - see the module
        from dicom_ai_node.encode.write import (  # noqa: PLC0415
            encode_job,
            encoders_for,
            write_objects,
        )

        order = attempt.order
        if not isinstance(order, EncodingOrder):
            raise TaskFailed("an encoder was given something else to do")
        with during(Phase.READING, high=_READ):
            sources = read_sources(order.sources)
            findings = findings_of(order.findings)
        origin = Origin(
            job=attempt.job,
            model=self.catalog.facts(order.model),
            sources=sources,
            created_at=order.created_at,
            node_version=version("dicom-ai-node"),
            node_serial=self.node_serial,
            content_qualification=self.content_qualification,
            predecessors=read_sources(order.predecessors),
            priors=[
                LookedAlike(header=read_sources([path])[0], score=score)
                for path, score in order.priors
            ],
            encoded={},
            equipment_purpose=self.equipment_purpose,
        )
        encoders = encoders_for(dict.fromkeys(order.write))
        with during(Phase.ENCODING, _READ, _ENCODED):
            objects = encode_job(findings, origin, encoders)
        with during(Phase.WRITING, _ENCODED):
            write_objects(attempt.folder, objects)


def inference_worker(
    config: NodeConfig, folders: tuple[Path, ...], device: str
) -> Callable[[Attempt], None]:
    """Return what runs inferences on `device`, its models loaded and tested."""
    from dicom_ai_node.infer.worker import Worker  # noqa: PLC0415 - see the module

    log.configure()
    return InferenceWorker(
        Worker(
            Catalog(folders, trusting(config.infer.trust, config.infer.trust_keys)),
            device,
            max_pixels_bytes=config.infer.max_pixels_bytes,
            warm=tuple(dict.fromkeys(route.model for route in routes(config))),
            threads=max(1, (os.cpu_count() or 1) // len(config.infer.devices)),
        )
    )


def encoding_worker(
    config: NodeConfig, folders: tuple[Path, ...], node_serial: str, _device: str
) -> Callable[[Attempt], None]:
    """Return what makes objects."""
    log.configure()
    purpose = Code(*config.encode.contributing_equipment_purpose)
    return EncodingWorker(
        catalog=Catalog(folders),
        node_serial=node_serial,
        content_qualification=config.encode.content_qualification,
        equipment_purpose=purpose,
    )


def darkroom(orders: socket.socket, parent: int) -> None:
    """Touch pixel data for those who look at it, as ordered."""
    from dicom_ai_node.infer.darkroom import run  # noqa: PLC0415 - see the module

    log.configure()
    run(orders, parent)
