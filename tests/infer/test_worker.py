"""A worker takes work for models that have proved right on its device, and for no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable, OutOfResources, TaskFailed
from dicom_ai_node.domain.orders import Attempt, InferenceOrder
from dicom_ai_node.domain.uids import JobKey, Sha256
from dicom_ai_node.infer.catalog import Catalog
from dicom_ai_node.infer.kinds import kind_called
from dicom_ai_node.infer.worker import Worker
from tests import phantoms
from tests.model_folders import seal, threshold_model


def _attempt(tmp_path: Path, model: str = "bright_ct", digest: str | None = None) -> Attempt:
    facts = Catalog([tmp_path]).facts(model)
    order = InferenceOrder(
        kind="segment",
        model=model,
        model_digest=Sha256(digest or facts.digest),
        inputs={"image": tuple(phantoms.write(phantoms.ct(), tmp_path / "series"))},
        options={},
    )
    return Attempt(job=JobKey("0" * 64), fence=1, folder=tmp_path, order=order, limit_seconds=60)


def test_a_worker_answers_with_findings(tmp_path: Path) -> None:
    """The model is loaded and tested with its first job if it was not before."""
    threshold_model(tmp_path)
    worker = Worker(Catalog([tmp_path]), "cpu")
    found = worker(_attempt(tmp_path))
    assert found.segmentation is not None
    assert found.segmentation.labels.any()
    assert worker.unusable == {}


def test_a_model_that_fails_its_golden_test_takes_no_work(tmp_path: Path) -> None:
    """The worker starts all the same, says which one it is, and serves the others."""
    threshold_model(tmp_path)
    wrong = threshold_model(tmp_path, name="wrong_ct")
    content = dict(np.load(wrong / "golden/golden.npz"))
    np.savez_compressed(
        wrong / "golden/golden.npz",
        **content | {"labels": content["labels"][::-1, :8].repeat(2, 1)},
    )
    seal(wrong)
    worker = Worker(Catalog([tmp_path]), "cpu", warm=("bright_ct", "wrong_ct"))
    assert set(worker.unusable) == {"wrong_ct"}
    assert "Dice" in worker.unusable["wrong_ct"]
    assert worker(_attempt(tmp_path)).segmentation is not None
    with pytest.raises(ModelUnusable, match="golden"):
        worker(_attempt(tmp_path, "wrong_ct"))


def test_a_model_that_was_mended_works_again(tmp_path: Path) -> None:
    """The operator puts the right weights back; nothing has to be started anew."""
    weights = threshold_model(tmp_path) / "models/model.safetensors"
    right = weights.read_bytes()
    weights.write_bytes(right[:-1] + b"?")
    worker = Worker(Catalog([tmp_path]), "cpu", warm=("bright_ct",))
    assert "models/model.safetensors has changed" in worker.unusable["bright_ct"]
    weights.write_bytes(right)
    assert worker(_attempt(tmp_path)).segmentation is not None
    assert worker.unusable == {}


def test_a_job_for_another_state_of_the_model_is_refused(tmp_path: Path) -> None:
    """The digest is part of the job: the report must name the weights that were used."""
    threshold_model(tmp_path)
    worker = Worker(Catalog([tmp_path]), "cpu")
    with pytest.raises(ModelUnusable, match="not the model that the job was made for"):
        worker(_attempt(tmp_path, digest="f" * 64))


def test_an_unknown_kind_of_task_is_a_mistake_of_the_operator(tmp_path: Path) -> None:
    """The kind in a model folder names one of our tasks and never anything to import."""
    threshold_model(tmp_path, kind="os:system")
    worker = Worker(Catalog([tmp_path]), "cpu", warm=("bright_ct",))
    assert "no task of kind" in worker.unusable["bright_ct"]
    with pytest.raises(ConfigError, match="segment"):
        kind_called("subprocess")


class _Device:
    """A task on a device that fails."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault

    def __call__(self, *_: object) -> None:
        """Fail."""
        raise self.fault


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(
            torch.OutOfMemoryError("CUDA out of memory"), OutOfResources, id="no memory: later"
        ),
        pytest.param(
            torch.AcceleratorError("CUDA error: an illegal memory access"),
            SystemExit,
            id="a poisoned context: the process must go",
        ),
    ],
)
def test_a_device_that_fails_is_not_trusted_further(
    tmp_path: Path, fault: Exception, error: type[BaseException]
) -> None:
    """Lack of memory passes; after any other fault of the device the worker ends and is lost."""
    threshold_model(tmp_path)
    worker = Worker(Catalog([tmp_path]), "cpu", warm=("bright_ct",))
    loaded = worker._loaded["bright_ct"]
    worker._loaded["bright_ct"] = replace(loaded, task=_Device(fault))
    with pytest.raises(error):
        worker(_attempt(tmp_path))


def test_few_models_stay_warm_and_the_idle_one_goes_first(tmp_path: Path) -> None:
    """Memory is bounded; a model that was forgotten is loaded again and still right."""
    for name in ("a", "b", "bright_ct"):
        threshold_model(tmp_path, name=name)
    worker = Worker(Catalog([tmp_path]), "cpu", warm=("a", "b", "bright_ct"), keep=2)
    assert list(worker._loaded) == ["b", "bright_ct"]
    worker(_attempt(tmp_path, "a"))
    assert list(worker._loaded) == ["bright_ct", "a"]


def test_a_worker_uses_as_many_threads_as_it_is_given(tmp_path: Path) -> None:
    """Two slots on one machine do not fight for its cores."""
    before = torch.get_num_threads()
    try:
        Worker(Catalog([tmp_path]), "cpu", threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_only_inferences_are_taken(tmp_path: Path) -> None:
    """An encoding that got here by mistake is told apart at once."""
    attempt = Attempt(
        job=JobKey("0" * 64),
        fence=1,
        folder=tmp_path,
        order=None,  # type: ignore[arg-type]
        limit_seconds=1,
    )
    with pytest.raises(TaskFailed):
        Worker(Catalog([tmp_path]), "cpu")(attempt)
