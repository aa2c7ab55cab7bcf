"""Kind `classify`: one of several classes for the image as a whole, and where it speaks for it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.explaining import Explain, explain_of
from dicom_ai_node.domain.findings import Classification, Findings, OperatingPoint
from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.pictures import HeatMap
from dicom_ai_node.domain.progress import Phase, along, during
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded, scaled
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.attribution import ANSWERED, Explainer
from dicom_ai_node.neural.memory import Ladder, Rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that classifies has."""

    temperature: float = 1.0  # logits are divided by it before softmax
    operating_point: OperatingPoint | None = None  # without it the most probable class is present
    most_certain_of: str | None = None  # of several images the one where this is likeliest decides
    explain: Explain | None = None  # how a heat map is made


class Classify:
    """Says which class an image is of, from all of its frames or the surest; never resamples.

    Parameters
    ----------
    facts
        Intensity and classes.
    settings
        Temperature, operating point, what decides and how it is explained.
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
        self._ladder = Ladder(device)
        self._explainer: Explainer | None = None
        if settings.explain is not None:
            self._explainer = Explainer(settings.explain, network, facts.name)

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
            most_certain_of=_most_certain_of(w, facts),
            explain=explain_of(w),
        )

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return the probabilities of all classes for the one image in `inputs`.

        A heat map of the reported class is made if the model says how, unless the option `explain`
        is false.

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
        explains = self._explainer is not None and bool(options.get("explain", True))
        with during(Phase.RUNNING, high=ANSWERED if explains else 1):
            by_frame, remarks = self._ladder.climb(
                tuple(items.shape), lambda rung: self._probabilities(items, rung.batch)
            )
        decided = self._deciding(by_frame)
        probabilities = by_frame.mean(0) if decided is None else by_frame[decided]
        present = _present(probabilities, self._facts, self._settings.operating_point)
        heat = None
        if self._explainer is not None and explains:
            asked = slice(None) if decided is None else slice(decided, decided + 1)
            with during(Phase.EXPLAINING, ANSWERED):
                array = self._heat(self._explainer, items[asked], present, image.array.shape[1:])
            heat = HeatMap(
                array=array, sources=image.sources[asked], of=present, by=self._explainer.method
            )
        return Findings(
            classification=Classification(
                classes=self._facts.classes,
                probabilities=tuple(map(float, probabilities)),
                present=present,
                sources=image.sources,
                operating_point=self._settings.operating_point,
                decided_by=None if decided is None else image.sources[decided],
            ),
            heat_map=heat,
            notes=(*self._notes(len(by_frame)), *remarks),
        )

    def _deciding(self, by_frame: NDArray[np.float64]) -> int | None:
        """Return which of several frames speaks for all, `None` if all speak together."""
        label = self._settings.most_certain_of
        if label is None or len(by_frame) == 1:
            return None
        return int(by_frame[:, _place_of(label, self._facts)].argmax())

    def _notes(self, count: int) -> tuple[str, ...]:
        label = self._settings.most_certain_of
        if count == 1:
            return ()
        if label is None:
            return (f"the probabilities are the mean over {count} images",)
        return (
            f"the probabilities are those of the one of {count} images that is likeliest {label}",
        )

    def _probabilities(self, items: torch.Tensor, at_once: int) -> NDArray[np.float64]:
        """Return (frames, classes)."""
        with torch.inference_mode():
            logits = [
                self._logits(group.to(self._device)).double().cpu()
                for group in along(items.split(at_once))
            ]
            found: NDArray[np.float64] = (
                (torch.cat(logits) / self._settings.temperature).softmax(1).numpy()
            )
        return found

    def _logits(self, group: torch.Tensor) -> torch.Tensor:
        logits = self._network(group)
        wanted = (len(group), len(self._facts.classes))
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give logits of {wanted}")
        if not bool(torch.isfinite(logits).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return logits

    def _heat(
        self, explainer: Explainer, items: torch.Tensor, of: int, inside: tuple[int, ...]
    ) -> NDArray[np.float16]:
        """Return (frames, *inside) in 0..1: where is what speaks for one class."""
        rows, columns = inside

        def explained(rung: Rung) -> torch.Tensor:
            groups = [group.to(self._device) for group in items.split(rung.batch)]
            return explainer.heat(lambda batch: self._logits(batch)[:, of], groups)

        heat, _ = self._ladder.climb(("heat", *items.shape), explained)
        found: NDArray[np.float16] = heat[:, :rows, :columns].half().numpy()
        return found


def _most_certain_of(w: Wording, facts: ModelFacts) -> str | None:
    if not w.has("most_certain_of"):
        return None
    label, labels = w.text("most_certain_of"), [item.label for item in facts.classes]
    if label not in {"?", *labels}:
        w.wrong("most_certain_of", f"must be one of {', '.join(labels)}")
    return label


def _place_of(label: str, facts: ModelFacts) -> int:
    return [item.label for item in facts.classes].index(label)


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
    asked = _place_of(point.label, facts)
    if probabilities[asked] >= point.threshold:
        return asked
    others = probabilities.copy()
    others[asked] = -1
    return int(others.argmax())
