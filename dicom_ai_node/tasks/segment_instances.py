"""Kind `segment_instances`: objects one by one, from a network that gives their rim and core.

Made for nuclei in microscopy. Pictures that were lit from behind are inverted, so that what is
stained is bright, as it is in fluorescence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings, Instances, Segmentation
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts, Scaling, Sees
from dicom_ai_node.domain.progress import along
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.memory import Ladder, Rung
from dicom_ai_node.neural.separate import (
    CORE,
    Limits,
    brightened,
    histogram_of,
    outlines_of,
    separate,
)

Network = Callable[[torch.Tensor], object]

REGIONS_AT_ONCE = 4
_MM_TO_UM = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that finds objects has.

    `spacing_um` is the range of pixel spacings, in micrometres, at which objects have about the
    size that the network knows, or `None` if any will do.
    """

    limits: Limits
    spacing_um: tuple[float, float] | None = None


class SegmentInstances:
    """Finds objects in the frames it is given, each for itself; never resamples.

    Parameters
    ----------
    facts
        Intensity, grid and the one segment that all objects are of.
    settings
        What counts as an object, and at which pixel spacings.
    network
        Takes (batch, 1, rows, columns) float32, gives (batch, 3, rows, columns) logits of
        background, rim and core.
    device
        Where the network lies.
    """

    has = ("segments",)

    def __init__(
        self, facts: ModelFacts, settings: Settings, network: Network, device: str = "cpu"
    ) -> None:
        self._facts = facts
        self._settings = settings
        self._network = network
        self._device = device
        self._ladder = Ladder(device, REGIONS_AT_ONCE)

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Settings:
        """Return what `settings` of the model says."""
        if len(facts.segments) > 1:
            w.wrong("", "a model of this kind finds objects of one segment")
        if facts.intensity.scaling is not Scaling.PERCENTILE:
            w.wrong("", "a model of this kind scales by percentile")
        if facts.sees is not Sees.REGIONS:
            w.wrong("", "a model of this kind sees regions")
        usual = Limits()
        limits = Limits(
            core=w.number("core", usual.core),
            inside=w.number("inside", usual.inside),
            smallest_px=w.whole("smallest_px", usual.smallest_px),
        )
        for key, value in (("core", limits.core), ("inside", limits.inside)):
            if not 0 < value < 1:
                w.wrong(key, "must be above 0 and below 1")
        spacing_um = None
        if w.has("spacing_um"):
            low, high = w.numbers("spacing_um", (2,), above=0)
            spacing_um = (low, high)
            if low >= high:
                w.wrong("spacing_um", "must be [smallest, largest]")
        return Settings(limits=limits, spacing_um=spacing_um)

    def __call__(self, inputs: Mapping[str, Image], _options: Mapping[str, Option]) -> Findings:
        """Return every object in the one input, and which pixels any of them has.

        Raises
        ------
        Rejected
            SM_NO_LEVEL if the pixels are smaller or larger than the model knows.
        TaskFailed
            If there is not exactly one input, it is a volume, or the network gives something
            else than finite logits of the right shape.
        OutOfResources
            If there is no memory even for the smallest batch.
        """
        image = self._facts.only_frames(inputs)
        self._check_spacing(image)
        items = torch.from_numpy(padded(self._scaled(image), self._facts))[:, None]
        probabilities, remarks = self._ladder.climb(
            tuple(items.shape), lambda rung: self._on_rung(items, rung)
        )
        rows, columns = image.array.shape[1:]
        objects = [
            separate(frame, self._settings.limits) for frame in probabilities[..., :rows, :columns]
        ]
        return Findings(
            segmentation=Segmentation(
                labels=self._labels(objects), sources=image.sources, segments=self._facts.segments
            ),
            instances=self._instances(objects, image),
            notes=remarks,
        )

    def _check_spacing(self, image: Frames) -> None:
        limits = self._settings.spacing_um
        if limits is None or image.spacing_mm is None:
            return
        found = [length * _MM_TO_UM for length in image.spacing_mm]
        if not limits[0] <= min(found) <= max(found) <= limits[1]:
            raise Rejected(
                RejectCode.SM_NO_LEVEL,
                f"{max(found):.3g} um a pixel, {self._facts.name} knows "
                f"{limits[0]:g} to {limits[1]:g} um",
            )

    def _scaled(self, image: Frames) -> NDArray[np.float32]:
        """Return all frames in 0..1, judged by the whole picture that they are parts of."""
        percent = (self._facts.intensity.low, self._facts.intensity.high)
        whole = image.histogram
        return np.stack(
            [
                brightened(frame, histogram_of(frame) if whole is None else whole, percent)
                for frame in image.array
            ]
        )

    def _on_rung(self, items: torch.Tensor, rung: Rung) -> NDArray[np.float32]:
        """Return (frames, 3, rows, columns) probabilities, with the padding."""
        parts = []
        with torch.inference_mode():
            for group in along(items.split(rung.batch)):
                logits = self._checked(self._network(group.to(self._device)), group)
                parts.append(logits.float().softmax(1).cpu().numpy())
        return np.concatenate(parts)

    def _checked(self, logits: object, group: torch.Tensor) -> torch.Tensor:
        wanted = (len(group), 1 + CORE, *group.shape[2:])
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give logits of {wanted}")
        if not bool(torch.isfinite(logits).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return logits

    def _labels(self, objects: list[NDArray[np.int32]]) -> NDArray[np.uint8]:
        number = np.uint8(self._facts.segments[0].number)
        return np.stack([(frame > 0) * number for frame in objects])

    def _instances(self, objects: list[NDArray[np.int32]], image: Frames) -> Instances:
        outlines = [outlines_of(frame) for frame in objects]
        areas = [np.bincount(frame.ravel())[1:] for frame in objects]
        each = [len(frame) for frame in outlines]
        every = [outline for frame in outlines for outline in frame]
        return Instances(
            points=np.concatenate([np.zeros((0, 2), np.float32), *every]),
            starts=np.cumsum([0, *map(len, every)], dtype=np.int64),
            numbers=np.full(len(every), self._facts.segments[0].number, np.uint8),
            areas_px=np.concatenate(areas).astype(np.int32),
            frames=np.repeat(np.arange(len(each), dtype=np.int32), each),
            sources=image.sources,
            segments=self._facts.segments,
        )
