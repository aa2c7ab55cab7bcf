"""Whether a machine computes what a model gave at its release, and how fast."""

import time
from collections.abc import Mapping
from statistics import median

import torch

from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.infer.golden import check_golden
from dicom_ai_node.infer.kinds import task_of
from dicom_ai_node.infer.networks import network
from dicom_ai_node.infer.trust import Trust

ROUNDS = 3


def timed(facts: ModelFacts, device: str, trust: Trust) -> Mapping[str, object]:
    """Load a model, check its golden input several times, and return what that took.

    Raises
    ------
    ModelUnusable
        If it does not load, or gives something else than at its release.
    """
    start = time.perf_counter()
    task = task_of(facts, network(facts, device, trust), device)
    loaded = time.perf_counter() - start
    rounds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        check_golden(facts, task)
        rounds.append(time.perf_counter() - start)
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "load_seconds": round(loaded, 3),
        "first_seconds": round(rounds[0], 3),
        "seconds": round(median(rounds[1:]), 3),
    }
