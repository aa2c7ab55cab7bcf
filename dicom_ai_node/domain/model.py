"""What a model says about itself: the facts that the router, the runner and the report need."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from dicom_ai_node.domain.clinical import AskedFact
from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import FindingClass, Segment
from dicom_ai_node.domain.image import Frames, Image
from dicom_ai_node.domain.rule import Condition
from dicom_ai_node.domain.uids import Sha256, derive_uid

REPORT = ("SR",)
"""The modality of structured reports, PS3.3 C.7.3.1.1.1."""

SEGMENTATION = ("SEG",)
"""The modality of segmentations."""


class Sees(StrEnum):
    """How the input is laid before the model."""

    VOLUME = "volume"  # one evenly spaced, orthogonal volume; anything else is rejected
    SLICES = "slices"  # the slices of a volume one by one; tilt and uneven gaps are fine
    FRAMES = "frames"  # projections, ultrasound images, cines: one frame after the other
    REGIONS = "regions"  # microscopy: a slide region by region of `grid.size_px`, in its own pixels


class Scaling(StrEnum):
    """How intensities are brought to what the network was trained on."""

    WINDOW = "window"  # (value - low) / (high - low), clipped to 0..1
    PERCENTILE = "percentile"  # the same with low and high as percentiles of the valid pixels
    ZSCORE = "zscore"  # minus mean, by standard deviation, of the valid pixels
    STANDARD = "standard"  # clipped to low..high, minus a mean, by a deviation of the training data


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """Scaling with its numbers; `low` and `high` are ignored by ZSCORE.

    Attributes
    ----------
    mean, deviation
        Of STANDARD, in the unit of the image.
    nonzero
        ZSCORE leaves pixels that are exactly 0 out, and leaves them 0.
    pad
        What an image is filled up with where it is smaller than the network wants, after scaling.
        Without it that is the lowest value of ZSCORE, and 0 otherwise.
    """

    scaling: Scaling
    low: float = 0.0
    high: float = 1.0
    mean: float = 0.0
    deviation: float = 1.0
    nonzero: bool = False
    pad: float | None = None


class Gives(StrEnum):
    """What a network gives, (batch, channels, ...)."""

    LOGITS = "logits"  # one channel per class, the background first where there is one
    PROBABILITIES = "probabilities"  # the same after softmax
    LOGIT = "logit"  # one channel, for the second of two classes
    PROBABILITY = "probability"  # the same after the sigmoid


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """In which format a network comes, and how to ask it.

    Attributes
    ----------
    format
        One of `infer.formats`.
    axes
        One letter per axis of its grid: the side of the patient to which the index grows. SPL
        and, for slices and frames, PL if it is `None`: slices to the head, rows to the back (down
        on an axial slice), columns to the left (right on the screen).
    mirror
        Of nnU-Net: average over mirrored inputs, as it was trained to allow.
    """

    format: str = "bundle"
    axes: str | None = None
    gives: Gives = Gives.LOGITS
    mirror: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The grid a model works on: either a spacing, or a size that the image is fitted into.

    `spacing_mm` is (slice, row, column) for volumes and (row, column) for slices and frames;
    `size_px` is (rows, columns): the region is scaled into it, keeping its aspect, and padded
    at the end. At most one is given; with none, it works on the pixels of the source.
    """

    spacing_mm: tuple[float, ...] | None = None
    size_px: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingWindow:
    """Windows of this size over the grid, MONAI `sliding_window_inference`."""

    roi_size: tuple[int, ...]
    overlap: float = 0.5
    batch: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """An input whose result must reproduce before the model takes work.

    `file` is an .npz in the model folder with `image` (float32 array on the model's grid, before
    `Intensity`), or one such array for each named input, and what the model gave when it was
    released: `labels` (uint8), where every segment's Dice must reach `min_dice`, or numbers such
    as `probabilities` or `points`, of which none may differ by more than `max_difference`. `start`
    is what a route would say by that name.
    """

    file: str
    min_dice: float | None = None
    max_difference: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """How the inputs of a model are judged before it looks at them.

    `layer` is the module of the network whose features are compared with those of the training
    data; `smoothing` how often an input that is to be purified goes through a filter of three
    pixels.
    """

    layer: str
    smoothing: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """What a model asks of one of its inputs.

    `outside` is what counts as this input where it does not reach but the reference does, in its
    own unit; `display_window` is (low, high) in the same unit for its colours over the reference.
    """

    modality: tuple[str, ...]
    intensity: Intensity
    requires: Mapping[str, Condition] = field(default_factory=dict)
    outside: float = 0.0
    display_window: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model folder as the node understands it. `digest` is the sha256 of its SHA256SUMS.

    A model with several inputs names them in `inputs`, in the order in which its network takes
    them, and one of them is the `reference`: the others are brought to its place in the patient,
    and what is found lies on its pixels. `modality` is then that of any of them, `intensity` and
    `requires` are those of the reference.

    `clinical` are the facts that it asks for in numbers. `documents` names inputs of a job that are
    structured reports which may tell such facts: a job takes them if they are there, and does not
    wait for them.

    `outline` names an input of a job that is a segmentation of its image: a route that has it waits
    for it, and what it outlines is what the model begins with.

    `settings` is what only tasks of this kind understand, as it was written: `infer.kinds` lets
    the kind read it, so that nobody who does not run a model has to load what runs it.
    """

    name: str
    version: str
    digest: Sha256
    folder: Path
    kind: str
    title: str
    manufacturer: str
    modality: tuple[str, ...]
    sees: Sees
    intensity: Intensity
    grid: Grid
    golden: Golden
    network: NetworkFacts = NetworkFacts()
    requires: Mapping[str, Condition] = field(default_factory=dict)
    inputs: Mapping[str, ModelInput] = field(default_factory=dict)  # empty: one, of any name
    reference: str = ""
    documents: tuple[str, ...] = ()
    outline: str = ""
    clinical: tuple[AskedFact, ...] = ()
    max_extent_mm: tuple[float, float, float] | None = None
    window: SlidingWindow | None = None
    segments: tuple[Segment, ...] = ()
    measure: tuple[str, ...] = ()  # what is measured on the segments
    classes: tuple[FindingClass, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    guard: Guarded | None = None  # what it compares with lies in models/guard.safetensors
    display_window: tuple[float, float] | None = None  # (low, high) for the backdrop
    parameters: Mapping[str, str] = field(default_factory=dict)

    def input(self, name: str) -> ModelInput:
        """Return what the model asks of the input called `name`; if it has but one, of any."""
        if name in self.documents:
            return ModelInput(modality=REPORT, intensity=self.intensity)
        if name == self.outline and name:
            return ModelInput(modality=SEGMENTATION, intensity=self.intensity)
        if self.inputs:
            return self.inputs[name]
        return ModelInput(modality=self.modality, intensity=self.intensity, requires=self.requires)

    def misfits(self, names: Collection[str]) -> str:
        """Return why inputs of these names cannot be those of the model; empty if they can."""
        if not self.inputs:
            count = len(set(names) - {self.outline})
            return "" if count == 1 else f"{self.name} takes one input, not {count}"
        if set(names) - set(self.documents) == set(self.inputs):
            return ""
        given = ", ".join(sorted(names)) or "none"
        may = f" and perhaps {', '.join(self.documents)}" if self.documents else ""
        return f"{self.name} takes the inputs {', '.join(self.inputs)}{may}, not {given}"

    def only_frames(self, inputs: Mapping[str, Image]) -> Frames:
        """Return the one input of a model that looks at images.

        Raises
        ------
        TaskFailed
            If there is not exactly one, or it is a volume.
        """
        if len(inputs) != 1:
            raise TaskFailed(f"{self.name} looks at one input, {len(inputs)} were given")
        (image,) = inputs.values()
        if not isinstance(image, Frames):
            raise TaskFailed(f"{self.name} looks at images, a volume was given")
        return image

    @property
    def device_uid(self) -> str:
        """Device UID (0018,1002): changes whenever the weights change."""
        return derive_uid("model", self.name, self.version, self.digest)
