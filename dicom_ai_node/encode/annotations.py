"""Objects on a slide as Microscopy Bulk Simple Annotations, PS3.3 A.87: outlines and areas.

Outlines are polygons in millimetres on the glass (3D): they hold for every level of the pyramid.
One group per class.
"""

from collections.abc import Sequence

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.ann import AnnotationGroup, Measurements
from highdicom.color import CIELabColor
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import MicroscopyBulkSimpleAnnotationsStorage

from dicom_ai_node.domain.findings import Findings, Instances, Segment
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.slide import Slide, slide_of
from dicom_ai_node.encode.identity import result_header, tracking_uid
from dicom_ai_node.encode.planes import planes
from dicom_ai_node.encode.provenance import add_references, reference
from dicom_ai_node.encode.tiles import add_place, is_on_slide

KIND = "annotations"
_MM2_TO_UM2 = 1e6


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one object with all outlines, or none if nothing was found or it is on no slide.

    Raises
    ------
    TaskFailed
        If the findings name a frame that is none of the sources.
    """
    found = findings.instances
    if found is None or not len(found):
        return []
    source = planes(found.sources[:1], origin.sources)[0].header
    if not is_on_slide(source):
        return []
    slide = slide_of(source)
    ann = result_header(origin, source, MicroscopyBulkSimpleAnnotationsStorage, KIND)
    for keyword in ("BodyPartExamined", "Laterality"):  # its series shows no body part
        if keyword in ann:
            delattr(ann, keyword)
    add_place(ann, source)
    ann.ContentLabel = "OBJECTS"
    ann.ContentDescription = origin.model.title[:64]
    ann.ContentCreatorName = "AI^dicom_ai_node"
    ann.AnnotationCoordinateType = "3D"
    ann.ReferencedImageSequence = [reference(source)]
    add_references(ann, origin.sources)
    present = [s for s in found.segments if (found.numbers == s.number).any()]
    ann.AnnotationGroupSequence = [
        _group(place, segment, found, slide, origin) for place, segment in enumerate(present, 1)
    ]
    return [ann]


def _group(
    place: int, segment: Segment, found: Instances, slide: Slide, origin: Origin
) -> AnnotationGroup:
    chosen = np.flatnonzero(found.numbers == segment.number)
    outlines = found.outlines()
    return AnnotationGroup(
        number=place,
        uid=tracking_uid(origin, segment),
        label=segment.label[:64],
        annotated_property_category=segment.category,
        annotated_property_type=segment.type,
        graphic_type="POLYGON",
        graphic_data=[slide.to_mm(outlines[n]).astype(np.float32) for n in chosen],
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=origin.model.name[:64],
            version=origin.model.version,
            family=codes.DCM.ArtificialIntelligence,
            source=origin.model.manufacturer or None,
            parameters={"model digest": origin.model.digest},
        ),
        measurements=[
            Measurements(
                codes.SCT.Area, _areas_um2(found, chosen, slide), codes.UCUM.SquareMicrometer
            )
        ],
        anatomic_regions=None if segment.site is None else [segment.site],
        display_color=CIELabColor.from_rgb(*segment.colour_rgb),
    )


def _areas_um2(found: Instances, chosen: NDArray[np.intp], slide: Slide) -> NDArray[np.float32]:
    rows_mm, columns_mm = slide.spacing_mm or (0.0, 0.0)
    pixel_um2 = rows_mm * columns_mm * _MM2_TO_UM2
    return np.asarray(found.areas_px[chosen] * pixel_um2, np.float32)
