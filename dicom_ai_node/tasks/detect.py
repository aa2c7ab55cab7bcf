"""Kind `detect`: boxes around what is found, each with its probability, frame by frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.boxes import BORDERS, Candidate, candidates
from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.explaining import Explain, explain_of
from dicom_ai_node.domain.findings import Box, Detection, Findings
from dicom_ai_node.domain.image import Image, SourceFrame
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
    """What only a model that detects has.

    A box is right with the probability whose logit is `slope` times the logit of its heat plus
    `offset` (Platt 1999); from `threshold` on it is reported, `limit` a frame at the most.
    """

    slope: float = 1.0
    offset: float = 0.0
    threshold: float
    limit: int = 10
    explain: Explain | None = None  # how a heat map is made


class Detect:
    """Finds boxes by the heat of their centres; never resamples.

    Parameters
    ----------
    facts
        Intensity, grid and classes.
    settings
        Calibration, operating point and how it is explained.
    network
        Takes (batch, 1, rows, columns) float32, gives (batch, classes + 4, rows, columns) as
        `domain.boxes.candidates` reads it.
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
        if facts.sees is not Sees.FRAMES:
            w.wrong("", "a model that detects sees frames")
        slope, threshold = w.number("slope", 1.0), w.number("threshold")
        if slope <= 0:
            w.wrong("slope", "must be above 0")
        if not 0 < threshold <= 1:
            w.wrong("threshold", "must be above 0 and at most 1")
        return Settings(
            slope=slope,
            offset=w.number("offset", 0.0),
            threshold=threshold,
            limit=w.whole("limit", 10),
            explain=explain_of(w),
        )

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return the boxes on every frame of the one image in `inputs`.

        A heat map of the class of the surest box is made if the model says how, unless the option
        `explain` is false.

        Raises
        ------
        TaskFailed
            If there is not exactly one input, it is a volume, or the network gives something
            else than finite numbers of the right shape.
        OutOfResources
            If there is no memory even for a single frame.
        """
        image = self._facts.only_frames(inputs)
        items = torch.from_numpy(padded(scaled(image, self._facts), self._facts))[:, None]
        inside = (image.array.shape[1], image.array.shape[2])
        explains = self._explainer is not None and bool(options.get("explain", True))
        with during(Phase.RUNNING, high=ANSWERED if explains else 1):
            proposed, remarks = self._ladder.climb(
                tuple(items.shape), lambda rung: self._proposed(items.split(rung.batch), inside)
            )
        boxes = tuple(
            box
            for source, proposals in zip(image.sources, proposed, strict=True)
            for box in self._boxes(source, proposals)
        )
        heat = None
        if self._explainer is not None and boxes and explains:
            of = max(boxes, key=lambda box: box.probability).of
            with during(Phase.EXPLAINING, ANSWERED):
                array = self._heat(self._explainer, items, of, inside)
            heat = HeatMap(array=array, sources=image.sources, of=of, by=self._explainer.method)
        return Findings(
            detection=Detection(
                classes=self._facts.classes,
                boxes=boxes,
                threshold=self._settings.threshold,
                sources=image.sources,
            ),
            heat_map=heat,
            notes=remarks,
        )

    def _proposed(
        self, groups: Sequence[torch.Tensor], inside: tuple[int, int]
    ) -> list[list[Candidate]]:
        """Return what the network proposes on each frame."""
        with torch.inference_mode():
            return [
                candidates(answer, inside, self._settings.limit)
                for group in along(groups)
                for answer in self._answers(group.to(self._device)).float().cpu().numpy()
            ]

    def _answers(self, group: torch.Tensor) -> torch.Tensor:
        answers = self._network(group)
        wanted = (len(group), len(self._facts.classes) + BORDERS, *group.shape[2:])
        if not isinstance(answers, torch.Tensor) or tuple(answers.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give numbers of {wanted}")
        if not bool(torch.isfinite(answers).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return answers

    def _boxes(self, source: SourceFrame, proposals: Sequence[Candidate]) -> list[Box]:
        """Return those that are as probable as the operating point wants it."""
        line = self._settings
        chances = [1 / (1 + np.exp(-(line.slope * one.logit + line.offset))) for one in proposals]
        return [
            Box(of=one.of, probability=float(chance), source=source, corners=one.corners)
            for one, chance in zip(proposals, chances, strict=True)
            if chance >= line.threshold
        ]

    def _heat(
        self, explainer: Explainer, items: torch.Tensor, of: int, inside: tuple[int, int]
    ) -> NDArray[np.float16]:
        """Return (frames, *inside) in 0..1: where is what speaks for the surest box of a class."""
        rows, columns = inside

        def hottest(batch: torch.Tensor) -> torch.Tensor:
            return self._answers(batch)[:, of, :rows, :columns].amax((1, 2))

        def explained(rung: Rung) -> torch.Tensor:
            return explainer.heat(
                hottest, [group.to(self._device) for group in items.split(rung.batch)]
            )

        heat, _ = self._ladder.climb(("heat", *items.shape), explained)
        found: NDArray[np.float16] = heat[:, :rows, :columns].half().numpy()
        return found
