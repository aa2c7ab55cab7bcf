"""From points that were followed to how a structure has moved, and which pixels it covers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.findings import Segment, Segmentation, Trajectory
from dicom_ai_node.domain.image import Frames
from dicom_ai_node.neural.follow import Followed
from dicom_ai_node.neural.pose import LEAST_AGREE, Pose, moved, pose

HALF = 0.5
"""A pixel that is covered this far belongs to the structure."""


@dataclass(frozen=True, slots=True)
class Start:
    """What is followed: a structure with its pixels on one frame, or without: a point."""

    segment: Segment
    points: NDArray[np.float32]
    mask: NDArray[np.bool_] | None
    frame: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """How a structure has moved: a pose and a confidence for every frame."""

    start: Start
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


def course_of(start: Start, followed: Followed, which: slice, least: float) -> Course:
    """Return how a structure has moved, from those of the points that lie on it.

    `least` is the confidence below which a point is lost.
    """
    points = followed.points[:, which].double().cpu().numpy()
    chances = followed.confidence[:, which].double().cpu().numpy()
    began = points[start.frame]
    if start.mask is None:
        poses = [Pose.shift(began[0], place) for place in points[:, 0]]
        return Course(start, poses, chances[:, 0], chances[:, 0] >= least)
    weights = np.where(chances >= least, chances, 0.0)
    found = [pose(began, now, how_sure) for now, how_sure in zip(points, weights, strict=True)]
    agree = np.array([share for _, share in found])
    return Course(start, [item for item, _ in found], agree, agree >= LEAST_AGREE)


def segmentation_of(course: Course | None, segment: Segment, image: Frames) -> Segmentation:
    """Return the pixels of what was followed; without a course there are none."""
    probabilities = np.zeros((1, *image.array.shape), np.float16)
    if course is not None:
        probabilities[0] = course.covers()
    labels = np.where(probabilities[0] >= HALF, segment.number, 0).astype(np.uint8)
    return Segmentation(
        labels=labels, sources=image.sources, segments=(segment,), probabilities=probabilities
    )
