"""What a worker is told, and how it ended: all that it needs for one leg of one job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicom_ai_node.domain.errors import Ended, NodeError
from dicom_ai_node.domain.job import Job, Result
from dicom_ai_node.domain.rule import COMPARE, Option, Route
from dicom_ai_node.domain.uids import JobKey, Sha256

KEY_OBJECTS = "key_objects"
"""The output that refers to earlier studies of the same patient."""


@dataclass(frozen=True, slots=True)
class Before:
    """What is here of other studies of a patient: reports, and inputs of the same route by name."""

    reports: tuple[Sha256, ...] = ()
    inputs: tuple[Mapping[str, tuple[Sha256, ...]], ...] = ()


NOTHING_BEFORE = Before()


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceOrder:
    """All that a worker needs for one inference; small enough to travel to another machine.

    `inputs` maps the name of an input to the blobs of its instances; `earlier` are reports of
    other studies of the same patient, for a route that compares, and `earlier_inputs` what the same
    route has looked at then.
    """

    kind: str
    model: str
    model_digest: Sha256
    inputs: Mapping[str, tuple[Path, ...]]
    options: Mapping[str, Option]
    earlier: tuple[Path, ...] = ()
    earlier_inputs: tuple[Mapping[str, tuple[Path, ...]], ...] = ()

    @property
    def compares(self) -> bool:
        """Whether what is measured is to be compared with what was measured at earlier studies."""
        return bool(self.options.get(COMPARE))

    @property
    def reports_declined(self) -> bool:
        """Whether a report is wanted even if the model declines its inputs."""
        return bool(self.options.get("report_declined"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingOrder:
    """All that an encoder needs: where the findings lie, the sources, and which objects to make.

    `created_at` comes from the ledger, so that encoding again gives the same bytes.
    `predecessors` are the SR objects that this job's report replaces; `priors` images of earlier
    studies of the same patient, each with how alike it looks.
    """

    findings: Path
    model: str
    model_digest: Sha256
    sources: tuple[Path, ...]
    write: tuple[str, ...]
    created_at: datetime
    predecessors: tuple[Path, ...] = ()
    priors: tuple[tuple[Path, float], ...] = ()

    @property
    def remark(self) -> str:
        """What the time line has to say besides how many objects there are."""
        is_alone = KEY_OBJECTS in self.write and not self.priors
        return "no earlier study of this patient is known to look alike" if is_alone else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one leg of one job. What it makes goes into `folder`, which nobody else uses."""

    job: JobKey
    fence: int
    folder: Path
    order: InferenceOrder | EncodingOrder
    limit_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended. `error` is set if it ended in ERROR."""

    attempt: Attempt
    ended: Ended
    error: NodeError | None = None
    detail: str = ""
    seconds: float = 0.0


def inference_order(
    job: Job,
    route: Route,
    path_of: Callable[[Sha256], Path],
    before: Before = NOTHING_BEFORE,
) -> InferenceOrder:
    """Return the order for the inference of `job`; `path_of` tells where a blob lies.

    `before` is what is here of earlier studies of the same patient.
    """
    inputs: dict[str, list[Path]] = {}
    for source in job.inputs:
        inputs.setdefault(source.name, []).append(path_of(source.sha256))
    options = dict(route.options)
    if "segmentation_fractional" in route.write:
        options["keep_probabilities"] = True
    return InferenceOrder(
        kind=route.run,
        model=job.model,
        model_digest=job.model_digest,
        inputs={name: tuple(paths) for name, paths in inputs.items()},
        options=options,
        earlier=tuple(map(path_of, before.reports)),
        earlier_inputs=tuple(
            {name: tuple(map(path_of, digests)) for name, digests in inputs.items()}
            for inputs in before.inputs
        ),
    )


def encoding_order(
    job: Job,
    findings: Path,
    write: Sequence[str],
    earlier: Sequence[Result],
    path_of: Callable[[Sha256], Path],
) -> EncodingOrder:
    """Return the order to make the objects `write` of the findings in the folder `findings`.

    `earlier` are the results of the job that this one supersedes: its report is the predecessor
    of the new one, PS3.3 C.17.2.
    """
    return EncodingOrder(
        findings=findings,
        model=job.model,
        model_digest=job.model_digest,
        sources=tuple(path_of(source.sha256) for source in job.inputs),
        write=tuple(write),
        created_at=job.created_at,
        predecessors=tuple(
            path_of(result.sha256) for result in earlier if result.kind == "structured_report"
        ),
    )
