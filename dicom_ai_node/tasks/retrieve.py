"""Kind `retrieve`: where an image lies among others, the nearer the more alike they look."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Embedding, Findings
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.progress import along
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded, scaled
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.memory import Ladder

SHORTEST = 1e-6
"""A mean of unit vectors that is shorter has no direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that retrieves has."""

    length: int  # of the vector that the network gives
    most_frames: int = 32  # of one series, evenly spaced; more say hardly more


class Retrieve:
    """Gives the mean direction of the frames of one image; never resamples.

    Parameters
    ----------
    facts
        Intensity and grid.
    settings
        Length of the vectors, and how many frames are looked at.
    network
        Takes (batch, 1, rows, columns) float32, gives (batch, length).
    device
        Where the network lies.
    """

    has = ()

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

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Settings:
        """Return what `settings` of the model says."""
        if facts.sees is Sees.VOLUME:
            w.wrong("", "a model that retrieves sees slices or frames")
        return Settings(length=w.whole("length"), most_frames=w.whole("most_frames", 32))

    def __call__(self, inputs: Mapping[str, Image], _options: Mapping[str, Option]) -> Findings:
        """Return where the one image in `inputs` lies.

        Raises
        ------
        TaskFailed
            If there is not exactly one input, it is a volume, or the network gives something
            else than finite vectors of the right length with a common direction.
        OutOfResources
            If there is no memory even for a single frame.
        """
        image = self._facts.only_frames(inputs)
        looked_at = thinned(image, self._settings.most_frames)
        items = torch.from_numpy(padded(scaled(looked_at, self._facts), self._facts))[:, None]
        vector, remarks = self._ladder.climb(
            tuple(items.shape), lambda rung: self._direction(items, rung.batch)
        )
        return Findings(
            embedding=Embedding(vector=vector, sources=looked_at.sources), notes=remarks
        )

    def _direction(self, items: torch.Tensor, at_once: int) -> NDArray[np.float32]:
        """Return (length,): the mean of the unit vectors of all frames, a unit vector again."""
        with torch.inference_mode():
            groups = along(items.split(at_once))
            vectors = [self._vectors(group.to(self._device)).cpu() for group in groups]
            mean = torch.cat(vectors).mean(0)
            length = float(mean.norm())
            if not length > SHORTEST:
                raise TaskFailed(f"{self._facts.name}: the frames have no common direction")
            direction: NDArray[np.float32] = (mean / length).float().numpy()
        return direction

    def _vectors(self, group: torch.Tensor) -> torch.Tensor:
        vectors = self._network(group)
        wanted = (len(group), self._settings.length)
        if not isinstance(vectors, torch.Tensor) or tuple(vectors.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give vectors of {wanted}")
        if not bool(torch.isfinite(vectors).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return torch.nn.functional.normalize(vectors.double())


def thinned(image: Frames, most: int) -> Frames:
    """Return at most so many frames of an image, evenly spaced, with the first and the last."""
    if len(image.array) <= most:
        return image
    chosen = np.linspace(0, len(image.array) - 1, most).round().astype(np.intp)
    return replace(
        image,
        array=image.array[chosen],
        valid=None if image.valid is None else image.valid[chosen],
        sources=tuple(image.sources[n] for n in chosen),
        times_ms=None if image.times_ms is None else tuple(image.times_ms[n] for n in chosen),
        thickness_mm=(
            None if image.thickness_mm is None else tuple(image.thickness_mm[n] for n in chosen)
        ),
    )
