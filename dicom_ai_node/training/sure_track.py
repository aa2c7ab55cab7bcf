"""How sure a network may be of the places it finds, and the proof that it still finds them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import nn

from dicom_ai_node.neural.follow import Rules
from dicom_ai_node.training.fit_track import NEAR_PX
from dicom_ai_node.training.grid import Facts
from dicom_ai_node.training.score_track import MadeCine, errors_px, followed

MOVED_PX = 4.0
"""A point that moves less could be found by a network that finds nothing."""
GOLDEN_FRAMES = 5
"""Of the one that is kept as proof."""


def rules_of(facts: Facts) -> Rules:
    """Return the rules that the settings of a model folder state."""
    said = facts["settings"]
    names = ("template_px", "search_px", "first_weight", "half_at", "per_similarity", "per_px")
    return Rules(**{name: said[name] for name in names}, first_alone=said.get("first_alone", 2.0))


def certainty_of(
    network: nn.Module, cines: Sequence[MadeCine], facts: Facts
) -> Mapping[str, float]:
    """Return the settings by which similarity and the way back say whether a place is right.

    A logistic regression over all places of cines whose motion is known.
    """
    rules = replace(rules_of(facts), least=0.0)
    looks, right = [], []
    for item in cines:
        found = followed(network, item, rules)
        looks.append(torch.stack([found.similarity, found.missed_px], dim=-1)[1:].reshape(-1, 2))
        right.append(errors_px(found.points.numpy(), item).ravel() <= NEAR_PX)
    values, truth = torch.cat(looks).double().numpy(), np.concatenate(right)
    signs = np.where(truth, 1.0, -1.0)

    def surprise(weights: NDArray[np.float64]) -> float:
        logits = weights[0] + values @ weights[1:]
        return float(np.logaddexp(0, -signs * logits).mean() + 1e-5 * np.square(weights).sum())

    bias, per_similarity, per_px = minimize(surprise, np.array([-2.0, 5.0, -0.5])).x
    return {
        "half_at": round(max(-bias / max(per_similarity, 0.1), 0.0), 3),
        "per_similarity": round(max(per_similarity, 0.1), 3),
        "per_px": round(max(-per_px, 0.0), 3),
    }


def golden_of(
    network: nn.Module, cines: Sequence[MadeCine], facts: Facts
) -> dict[str, NDArray[np.float32]]:
    """Return the golden cine in the unit of the facts, a start, and where it is found again.

    It is the beginning of the cine in which the network is surest, on every frame, of a point
    that moves.
    """
    intensity = facts["intensity"]
    span = float(intensity["high"]) - float(intensity["low"])
    best: tuple[float, dict[str, NDArray[np.float32]]] = (-1.0, {})
    for item in cines:
        # Whole numbers: the file is smaller, and the result is computed from what is stored.
        stored = (item.frames[:GOLDEN_FRAMES] * span + float(intensity["low"])).round()
        again = replace(item, frames=(stored - float(intensity["low"])) / span)
        found = followed(network, again, rules_of(facts))
        gone_px = (found.points[-1] - found.points[0]).norm(dim=1)
        sure, place = (found.confidence.amin(0) * (gone_px >= MOVED_PX)).max(0)
        if float(sure) > best[0]:
            arrays = {
                "image": stored.numpy(),
                "start": item.truth[0, place].numpy(),
                "points": found.points[:, place].numpy()[None],
            }
            best = float(sure), arrays
    return best[1]
