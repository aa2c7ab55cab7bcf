"""Kind `segment`: a label for every pixel, from a network that gives one channel per structure."""

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.domain.errors import OutOfResources, TaskFailed
from dicom_ai_node.domain.findings import Findings, Segmentation
from dicom_ai_node.domain.image import Image, Volume
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded, scaled

FRAMES_AT_ONCE = 8
"""Frames or windows in one batch where the model does not say."""

Network = Callable[[torch.Tensor], object]


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to use memory: how many at once, and where windows are put together."""

    batch: int
    stitch_on: str


class Segment:
    """Labels an image on the grid it is given; never resamples.

    Parameters
    ----------
    facts
        Intensity, window, segments and what to tidy.
    network
        Takes (batch, 1, *grid) float32, gives (batch, 1 + segments, *grid) logits.
    device
        Where the network lies.
    """

    def __init__(self, facts: ModelFacts, network: Network, device: str = "cpu") -> None:
        self._facts = facts
        self._network = network
        self._device = device
        self._rungs_by_shape: dict[tuple[int, ...], int] = {}

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return labels for the one image in `inputs`; its name does not matter.

        With the option `keep_probabilities` the segmentation carries them.

        Raises
        ------
        TaskFailed
            If there is not exactly one input, or the network gives something else than finite
            logits of the right shape.
        OutOfResources
            If there is no memory even for the smallest batch.
        """
        if len(inputs) != 1:
            raise TaskFailed(f"{self._facts.name} segments one input, {len(inputs)} were given")
        (image,) = inputs.values()
        items = self._items(image)
        rung, probabilities = self._predicted(items, image.array.shape)
        labels = _strongest(probabilities)
        tidy(labels, probabilities, self._facts)
        segmentation = Segmentation(
            labels=labels,
            sources=image.sources,
            segments=self._facts.segments,
            probabilities=probabilities if options.get("keep_probabilities") else None,
        )
        return Findings(segmentation=segmentation, notes=_remarks(rung, self._ladder()[0]))

    def _items(self, image: Image) -> torch.Tensor:
        """Return (items, 1, *grid) float32, scaled and padded: one volume, or every frame."""
        values = scaled(image, self._facts)
        stack = values[None] if isinstance(image, Volume) else values
        return torch.from_numpy(padded(stack, self._facts))[:, None]

    def _predicted(
        self, items: torch.Tensor, shape: tuple[int, ...]
    ) -> tuple[Rung, NDArray[np.float16]]:
        """Return the rung that held, and (segments, *shape) probabilities without padding."""
        ladder = self._ladder()
        key = tuple(items.shape)
        for place in range(self._rungs_by_shape.get(key, 0), len(ladder)):
            try:
                found = self._on_rung(items, ladder[place], shape)
            except (RuntimeError, MemoryError) as fault:
                if not is_out_of_memory(fault):
                    raise
            else:
                self._rungs_by_shape[key] = place
                return ladder[place], found
            # Outside of the except block, where the traceback no longer holds tensors.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        raise OutOfResources(f"{self._facts.name}: no memory on {self._device} for {key}")

    def _on_rung(
        self, items: torch.Tensor, rung: Rung, shape: tuple[int, ...]
    ) -> NDArray[np.float16]:
        inside = tuple(slice(0, length) for length in shape[-(items.ndim - 2) :])
        parts = []
        with torch.inference_mode():
            for group in items.split(rung.batch):
                logits = self._checked(self._logits(group.to(self._device), rung), group)
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
        stitched: object = sliding_window_inference(
            group,
            window.roi_size,
            rung.batch,
            self._network,
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

    def _ladder(self) -> list[Rung]:
        window = self._facts.window
        return list(rungs(window.batch if window else FRAMES_AT_ONCE, self._device))


def _remarks(rung: Rung, first: Rung) -> tuple[str, ...]:
    if rung == first:
        return ()
    where = "" if rung.stitch_on == first.stitch_on else ", put together on the CPU"
    return (f"memory was short: computed {rung.batch} at a time{where}, in the same precision",)


def rungs(batch: int, device: str) -> Iterator[Rung]:
    """Yield ever smaller uses of memory: half the batch each time, then windows on the CPU."""
    while batch > 1:
        yield Rung(batch, device)
        batch //= 2
    yield Rung(1, device)
    if device != "cpu":
        yield Rung(1, "cpu")


def is_out_of_memory(fault: BaseException) -> bool:
    """Return whether `fault` or what caused it is a lack of memory; MONAI wraps some of them."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError | MemoryError):
            return True
        if "out of memory" in str(cause).lower() or "can't allocate memory" in str(cause).lower():
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def tidy(labels: NDArray[np.uint8], probabilities: NDArray[np.float16], facts: ModelFacts) -> None:
    """Keep the largest part of every segment and fill its holes, if the facts ask for it.

    Labels and probabilities are changed together, so that nothing which was taken away comes back
    when the probabilities are interpolated. Parts hang together across the slices of a volume or
    a stack; frames are looked at one by one, and so are the holes of a stack.
    """
    for channel, segment in enumerate(facts.segments):
        before = labels == segment.number
        after = before
        if facts.largest_only:
            after = _by_frame(after, _largest) if facts.sees is Sees.FRAMES else _largest(after)
        if facts.fill_holes:
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
