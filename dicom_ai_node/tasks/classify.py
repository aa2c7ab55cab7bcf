"""Kind `classify`: one of several classes for the image as a whole, and where it speaks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import ModelUnusable, TaskFailed
from dicom_ai_node.domain.findings import Classification, Findings, OperatingPoint
from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.pictures import HeatMap
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded, scaled
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.attribution import grad_cam
from dicom_ai_node.neural.memory import Ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that classifies has."""

    temperature: float = 1.0  # logits are divided by it before softmax
    operating_point: OperatingPoint | None = None  # without it the most probable class is present
    explain_layer: str | None = None  # module whose 2-D feature map a heat map is made of


class Classify:
    """Says which class an image is of, from the mean of its frames; never resamples.

    Parameters
    ----------
    facts
        Intensity and classes.
    settings
        Temperature, operating point and the layer to explain by.
    network
        Takes (batch, 1, rows, columns) float32, gives (batch, classes) logits.
    device
        Where the network lies.

    Raises
    ------
    ModelUnusable
        If the network has no layer of the name in the settings.
    """

    has = ("classes",)

    def __init__(
        self,
        facts: ModelFacts,
        settings: Settings,
        network: torch.nn.Module,
        device: str = "cpu",
    ) -> None:
        self._facts = facts
        self._settings = settings
        self._network = network
        self._device = device
        self._layer: torch.nn.Module | None = None
        self._ladder = Ladder(device)
        if settings.explain_layer is not None:
            self._layer = dict(network.named_modules()).get(settings.explain_layer)
            if self._layer is None:
                raise ModelUnusable(f"{facts.name}: there is no layer {settings.explain_layer}")

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Settings:
        """Return what `settings` of the model says."""
        if facts.sees is Sees.VOLUME:
            w.wrong("", "a model that classifies sees slices or frames")
        if len(facts.classes) == 1:
            w.wrong("", "a model that classifies has at least 2 classes: one excludes nothing")
        temperature = w.number("temperature", 1.0)
        if temperature <= 0:
            w.wrong("temperature", "must be above 0")
        return Settings(
            temperature=temperature,
            operating_point=_operating_point(w, facts),
            explain_layer=w.text("explain_layer") if w.has("explain_layer") else None,
        )

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return the probabilities of all classes for the one image in `inputs`.

        A heat map of the reported class is made if the model names a layer for it, unless the
        option `explain` is false.

        Raises
        ------
        TaskFailed
            If there is not exactly one input, it is a volume, or the network gives something
            else than finite logits of the right shape.
        OutOfResources
            If there is no memory even for a single frame.
        """
        image = self._facts.only_frames(inputs)
        items = torch.from_numpy(padded(scaled(image, self._facts), self._facts))[:, None]
        probabilities, remarks = self._ladder.climb(
            tuple(items.shape), lambda rung: self._probabilities(items, rung.batch)
        )
        present = _present(probabilities, self._facts, self._settings.operating_point)
        heat = None
        if self._layer is not None and options.get("explain", True):
            layer, inside = self._layer, image.array.shape[1:]
            array, _ = self._ladder.climb(
                ("heat", *items.shape),
                lambda rung: self._heat(items.split(rung.batch), present, layer, inside),
            )
            heat = HeatMap(array=array, sources=image.sources, of=present)
        count = len(image.array)
        notes = (f"the probabilities are the mean over {count} images",) if count > 1 else ()
        return Findings(
            classification=Classification(
                classes=self._facts.classes,
                probabilities=tuple(map(float, probabilities)),
                present=present,
                sources=image.sources,
                operating_point=self._settings.operating_point,
            ),
            heat_map=heat,
            notes=(*notes, *remarks),
        )

    def _probabilities(self, items: torch.Tensor, at_once: int) -> NDArray[np.float64]:
        """Return (classes,): the mean over all frames."""
        with torch.inference_mode():
            logits = [
                self._logits(group.to(self._device)).double().cpu()
                for group in items.split(at_once)
            ]
            by_frame = (torch.cat(logits) / self._settings.temperature).softmax(1)
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
        self,
        groups: Sequence[torch.Tensor],
        of: int,
        layer: torch.nn.Module,
        inside: tuple[int, ...],
    ) -> NDArray[np.float16]:
        """Return (frames, *inside) in 0..1: where is what speaks for one class."""
        rows, columns = inside
        parts = [
            grad_cam(lambda batch: self._logits(batch)[:, of], group.to(self._device), layer)
            for group in groups
        ]
        heat = torch.cat(parts)[:, :rows, :columns].cpu()
        strongest = float(heat.max())
        if strongest > 0:
            heat /= strongest
        found: NDArray[np.float16] = heat.half().numpy()
        return found


def _operating_point(w: Wording, facts: ModelFacts) -> OperatingPoint | None:
    if not w.has("operating_point"):
        return None
    part = w.part("operating_point")
    point = OperatingPoint(label=part.text("label"), threshold=part.number("threshold"))
    labels = [item.label for item in facts.classes]
    if point.label not in {"?", *labels}:
        part.wrong("label", f"must be one of {', '.join(labels)}")
    if not 0 < point.threshold <= 1:
        part.wrong("threshold", "must be above 0 and at most 1")
    part.no_more()
    return point


def _present(
    probabilities: NDArray[np.float64], facts: ModelFacts, point: OperatingPoint | None
) -> int:
    """Return the place of the class that is reported as present."""
    if point is None:
        return int(probabilities.argmax())
    asked = [item.label for item in facts.classes].index(point.label)
    if probabilities[asked] >= point.threshold:
        return asked
    others = probabilities.copy()
    others[asked] = -1
    return int(others.argmax())
