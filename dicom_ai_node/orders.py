"""What a worker is told about a job, from what the ledger and the routes say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.job import Job, Result
from dicom_ai_node.domain.orders import (
    KEY_OBJECTS,
    NOTHING_BEFORE,
    Attempt,
    Before,
    EncodingOrder,
    InferenceOrder,
    encoding_order,
    inference_order,
)
from dicom_ai_node.domain.ports import Blobs, Ledger
from dicom_ai_node.domain.rule import COMPARE, Route
from dicom_ai_node.domain.similar import Prior
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, SOPClassUID

MOST_PRIORS = 3
"""Earlier studies that key objects refer to."""
LABELMAP = SOPClassUID("1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderBook:
    """Writes the attempts of both legs. `folder` is where workers leave what they make.

    `priors` tells which earlier studies of the same patient look like a series, as the model of a
    given digest sees them.
    """

    blobs: Blobs
    ledger: Ledger
    folder: Path
    routes: Sequence[Route]
    accepts: Callable[[str, SOPClassUID], bool]
    limit_seconds: float
    before: Callable[[Job], Before]
    priors: Callable[[SeriesInstanceUID, Sha256, int], Sequence[Prior]]

    def route(self, job: Job) -> Route:
        """Return the route of a job.

        Raises
        ------
        NeedsAttention
            If the configuration has it no more.
        """
        for route in self.routes:
            if route.name == job.route:
                return route
        raise NeedsAttention(f"there is no route {job.route} any more; put it back, then retry")

    def inference(self, job: Job) -> Attempt:
        """Return the attempt to run the model of `job` on its inputs."""
        route = self.route(job)
        before = self.before(job) if route.options.get(COMPARE) else NOTHING_BEFORE
        order = inference_order(job, route, self.blobs.path, before)
        return self._attempt(job, "findings", order)

    def encoding(self, job: Job) -> Attempt:
        """Return the attempt to make the objects of `job`.

        Raises
        ------
        NeedsAttention
            If the findings are gone.
        """
        route = self.route(job)
        # The highest fence is the one that was entered: a claim or a reap raises it, and only
        # the holder of the highest could move the job to INFERRED.
        findings = max((self.folder / job.key).glob("findings-*"), default=None)
        if findings is None:
            raise NeedsAttention("the findings are gone; retry to run the model again")
        write = [self._taken_by_all(kind, route.to) for kind in route.write]
        order = encoding_order(job, findings, write, self._earlier(job), self.blobs.path)
        if KEY_OBJECTS in write:
            order = replace(order, priors=self._alike(job))
        return self._attempt(job, "objects", order)

    def _attempt(self, job: Job, product: str, order: InferenceOrder | EncodingOrder) -> Attempt:
        # The fence names the folder: a worker that was given up can only write where nobody looks.
        folder = self.folder / job.key / f"{product}-{job.fence:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        return Attempt(
            job=job.key,
            fence=job.fence,
            folder=folder,
            order=order,
            limit_seconds=self.limit_seconds,
        )

    def _earlier(self, job: Job) -> Sequence[Result]:
        """Return the results of the last job before `job` that had any."""
        key = job.supersedes
        while key:
            if results := self.ledger.results(key):
                return results
            before = self.ledger.job(key)
            key = before.supersedes if before else None
        return ()

    def _alike(self, job: Job) -> tuple[tuple[Path, float], ...]:
        """Return what looks like the first input in earlier studies of its patient."""
        series = job.inputs[0].series_instance_uid
        found = self.priors(series, job.model_digest, MOST_PRIORS)
        return tuple((self.blobs.path(prior.sha256), prior.score) for prior in found)

    def _taken_by_all(self, kind: str, destinations: Sequence[str]) -> str:
        """Return `kind`, or the binary form of a label map that some destination would refuse."""
        if kind == "segmentation_labelmap" and not all(
            self.accepts(destination, LABELMAP) for destination in destinations
        ):
            return "segmentation"
        return kind
