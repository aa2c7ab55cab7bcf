"""Kind `classify`: one of several classes for the image as a whole, and where it speaks for it."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.findings import Classification, Findings, HeatMap
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded, scaled

FRAMES_AT_ONCE = 8
FEATURE_AXES = 4
"""Of a 2-D feature map: (batch, channels, rows, columns)."""


class Classify:
    """Says which class an image is of, from the mean of its frames; never resamples.

    Parameters
    ----------
    facts
        Intensity, classes, temperature, operating point and the layer to explain by.
    network
        Takes (batch, 1, rows, columns) float32, gives (batch, classes) logits.
    device
        Where the network lies.

    Raises
    ------
    ModelUnusable
        If the network has no layer of the name in the facts.
    """

    def __init__(self, facts: ModelFacts, network: torch.nn.Module, device: str = "cpu") -> None:
        self._facts = facts
        self._network = network
        self._device = device
        self._layer: torch.nn.Module | None = None
        if facts.explain_layer is not None:
            self._layer = dict(network.named_modules()).get(facts.explain_layer)
            if self._layer is None:
                raise ModelUnusable(f"{facts.name}: there is no layer {facts.explain_layer}")

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return the probabilities of all classes for the one image in `inputs`.

        A heat map of the reported class is made if the model names a layer for it, unless the
        option `explain` is false.

        Raises
        ------
        TaskFailed
            If there is not exactly one input, it is a volume, or the network gives something
            else than finite logits of the right shape.
        """
        if len(inputs) != 1:
            raise TaskFailed(f"{self._facts.name} classifies one input, {len(inputs)} were given")
        (image,) = inputs.values()
        if not isinstance(image, Frames):
            raise TaskFailed(f"{self._facts.name} classifies images, a volume was given")
        items = torch.from_numpy(padded(scaled(image, self._facts), self._facts))[:, None]
        probabilities = self._probabilities(items)
        present = _present(probabilities, self._facts)
        heat = None
        if self._layer is not None and options.get("explain", True):
            heat = HeatMap(
                array=self._heat(items, present, self._layer, image.array.shape[1:]),
                sources=image.sources,
                of=present,
            )
        count = len(image.array)
        notes = (f"the probabilities are the mean over {count} images",) if count > 1 else ()
        return Findings(
            classification=Classification(
                classes=self._facts.classes,
                probabilities=tuple(map(float, probabilities)),
                present=present,
                sources=image.sources,
            ),
            heat_map=heat,
            notes=notes,
        )

    def _probabilities(self, items: torch.Tensor) -> NDArray[np.float64]:
        """Return (classes,): the mean over all frames."""
        with torch.inference_mode():
            logits = [
                self._logits(group.to(self._device)).double().cpu()
                for group in items.split(FRAMES_AT_ONCE)
            ]
            by_frame = (torch.cat(logits) / self._facts.temperature).softmax(1)
            mean: NDArray[np.float64] = by_frame.mean(0).numpy()
        return mean

    def _logits(self, group: torch.Tensor) -> torch.Tensor:
        logits = self._network(group)
        wanted = (len(group), len(self._facts.classes))
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give logits of {wanted}")
        if not bool(torch.isfinite(logits).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return logits

    def _heat(
        self, items: torch.Tensor, of: int, layer: torch.nn.Module, inside: tuple[int, ...]
    ) -> NDArray[np.float16]:
        """Return (frames, *inside) in 0..1: Grad-CAM (Selvaraju et al. 2017) of one class."""
        parts = [
            self._cam(group.to(self._device), of, layer)[:, : inside[0], : inside[1]].cpu()
            for group in items.split(FRAMES_AT_ONCE)
        ]
        heat = torch.cat(parts)
        strongest = float(heat.max())
        if strongest > 0:
            heat /= strongest
        found: NDArray[np.float16] = heat.half().numpy()
        return found

    def _cam(self, group: torch.Tensor, of: int, layer: torch.nn.Module) -> torch.Tensor:
        features: list[torch.Tensor] = []

        def cut(_layer: torch.nn.Module, _given: object, output: object) -> torch.Tensor:
            if not isinstance(output, torch.Tensor) or output.ndim != FEATURE_AXES:
                raise TaskFailed(f"{self._facts.name}: {self._facts.explain_layer} gives no map")
            features.append(output.detach().requires_grad_())
            # A copy, because what follows may compute in place.
            return features[-1].clone()

        hook = layer.register_forward_hook(cut)
        try:
            # The gradient is needed only from the layer on; the weights need none.
            with torch.enable_grad():
                score = self._logits(group)[:, of].sum()
                if len(features) != 1:
                    raise TaskFailed(f"{self._facts.name}: the layer to explain by runs twice")
                gradient = torch.autograd.grad(score, features, allow_unused=True)[0]
        finally:
            hook.remove()
        if gradient is None:
            raise TaskFailed(f"{self._facts.name}: the layer to explain by decides nothing")
        weights = gradient.mean((2, 3), keepdim=True)
        cam = (weights * features[0].detach()).sum(1, keepdim=True).relu()
        return interpolate(cam, group.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def _present(probabilities: NDArray[np.float64], facts: ModelFacts) -> int:
    """Return the place of the class that is reported as present."""
    point = facts.operating_point
    if point is None:
        return int(probabilities.argmax())
    asked = [item.label for item in facts.classes].index(point.label)
    if probabilities[asked] >= point.threshold:
        return asked
    others = probabilities.copy()
    others[asked] = -1
    return int(others.argmax())
