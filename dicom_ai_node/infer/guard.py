"""The guard before every task: is the input what the model was made for, or has it been changed?

A route says what follows, by its option `guard`: `warn`, `purify`, `refuse` or `off`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydicom.sr.coding import Code
from scipy.stats import binom

from dicom_ai_node.domain.errors import ModelUnusable, Rejected
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Image, Volume
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.progress import along, share
from dicom_ai_node.domain.quality import ImageQuality, QualityCheck
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.catalog import GUARD
from dicom_ai_node.infer.looked_at import asked, looked_at
from dicom_ai_node.infer.sealed import SealedFolder
from dicom_ai_node.neural.detail import smooth
from dicom_ai_node.neural.guard import Judge, judges_in, signs
from dicom_ai_node.neural.memory import Ladder

FALSE_ALARMS = 0.005
"""The share of unharmed images above each threshold, for which the thresholds were chosen."""
SCHEME = "99DAIN"
_MANIPULATED = (
    Code("ADVSCORE", SCHEME, "Adversarial perturbation score"),
    Code("ADVFLAG", SCHEME, "Adversarial perturbation"),
    "looks manipulated",
)
_UNFAMILIAR = (
    Code("OODSCORE", SCHEME, "Distance from training data"),
    Code("OODFLAG", SCHEME, "Unlike training data"),
    "is unlike the training data",
)
_CHECKS = (_MANIPULATED, _UNFAMILIAR)
_CODES = (RejectCode.IN_MANIPULATED, RejectCode.IN_UNFAMILIAR)


class Guard:
    """Judges images on the grid of one model, before its task does.

    Parameters
    ----------
    network
        Of the model, on `device`.

    Raises
    ------
    ModelUnusable
        If `models/guard.safetensors` is damaged or does not fit the network.
    """

    def __init__(self, facts: ModelFacts, network: torch.nn.Module, device: str = "cpu") -> None:
        if facts.guard is None:
            raise ModelUnusable(f"{facts.name} has no guard")
        layer = dict(network.named_modules()).get(facts.guard.layer)
        if layer is None:
            raise ModelUnusable(f"{facts.name}: there is no layer {facts.guard.layer} to guard by")
        self._facts = facts
        self._layer = layer
        self._network = asked(facts, network)
        self._device = device
        self._smoothing = facts.guard.smoothing
        self._ladder = Ladder(device)
        self._judges = _judges(facts, device)

    def quality(self, images: Mapping[str, Image]) -> Mapping[str, ImageQuality]:
        """Return what was measured on each of the inputs, which lie on the model's grid.

        Of several slices, frames or windows so many may lie above a threshold as chance puts there
        in one of a hundred harmless inputs; the score is the next one.

        Raises
        ------
        OutOfResources
            If there is no memory even for a single frame.
        """
        seen = looked_at(images, self._facts)
        items = torch.from_numpy(seen.items)
        names = list(self._facts.inputs) or list(images)
        found = {}
        for channel, name in enumerate(names):
            with share(channel, len(names)):
                checks = self._checks(items, seen.inside, channel, name)
            sources = images[name].sources
            found[name] = ImageQuality(checks=checks, sources=sources, looked_at=seen.said)
        return found

    def _checks(
        self, items: torch.Tensor, inside: tuple[int, ...], channel: int, name: str
    ) -> tuple[QualityCheck, ...]:
        of = name if self._facts.inputs else ""
        judge = self._judges[of]
        scores, _ = self._ladder.climb(
            tuple(items.shape),
            lambda rung: self._scores(judge, items.split(rung.batch), inside, channel),
        )
        thresholds = judge.thresholds.cpu().numpy()
        place = tolerated(len(scores))
        return tuple(
            QualityCheck(
                concept=concept,
                flag=flag,
                says=says,
                score=float(np.sort(scores[:, column])[::-1][place]),
                threshold=float(thresholds[column]),
                of=of,
            )
            for column, (concept, flag, says) in enumerate(_CHECKS)
        )

    def purified(self, image: Image) -> Image:
        """Return `image` without its finest detail, in which an attack would lie."""
        stack = image.array[None] if isinstance(image, Volume) else image.array
        soft = smooth(torch.from_numpy(stack)[:, None], self._smoothing)[:, 0].numpy()
        return replace(image, array=soft[0] if isinstance(image, Volume) else soft)

    def _scores(
        self, judge: Judge, groups: Sequence[torch.Tensor], inside: tuple[int, ...], channel: int
    ) -> NDArray[np.float32]:
        """Return (items, checks)."""
        with torch.no_grad():
            parts = [
                judge.scores(
                    signs(self._network, self._layer, group.to(self._device), inside, channel)
                )
                for group in along(groups)
            ]
        found: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
        return found


def guarded(
    images: Mapping[str, Image], guard: Guard | None, options: Mapping[str, Option]
) -> tuple[Mapping[str, Image], ImageQuality | None]:
    """Return what the task may see, and what was measured on it.

    Of several inputs each is judged, and the most suspicious one is spoken of; those that are
    reported are smoothed if the route says `purify`.

    Raises
    ------
    Rejected
        IN_MANIPULATED or IN_UNFAMILIAR if the route says `refuse`.
    """
    wanted = options.get("guard", "warn")
    if guard is None or wanted == "off":
        return images, None
    each = guard.quality(images)
    quality = _worst(list(each.values()))
    if quality.is_flagged and wanted == "refuse":
        flagged = [check.is_over for check in quality.checks]
        raise Rejected(_CODES[flagged.index(True)], "; ".join(words(quality)), quality)
    if quality.is_flagged and wanted == "purify":
        soft = {
            name: guard.purified(images[name]) for name, found in each.items() if found.is_flagged
        }
        return {**images, **soft}, replace(quality, is_purified=True)
    return images, quality


def _worst(each: Sequence[ImageQuality]) -> ImageQuality:
    """Return of every check that of the input which lies furthest above, or least below."""
    columns = zip(*(quality.checks for quality in each), strict=True)
    checks = tuple(max(column, key=lambda one: one.score - one.threshold) for column in columns)
    sources = tuple(dict.fromkeys(source for one in each for source in one.sources))
    return replace(each[0], checks=checks, sources=sources)


def with_quality(found: Findings, quality: ImageQuality | None) -> Findings:
    """Return findings that tell what was measured on the input, and what was done about it."""
    if quality is None:
        return found
    notes = words(quality)
    if quality.is_purified:
        notes = (*notes, "the model saw a smoothed copy of the input")
    if quality.looked_at:
        notes = (*notes, quality.looked_at)
    return replace(found, quality=quality, notes=(*found.notes, *notes))


def words(quality: ImageQuality) -> tuple[str, ...]:
    """Return one sentence for every check that says yes."""
    return tuple(
        f"the input {f'{check.of} ' if check.of else ''}{check.says}: {check.concept.meaning} "
        f"{check.score:.3g}, reported from {check.threshold:.3g} on"
        for check in quality.checks
        if check.is_over
    )


def tolerated(items: int, chance: float = FALSE_ALARMS) -> int:
    """Return how many of independent items may lie above a threshold without any meaning.

    The smallest number that chance exceeds in at most `chance` of all harmless inputs; 0 for one
    item.
    """
    counts = range(items)
    return next((n for n in counts if binom.sf(n, items, chance) <= chance), items - 1)


def _judges(facts: ModelFacts, device: str) -> Mapping[str, Judge]:
    """Return a judge for every input by its name, or one without a name."""
    content = SealedFolder(facts.folder).read(GUARD)
    try:
        tensors = safetensors.torch.load(content)
        return judges_in(
            {name: tensor.to(device) for name, tensor in tensors.items()}, facts.inputs
        )
    except (safetensors.SafetensorError, KeyError) as wrong:
        raise ModelUnusable(f"{facts.name}: {GUARD} cannot be read") from wrong
