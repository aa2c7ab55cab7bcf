"""A measured quantity over a cine: its extremes, how much it changes, whether it repeats."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from pydicom.sr.coding import Code

from dicom_ai_node.domain.findings import Measurement, Segment
from dicom_ai_node.domain.image import Frames, SourceFrame
from dicom_ai_node.domain.motion import period_ms
from dicom_ai_node.infer.motion import PERIOD, SECOND

MINIMUM = Code("255605001", "SCT", "Minimum")
MAXIMUM = Code("56851009", "SCT", "Maximum")
PERCENT = Code("%", "UCUM", "percent")
AREA_CODE = "42798000"

FRACTIONAL_CHANGE = Code("125314", "DCM", "Fractional Change")
CHAMBERS: Mapping[str, Code] = MappingProxyType(
    {
        "87878005": Code("399287000", "SCT", "Left Ventricular Fractional Area Change"),
        "53085002": Code("79936-1", "LN", "Right ventricular fractional area change"),
        "82471001": FRACTIONAL_CHANGE,
        "73829009": FRACTIONAL_CHANGE,
    }
)
"""By the SNOMED CT code of a chamber of the heart (left and right ventricle, left and right
atrium), what the change of its area is called. Of anything that does not pump nothing is said."""


def over_cycle(
    measured: Sequence[Measurement], image: Frames, segment: Segment
) -> list[Measurement]:
    """Return the extremes of every quantity that was measured on several frames of a cine.

    Of a chamber of the heart also by how many percent of its largest area it becomes smaller,
    and for the area the period, if two cycles were seen and frames have times.
    """
    found: list[Measurement] = []

    by_concept: dict[str, list[Measurement]] = {}
    for item in measured:
        if item.frame is not None:
            by_concept.setdefault(item.concept.value, []).append(item)
    for values in by_concept.values():
        if len(values) < 2:  # noqa: PLR2004 - one frame has no extremes
            continue
        low, high = (choose(item.value for item in values) for choose in (min, max))
        first = values[0]
        for value, derivation in ((low, MINIMUM), (high, MAXIMUM)):
            found.append(
                Measurement(
                    concept=first.concept,
                    value=value,
                    unit=first.unit,
                    of=segment.number,
                    derivation=derivation,
                )
            )
        if first.concept.value == AREA_CODE:
            found += _of_area(values, image, segment)
    return found


def _of_area(values: Sequence[Measurement], image: Frames, segment: Segment) -> list[Measurement]:
    found = []
    name = CHAMBERS.get(segment.type.value)
    if name is not None:
        low, high = (choose(item.value for item in values) for choose in (min, max))
        found.append(
            Measurement(
                concept=name, value=100 * (high - low) / high, unit=PERCENT, of=segment.number
            )
        )
    if image.times_ms is None:
        return found
    by_frame: dict[SourceFrame | None, float] = {item.frame: item.value for item in values}
    curve = np.array([by_frame.get(frame, np.nan) for frame in image.sources])
    period = period_ms(curve, np.asarray(image.times_ms))
    if period is not None:
        found.append(
            Measurement(concept=PERIOD, value=period / 1000, unit=SECOND, of=segment.number)
        )
    return found
