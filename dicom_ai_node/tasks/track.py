"""Kind `track`: what lies somewhere on the first frame, followed through the cine.

What to follow is said by the route (`start`, a point or a box), or chosen where the first frame has
the most texture (`auto`). The channels of the network are features by which places are found again;
a model has one segment, which says what its routes point at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_ai_node.domain.errors import ConfigError, TaskFailed
from dicom_ai_node.domain.findings import Findings, Segment, Segmentation, Trajectory
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded, scaled
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.corners import corners
from dicom_ai_node.neural.follow import Followed, Rules, follow
from dicom_ai_node.neural.memory import Ladder
from dicom_ai_node.neural.pose import LEAST_AGREE, Pose, moved, points_on, pose

MOST_POINTS = 25
"""Places that are followed inside a structure; their common motion is that of the structure."""
AUTO = "auto"
"""What a route says that leaves to the node what is followed."""
COLOURS_RGB = ((0, 200, 255), (255, 170, 0), (230, 120, 200), (240, 230, 70))
"""Of the places that are chosen, so many are: seen apart by colour-blind people, too."""
HALF = 0.5
"""A pixel that is covered this far belongs to the structure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that follows has: how many features, and the rules."""

    features: int
    rules: Rules


@dataclass(frozen=True, slots=True)
class _Start:
    """What is followed: a structure with its pixels on the first frame, or without: a point."""

    segment: Segment
    points: NDArray[np.float32]
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class _Course:
    """How a structure has moved: a pose and a confidence for every frame."""

    start: _Start
    poses: Sequence[Pose]
    confidence: NDArray[np.float64]
    is_seen: NDArray[np.bool_]

    def trajectory(self, image: Frames) -> Trajectory:
        """Return where its middle is."""
        mask = self.start.mask
        middle = self.start.points[0] if mask is None else np.argwhere(mask).mean(axis=0)
        places = np.stack([item.forth(middle.astype(np.float64)) for item in self.poses])
        # Rounded to the nearest pixel it must be one of the image.
        pixels = np.rint(places)
        inside = ((pixels >= 0) & (pixels < image.array.shape[1:])).all(axis=1)
        return Trajectory(
            points=np.where((self.is_seen & inside)[:, None], places, np.nan),
            confidence=self.confidence.astype(np.float32),
            sources=image.sources,
            of=self.start.segment,
            times_ms=image.times_ms,
            spacing_mm=image.spacing_mm,
        )

    def covers(self) -> NDArray[np.float16]:
        """Return (frames, rows, columns): how much of each pixel it covers; 0 where it is lost."""
        mask = self.start.mask
        if mask is None:
            return np.zeros((0, 0, 0), np.float16)
        found = np.zeros((len(self.poses), *mask.shape), np.float16)
        for index, by in enumerate(self.poses):
            if self.is_seen[index]:
                found[index] = moved(mask, by)
        return found


class Track:
    """Follows one or more structures through the frames of a cine; never resamples.

    Parameters
    ----------
    facts
        Intensity, and the one segment that routes point at.
    settings
        Number of features, and how places are found again.
    network
        Takes (batch, 1, rows, columns) float32, gives (batch, features, rows, columns).
    device
        Where the network lies.
    """

    has = ("segments",)

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
        (self._segment,) = facts.segments

    @staticmethod
    def settings(w: Wording, facts: ModelFacts) -> Settings:
        """Return what `settings` of the model says."""
        if facts.sees is not Sees.FRAMES:
            w.wrong("", "a model that follows sees frames")
        if len(facts.segments) != 1:
            w.wrong("", "a model that follows has one segment: what its routes point at")
        rules = Rules(
            template_px=w.whole("template_px"),
            search_px=w.whole("search_px"),
            first_weight=w.number("first_weight"),
            half_at=w.number("half_at"),
            per_similarity=w.number("per_similarity"),
            per_px=w.number("per_px"),
            least=w.number("least", 0.5),
        )
        if rules.template_px % 2 == 0:
            w.wrong("template_px", "must be odd")
        for name in ("first_weight", "least"):
            if not 0 <= getattr(rules, name) <= 1:
                w.wrong(name, "must be between 0 and 1")
        return Settings(features=w.whole("features"), rules=rules)

    def __call__(self, inputs: Mapping[str, Image], options: Mapping[str, Option]) -> Findings:
        """Return the trajectory of what is followed, and its pixels on every frame.

        The option `start` is `row, column` or `top, left, bottom, right` in pixels of the first
        frame of the source, or `auto`, as without it: then the places with the most texture are
        followed. A point has a trajectory and no pixels.

        Raises
        ------
        TaskFailed
            If there is not exactly one input, it is no cine, or the network gives something else
            than finite numbers of the right shape.
        ConfigError
            If `start` is not one, or lies outside of the image; or there is none, and the network
            outlines nothing.
        OutOfResources
            If there is no memory even for a single frame.
        """
        image = self._facts.only_frames(inputs)
        if len(image.array) < 2:  # noqa: PLR2004
            raise TaskFailed(f"{self._facts.name} follows through frames, there is only one image")
        items = torch.from_numpy(padded(scaled(image, self._facts), self._facts))[:, None]
        said = options.get("start", AUTO)
        starts = self._corners(items[0, 0], image) if said == AUTO else [self._said(said, image)]
        if not starts:
            return Findings(
                segmentation=_segmentation(None, self._segment, image),
                notes=("nothing on the first frame has texture enough to be followed",),
            )
        followed, remarks = self._ladder.climb(
            tuple(items.shape), lambda rung: self._follow(items, starts, rung.batch)
        )
        courses, first = [], 0
        for start in starts:
            last = first + len(start.points)
            courses.append(self._course(start, followed, slice(first, last)))
            first = last
        how = "chosen by its texture" if said == AUTO else "the one that the route names"
        masked = [course for course in courses if course.start.mask is not None]
        return Findings(
            trajectories=tuple(course.trajectory(image) for course in courses),
            segmentation=_segmentation(masked[0], self._segment, image) if masked else None,
            notes=(f"the place on the first frame is {how}", *remarks),
        )

    def _said(self, said: Option, image: Frames) -> _Start:
        """Return what the option `start` points at."""
        try:
            numbers = [float(part) for part in str(said).split(",")]
        except ValueError:
            numbers = []
        if len(numbers) not in {2, 4} or not np.isfinite(numbers).all():
            raise ConfigError("start: must be auto, row, column or top, left, bottom, right")
        ends = image.from_source(np.reshape(numbers, (-1, 2)))
        _, rows, columns = image.array.shape
        pixels = np.rint(ends)
        if (pixels < 0).any() or (pixels >= (rows, columns)).any():
            raise ConfigError("start: lies outside of the part of the image that shows tissue")
        if len(ends) == 1:
            return _Start(self._segment, ends.astype(np.float32), None)
        mask = np.zeros((rows, columns), np.bool_)
        (top, left), (bottom, right) = pixels.astype(int)
        mask[top : bottom + 1, left : right + 1] = True
        if not mask.any():
            raise ConfigError("start: the box has no size")
        return _Start(self._segment, points_on(mask, MOST_POINTS), mask)

    def _corners(self, item: torch.Tensor, image: Frames) -> list[_Start]:
        """Return the places with the most texture, each as far from the next as a patch is wide."""
        _, rows, columns = image.array.shape
        apart_px = self._settings.rules.template_px
        found = corners(item[:rows, :columns].numpy(), len(COLOURS_RGB), apart_px)
        return [
            _Start(
                replace(
                    self._segment,
                    number=number,
                    label=f"{self._segment.label} {number}",
                    colour_rgb=COLOURS_RGB[number - 1],
                ),
                place[None],
                None,
            )
            for number, place in enumerate(found, start=1)
        ]

    def _follow(self, items: torch.Tensor, starts: Sequence[_Start], at_once: int) -> Followed:
        points = np.concatenate([start.points for start in starts])

        def features() -> Iterator[torch.Tensor]:
            for group in items.split(at_once):
                yield from self._output(group.to(self._device))

        with torch.inference_mode():
            start = torch.from_numpy(points).to(self._device)
            return follow(features(), start, self._settings.rules)

    def _output(self, group: torch.Tensor) -> torch.Tensor:
        output = self._network(group)
        wanted = (len(group), self._settings.features, *group.shape[2:])
        if not isinstance(output, torch.Tensor) or tuple(output.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give {wanted}")
        if not bool(torch.isfinite(output).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return output

    def _course(self, start: _Start, followed: Followed, which: slice) -> _Course:
        points = followed.points[:, which].double().cpu().numpy()
        chances = followed.confidence[:, which].double().cpu().numpy()
        least = self._settings.rules.least
        if start.mask is None:
            poses = [Pose.shift(points[0, 0], place) for place in points[:, 0]]
            return _Course(start, poses, chances[:, 0], chances[:, 0] >= least)
        weights = np.where(chances >= least, chances, 0.0)
        found = [
            pose(points[0], now, how_sure) for now, how_sure in zip(points, weights, strict=True)
        ]
        agree = np.array([share for _, share in found])
        return _Course(start, [item for item, _ in found], agree, agree >= LEAST_AGREE)


def _segmentation(course: _Course | None, segment: Segment, image: Frames) -> Segmentation:
    """Return the pixels of what was followed; without a course there are none."""
    probabilities = np.zeros((1, *image.array.shape), np.float16)
    if course is not None:
        probabilities[0] = course.covers()
    labels = np.where(probabilities[0] >= HALF, segment.number, 0).astype(np.uint8)
    return Segmentation(
        labels=labels, sources=image.sources, segments=(segment,), probabilities=probabilities
    )
