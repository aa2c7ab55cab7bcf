"""What a worker is told: everything that it needs for one leg of one job, and nothing else."""

from collections.abc import Callable, Sequence
from pathlib import Path

from dicom_ai_node.domain.job import Job, Result
from dicom_ai_node.domain.ports import EncodingOrder, InferenceOrder
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.uids import Sha256


def inference_order(job: Job, route: Route, path_of: Callable[[Sha256], Path]) -> InferenceOrder:
    """Return the order for the inference of `job`; `path_of` tells where a blob lies."""
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
