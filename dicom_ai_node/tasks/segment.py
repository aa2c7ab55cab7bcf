"""Kind `segment`: a label for every pixel, from a network that gives one channel per structure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings, Segmentation
from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.progress import share
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import laid_out, reference_of
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.memory import AT_ONCE, Ladder, Rung
from dicom_ai_node.neural.mirror import AXES, mirrored
from dicom_ai_node.neural.outline import outlined
from dicom_ai_node.neural.precision import in_bfloat16
from dicom_ai_node.neural.windows import batches, counted

Network = Callable[[torch.Tensor], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that segments has."""

    largest_only: bool = False  # keep the largest connected part of every segment
    fill_holes: bool = False
    part_of_rise: float | None = None  # where a hot spot ends on the way up to its maximum
    background: float = 0.0  # added to its logit, so that segments become smaller or larger
    mirror: tuple[str, ...] = ()  # axes along which the image is also looked at reversed
    bfloat16: bool = False  # where the device calculates with it itself


class Segment:
    """Labels an image on the grid it is given; never resamples.

    Parameters
    ----------
    facts
        Intensity, window and segments.
    settings
        What to tidy.
    network
        Takes (batch, inputs, *grid) float32, gives (batch, 1 + segments, *grid) logits.
    device
        Where the network lies.
    """

    has = ("segments", "measure", "window")

    def __init__(
        self, facts: ModelFacts, settings: Settings, network: Network, device: str = "cpu"
    ) -> None:
        self._facts = facts
        self._settings = settings
        quick = in_bfloat16(network, device) if settings.bfloat16 else network
        self._network = mirrored(quick, settings.mirror)
        self._device = device
        self._ladder = Ladder(device, facts.window.batch if facts.window else AT_ONCE)

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Settings:
        """Return what `settings` of the model says."""
        axes = AXES if facts.sees is Sees.VOLUME else AXES[:2]
        mirror = w.texts("mirror")
        if not set(mirror) <= set(axes):
            w.wrong("mirror", f"must be some of {', '.join(axes)}")
            mirror = ()
        part = None
        if w.has("outline"):
            outline = w.part("outline")
            part = outline.number("part_of_rise")
            outline.no_more()
            if not 0 < part < 1:
                w.wrong("outline", "part_of_rise must lie between 0 and 1")
        return Settings(
            largest_only=w.yes("largest_only"),
            fill_holes=w.yes("fill_holes"),
            part_of_rise=part,
            background=w.number("background", 0.0),
            mirror=mirror,
            bfloat16=w.yes("bfloat16"),
        )

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return labels on the grid of the reference, or of the one image in `inputs`.

        With the option `keep_probabilities` the segmentation carries them.

        Raises
        ------
        TaskFailed
            If the inputs are not those of the model, or the network gives something else than
            finite logits of the right shape.
        OutOfResources
            If there is no memory even for the smallest batch.
        """
        image = reference_of(inputs, self._facts)
        items = torch.from_numpy(laid_out(inputs, self._facts))
        shape = image.array.shape
        probabilities, remarks = self._ladder.climb(
            tuple(items.shape), lambda rung: self._on_rung(items, rung, shape)
        )
        labels = _strongest(probabilities)
        tidy(labels, probabilities, image.array, self._facts, self._settings)
        segmentation = Segmentation(
            labels=labels,
            sources=image.sources,
            segments=self._facts.segments,
            probabilities=probabilities if options.get("keep_probabilities") else None,
        )
        return Findings(segmentation=segmentation, notes=remarks)

    def _on_rung(
        self, items: torch.Tensor, rung: Rung, shape: tuple[int, ...]
    ) -> NDArray[np.float16]:
        inside = tuple(slice(0, length) for length in shape[-(items.ndim - 2) :])
        parts = []
        groups = items.split(rung.batch)
        with torch.inference_mode():
            for place, group in enumerate(groups):
                with share(place, len(groups)):
                    logits = self._checked(self._logits(group.to(self._device), rung), group)
                if self._settings.background:
                    logits = torch.cat(
                        [logits[:, :1] + self._settings.background, logits[:, 1:]], dim=1
                    )
                probabilities = logits.softmax(1)[:, 1:][(slice(None), slice(None), *inside)]
                parts.append(probabilities.half().cpu().numpy())
        found = np.concatenate(parts)
        # A volume is the only item of its batch; frames become the second axis.
        by_segment = found[0] if items.ndim - 2 == len(shape) else found.swapaxes(0, 1)
        return np.ascontiguousarray(by_segment)

    def _logits(self, group: torch.Tensor, rung: Rung) -> object:
        window = self._facts.window
        if window is None:
            return self._network(group)
        total = batches(group.shape[2:], window.roi_size, window.overlap, len(group), rung.batch)
        stitched: object = sliding_window_inference(
            group,
            window.roi_size,
            rung.batch,
            counted(self._network, total),
            overlap=window.overlap,
            mode="gaussian",
            sw_device=self._device,
            device=rung.stitch_on,
        )
        return stitched

    def _checked(self, logits: object, group: torch.Tensor) -> torch.Tensor:
        wanted = (len(group), 1 + len(self._facts.segments), *group.shape[2:])
        if not isinstance(logits, torch.Tensor) or tuple(logits.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give logits of {wanted}")
        if not bool(torch.isfinite(logits).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return logits


def tidy(
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float16],
    values: NDArray[np.float32],
    facts: ModelFacts,
    settings: Settings,
) -> None:
    """Outline every segment anew, keep its largest part, fill its holes, as the settings ask.

    An outline is drawn on `values`, those of the image that the labels lie on, in its unit.

    Labels and probabilities are changed together, so that nothing which was taken away comes back
    when the probabilities are interpolated. Parts hang together across the slices of a volume or
    a stack; frames are looked at one by one, and so are the holes of a stack.
    """
    for channel, segment in enumerate(facts.segments):
        before = labels == segment.number
        after = before
        if settings.part_of_rise is not None:
            after = _redrawn(after, values, settings.part_of_rise, facts.sees)
        if settings.largest_only:
            after = _by_frame(after, _largest) if facts.sees is Sees.FRAMES else _largest(after)
        if settings.fill_holes:
            filled = _filled(after) if facts.sees is Sees.VOLUME else _by_frame(after, _filled)
            # A hole that another segment fills is none.
            after = filled & (before | (labels == 0))
        lost, won = before & ~after, after & ~before
        labels[lost], labels[won] = 0, segment.number
        probabilities[channel][lost] = 0
        probabilities[:, won] = 0
        probabilities[channel][won] = 1


def _strongest(probabilities: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Return the number of the strongest channel; the background has what is left over."""
    labels = np.zeros(probabilities.shape[1:], np.uint8)
    best = 1 - probabilities.sum(axis=0, dtype=np.float32)
    for channel, probability in enumerate(probabilities):
        wins = probability > best
        labels[wins] = channel + 1
        best[wins] = probability[wins]
    return labels


def _redrawn(
    mask: NDArray[np.bool_], values: NDArray[np.float32], part_of_rise: float, sees: Sees
) -> NDArray[np.bool_]:
    if sees is not Sees.FRAMES:
        return outlined(mask, values, part_of_rise)
    pairs = zip(mask, values, strict=True)
    return np.stack([outlined(one, frame, part_of_rise) for one, frame in pairs])


def _by_frame(
    masks: NDArray[np.bool_], change: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    return np.stack([change(mask) for mask in masks])


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(parts.ravel())[1:]
    largest: NDArray[np.bool_] = parts == 1 + int(sizes.argmax())
    return largest


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled
