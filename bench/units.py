"""What numbers count."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """What a number counts, and whether one wants more of it. A cost has no limit to reach."""

    name: str
    more_is_better: bool
    is_cost: bool = False


OBJECTS_PER_S = Unit("objects/s", more_is_better=True)
ANSWERS_PER_S = Unit("answers/s", more_is_better=True)
MB_PER_S = Unit("MB/s", more_is_better=True)
CPU_MS = Unit("CPU ms each", more_is_better=False, is_cost=True)
MS = Unit("ms", more_is_better=False)
SECONDS = Unit("s", more_is_better=False)
PEAK_MB = Unit("peak MB", more_is_better=False, is_cost=True)
GROWN_MB = Unit("peak MB above idle", more_is_better=False, is_cost=True)
BEYOND_MB = Unit("MB beyond the tensor", more_is_better=False, is_cost=True)
KSTEPS = Unit("1,000 steps", more_is_better=False, is_cost=True)
PART = Unit("% of a core", more_is_better=False, is_cost=True)
CPU_S = Unit("CPU s each", more_is_better=False, is_cost=True)
PER_HOUR = Unit("studies/h", more_is_better=True)
DIFFERENT = Unit("% of pixels that differ", more_is_better=False, is_cost=True)
