"""Kind `restore`: the same image with less noise, haze or speckle, or with more pixels.

The network says how much each pixel is to change; the task keeps that small, and keeps the mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts, Scaling, Sees
from dicom_ai_node.domain.pictures import Restoration
from dicom_ai_node.domain.progress import share
from dicom_ai_node.domain.restoring import enlarged, extended, kept_mean
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import ends, to_range
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.memory import AT_ONCE, Ladder, Rung
from dicom_ai_node.neural.windows import batches, counted

FACTORS = (1, 2)
HOUNSFIELD, AIR_HU = "[hnsf'U]", -1000.0
"""UCUM code, and the value of no attenuation at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that restores has.

    Attributes
    ----------
    factor
        How many times more rows and columns the result has.
    largest_change
        By how much a pixel may change, as a part of the range that the intensity scaling brings
        to 0..1. The network's answer, which is cut at -1 and 1, is multiplied by it.
    derivation
        What is done, PS3.16 CID 7203.
    """

    factor: int
    largest_change: float
    derivation: Code


class Restore:
    """Changes images pixel by pixel, on the pixels of the source or on more of them.

    Parameters
    ----------
    facts
        Intensity and window.
    settings
        Factor, largest change and what it is called.
    network
        Takes (batch, 1, rows, columns) float32 in 0..1, already enlarged; gives the same shape:
        the change, in -1..1.
    device
        Where the network lies.
    """

    has = ("window",)

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
        self._ladder = Ladder(device, facts.window.batch if facts.window else AT_ONCE)

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Settings:
        """Return what `settings` of the model says."""
        if facts.sees is Sees.VOLUME:
            w.wrong("", "a model that restores sees slices or frames")
        if facts.intensity.scaling not in {Scaling.WINDOW, Scaling.PERCENTILE}:
            w.wrong("", "a model that restores scales by a window or by percentiles")
        factor, largest = w.whole("factor", 1), w.number("largest_change")
        if factor not in FACTORS:
            w.wrong("factor", f"must be one of {', '.join(map(str, FACTORS))}")
        if not 0 < largest <= 1:
            w.wrong("largest_change", "must be above 0 and at most 1")
        return Settings(factor=factor, largest_change=largest, derivation=w.code("derivation"))

    def __call__(self, inputs: Mapping[str, Image], _options: Mapping[str, Option]) -> Findings:
        """Return the one image in `inputs`, restored, in its unit.

        Raises
        ------
        TaskFailed
            If there is not exactly one input, it is a volume, the network gives something else
            than finite numbers of the right shape, or the mean of the image would not be kept.
        OutOfResources
            If there is no memory even for a single frame.
        """
        image = self._facts.only_frames(inputs)
        base = np.stack([enlarged(frame, self._settings.factor) for frame in image.array])
        changes, remarks = self._changes(image, base)
        changes[np.ptp(base, axis=(1, 2)) == 0] = 0  # a frame of nothing has nothing to restore
        valid = _valid(image, self._settings.factor)
        if valid is not None:
            changes[~valid] = 0
        zero = AIR_HU if image.unit == HOUNSFIELD else 0.0
        array, note = kept_mean(base, base + changes, valid, zero)
        return Findings(
            restoration=Restoration(
                array=array,
                sources=image.sources,
                factor=self._settings.factor,
                unit=image.unit,
                derivation=self._settings.derivation,
            ),
            notes=(*remarks, *note),
        )

    def _changes(
        self, image: Frames, base: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Return (frames, rows, columns) in the unit of the image, none larger than allowed."""
        limits = ends(image, self._facts)
        seen = [to_range(b, e) for b, e in zip(base, limits, strict=True)]
        least = None if self._facts.window is None else self._facts.window.roi_size
        items = torch.from_numpy(extended(np.stack(seen), least))[:, None]
        inside = (slice(None), 0, slice(0, base.shape[1]), slice(0, base.shape[2]))

        def compute(rung: Rung) -> NDArray[np.float32]:
            groups, parts = items.split(rung.batch), []
            with torch.inference_mode():
                for place, group in enumerate(groups):
                    with share(place, len(groups)):
                        parts.append(self._answer(group, rung)[inside])
            found: NDArray[np.float32] = torch.cat(parts).numpy()
            return found

        found, remarks = self._ladder.climb(tuple(items.shape), compute)
        spans = np.array([high - low for low, high in limits], np.float32)
        largest = (spans * self._settings.largest_change)[:, None, None]
        return np.clip(found, -1, 1) * largest, remarks

    def _answer(self, group: torch.Tensor, rung: Rung) -> torch.Tensor:
        window = self._facts.window
        on_device = group.to(self._device)
        if window is None:
            answer: object = self._network(on_device)
        else:
            shape, size = group.shape[2:], window.roi_size
            total = batches(shape, size, window.overlap, len(group), rung.batch)
            answer = sliding_window_inference(
                on_device, size, rung.batch, counted(self._network, total), overlap=window.overlap,
                mode="gaussian", sw_device=self._device, device=rung.stitch_on,
            )  # fmt: skip
        if not isinstance(answer, torch.Tensor) or answer.shape != group.shape:
            raise TaskFailed(f"{self._facts.name}: the network did not give one value per pixel")
        if not bool(torch.isfinite(answer).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return answer.float().cpu()


def _valid(image: Frames, factor: int) -> NDArray[np.bool_] | None:
    if image.valid is None:
        return None
    return image.valid.repeat(factor, axis=1).repeat(factor, axis=2)
