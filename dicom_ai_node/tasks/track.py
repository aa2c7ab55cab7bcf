"""Kind `track`: what lies somewhere on one frame, followed through the cine.

What to follow is said by the route (`start`, a point or a box), outlined by a segmentation that
comes with the cine, or chosen where the first frame has the most texture (`auto`). The channels of
the network are features by which places are found again; a model has one segment, which says what
its routes point at.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage

from dicom_ai_node.domain.errors import ConfigError, Rejected, TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.model import ModelFacts, Sees
from dicom_ai_node.domain.outline import Outline
from dicom_ai_node.domain.progress import along, share
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.domain.scaling import padded, scaled
from dicom_ai_node.domain.wording import Wording
from dicom_ai_node.neural.corners import corners
from dicom_ai_node.neural.course import Start, course_of, segmentation_of
from dicom_ai_node.neural.follow import Followed, Rules, both_ways, follow
from dicom_ai_node.neural.memory import Ladder
from dicom_ai_node.neural.pose import points_on

MOST_POINTS = 25
"""Places that are followed inside a structure; their common motion is that of the structure."""
AUTO = "auto"
"""What a route says that leaves to the node what is followed."""
COLOURS_RGB = ((0, 200, 255), (255, 170, 0), (230, 120, 200), (240, 230, 70))
"""Of the places that are chosen, so many are: seen apart by colour-blind people, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What only a model that follows has: how many features, and the rules."""

    features: int
    rules: Rules


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
        self._outline: Outline | None = None
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
            first_alone=w.number("first_alone", 2.0),
        )
        if rules.template_px % 2 == 0:
            w.wrong("template_px", "must be odd")
        for name in ("first_weight", "least"):
            if not 0 <= getattr(rules, name) <= 1:
                w.wrong(name, "must be between 0 and 1")
        return Settings(features=w.whole("features"), rules=rules)

    def starting(self, outline: Outline) -> "Track":
        """Return the task as it follows what was outlined on the source."""
        task = Track(self._facts, self._settings, self._network, self._device)
        task._outline = outline
        return task

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
        starts, how = self._starts(items[0, 0], image, options.get("start", AUTO))
        if not starts:
            return Findings(
                segmentation=segmentation_of(None, self._segment, image),
                notes=("nothing on the first frame has texture enough to be followed",),
            )
        followed, remarks = self._ladder.climb(
            tuple(items.shape), lambda rung: self._follow(items, starts, rung.batch)
        )
        courses, first, least = [], 0, self._settings.rules.least
        for start in starts:
            last = first + len(start.points)
            courses.append(course_of(start, followed, slice(first, last), least))
            first = last
        masked = [course for course in courses if course.start.mask is not None]
        return Findings(
            trajectories=tuple(course.trajectory(image) for course in courses),
            segmentation=segmentation_of(masked[0], masked[0].start.segment, image)
            if masked
            else None,
            notes=(how, *remarks),
        )

    def _starts(self, item: torch.Tensor, image: Frames, said: Option) -> tuple[list[Start], str]:
        """Return what is followed, and a note on who has chosen it."""
        if self._outline is not None:
            number = self._outline.frame + 1
            note = f"followed is what a segmentation outlines on frame {number}"
            return [self._outlined(self._outline, image)], note
        if said == AUTO:
            return self._corners(
                item, image
            ), "the place on the first frame is chosen by its texture"
        return [
            self._said(said, image)
        ], "the place on the first frame is the one that the route names"

    def _outlined(self, outline: Outline, image: Frames) -> Start:
        """Return what was outlined on the source, on the pixels of `image`."""
        there = np.moveaxis(np.indices(image.array.shape[1:], np.float64), 0, -1)
        on_source = np.moveaxis(there * image.step_px + image.corner_px, -1, 0)
        covered = ndimage.map_coordinates(outline.mask.astype(np.float32), on_source, order=1)
        # What is smaller than a pixel of the model lies where most of it is.
        mask = covered >= min(0.5, float(covered.max())) if covered.any() else covered > 0
        if not mask.any():
            raise Rejected(
                RejectCode.SEG_UNUSABLE, "what is outlined lies outside of the part with tissue"
            )
        points = points_on(mask, MOST_POINTS)
        segment = replace(outline.segment, colour_rgb=self._segment.colour_rgb)
        return Start(segment, points, mask, outline.frame)

    def _said(self, said: Option, image: Frames) -> Start:
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
            return Start(self._segment, ends.astype(np.float32), None)
        mask = np.zeros((rows, columns), np.bool_)
        (top, left), (bottom, right) = pixels.astype(int)
        mask[top : bottom + 1, left : right + 1] = True
        if not mask.any():
            raise ConfigError("start: the box has no size")
        return Start(self._segment, points_on(mask, MOST_POINTS), mask)

    def _corners(self, item: torch.Tensor, image: Frames) -> list[Start]:
        """Return the places with the most texture, each as far from the next as a patch is wide."""
        _, rows, columns = image.array.shape
        apart_px = self._settings.rules.template_px
        found = corners(item[:rows, :columns].numpy(), len(COLOURS_RGB), apart_px)
        return [
            Start(
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

    def _follow(self, items: torch.Tensor, starts: Sequence[Start], at_once: int) -> Followed:
        points = np.concatenate([start.points for start in starts])
        begin = starts[0].frame

        def features(of: torch.Tensor) -> Iterator[torch.Tensor]:
            for group in along(of.split(at_once)):
                yield from self._output(group.to(self._device))

        with torch.inference_mode():
            start, rules = torch.from_numpy(points).to(self._device), self._settings.rules
            with share(0, 2 if begin else 1):
                forth = follow(features(items[begin:]), start, rules)
            if not begin:
                return forth
            with share(1, 2):
                back = follow(features(items[: begin + 1].flip(0)), start, rules)
            return both_ways(back, forth)

    def _output(self, group: torch.Tensor) -> torch.Tensor:
        output = self._network(group)
        wanted = (len(group), self._settings.features, *group.shape[2:])
        if not isinstance(output, torch.Tensor) or tuple(output.shape) != wanted:
            raise TaskFailed(f"{self._facts.name}: the network did not give {wanted}")
        if not bool(torch.isfinite(output).all()):
            raise TaskFailed(f"{self._facts.name}: the network gave values that are no numbers")
        return output
