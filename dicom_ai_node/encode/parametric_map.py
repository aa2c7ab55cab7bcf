"""A heat map as numbers on the planes of its source, PS3.3 A.75: where an answer comes from.

None of images without a frame of reference, which a parametric map must have: X-rays, ultrasound,
slides. Their heat is in the secondary capture.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ParametricMapStorage

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.domain.pictures import Explained, HeatMap
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.encode.frame_groups import Dimensions, common_geometry, place
from dicom_ai_node.encode.identity import add_requests, result_header
from dicom_ai_node.encode.planes import Plane, are_placed, order, planes
from dicom_ai_node.encode.provenance import (
    add_loss,
    add_references,
    concept,
    derived_from,
    primary_first,
    source_images,
)

KIND = "parametric_map"
QUANTITY = Code("246205007", "SCT", "Quantity")
NO_UNITS = Code("1", "UCUM", "no units")
DERIVATION = codes.DCM.UnspecifiedMethodOfCalculation
_QUANTITIES: Mapping[Explained, Code] = MappingProxyType(
    {
        Explained.GRAD_CAM: codes.DCM.GradientWeightedClassActivation,
        Explained.INTEGRATED_GRADIENTS: codes.DCM.Saliency,
        Explained.OCCLUSION: codes.DCM.Saliency,
    }
)
"""What the numbers are, PS3.16 CID 218."""
_REGIONS: Mapping[str, Code] = MappingProxyType(
    {
        "ABDOMEN": Code("818981001", "SCT", "Abdomen"),
        "BRAIN": Code("12738006", "SCT", "Brain"),
        "BREAST": Code("76752008", "SCT", "Breast"),
        "CHEST": Code("816094009", "SCT", "Chest"),
        "HEAD": Code("69536005", "SCT", "Head"),
        "NECK": Code("45048000", "SCT", "Neck"),
        "PELVIS": Code("816092008", "SCT", "Pelvis"),
    }
)
"""Body Part Examined as a code, PS3.16 annex L."""
_ANYWHERE = Code("38266002", "SCT", "Entire body")
_BITS = 32


def encode(findings: Findings, origin: Origin) -> Sequence[Dataset]:
    """Return one map of 0 to 1 with a frame for each that was explained.

    None if nothing is explained, or if the images have no frame of reference.

    Raises
    ------
    TaskFailed
        If the findings name a frame that is none of the sources.
    """
    heat = findings.heat_map
    if heat is None or not len(heat.sources):
        return []
    where = planes(heat.sources, origin.sources)
    if not are_placed(where):
        return []
    source = where[0].header
    image = result_header(origin, source, ParametricMapStorage, KIND)
    add_requests(image, source)
    image.FrameOfReferenceUID = source.FrameOfReferenceUID
    image.PositionReferenceIndicator = source.get("PositionReferenceIndicator") or None
    _add_image(image, origin, heat)
    inputs = primary_first(origin.sources, source)
    image.SourceImageSequence = source_images(inputs)
    add_references(image, inputs)
    add_loss(image, inputs)
    _add_groups(image, findings, origin, where)
    known = np.nan_to_num(heat.array.astype(np.float32), nan=0.0)
    image.FloatPixelData = known.astype("<f4").tobytes()
    return [image]


def _add_image(image: Dataset, origin: Origin, heat: HeatMap) -> None:
    image.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    image.PixelPresentation = "MONOCHROME"
    image.ContentLabel = "EXPLANATION"
    image.ContentDescription = f"{heat.by.words}, {origin.model.title}"[:64]
    image.ContentCreatorName = "AI^dicom_ai_node"
    image.AcquisitionContextSequence = []
    image.SamplesPerPixel, image.BitsAllocated = 1, _BITS
    image.PhotometricInterpretation, image.PresentationLUTShape = "MONOCHROME2", "IDENTITY"
    image.BurnedInAnnotation = image.RecognizableVisualFeatures = "NO"
    image.NumberOfFrames, image.Rows, image.Columns = heat.array.shape


def _add_groups(image: Dataset, findings: Findings, origin: Origin, where: Sequence[Plane]) -> None:
    """Add dimensions and functional groups, PS3.3 A.75.4."""
    heat = findings.heat_map
    if heat is None:
        return
    ranks = order(where)
    is_timed = any(time > 1 for time, _ in ranks)
    dimensions = Dimensions(
        by_segment=False,
        by_time=is_timed,
        by_place=True,
        uid=derive_uid(origin.job, KIND, "dimensions"),
    )
    dimensions.describe(image)
    shared = common_geometry(where)
    shared.FrameAnatomySequence = [_anatomy(where[0].header)]
    shared.ParametricMapFrameTypeSequence = [_item(FrameType=list(image.ImageType))]
    shared.PixelValueTransformationSequence = [
        _item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
    ]
    shared.FrameVOILUTSequence = [_item(WindowCenter="0.5", WindowWidth="1")]
    shared.RealWorldValueMappingSequence = [_meaning(heat)]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = []
    for plane, rank in zip(where, ranks, strict=True):
        item = Dataset()
        item.FrameContentSequence = [dimensions.values(None, *rank)]
        place(item, plane, shared)
        item.DerivationImageSequence = [derived_from(plane.header, plane.frame, DERIVATION)]
        image.PerFrameFunctionalGroupsSequence.append(item)


def _meaning(heat: HeatMap) -> Dataset:
    """Return the item of Real World Value Mapping Sequence: numbers without a unit, 0 to 1."""
    quantity = _item(
        ValueType="CODE",
        ConceptNameCodeSequence=[concept(QUANTITY)],
        ConceptCodeSequence=[concept(_QUANTITIES[heat.by])],
    )
    return _item(
        LUTExplanation=f"{heat.by.words}, 1 is the strongest place",
        LUTLabel="EXPLANATION",
        RealWorldValueSlope=1.0,
        RealWorldValueIntercept=0.0,
        DoubleFloatRealWorldValueFirstValueMapped=0.0,
        DoubleFloatRealWorldValueLastValueMapped=1.0,
        MeasurementUnitsCodeSequence=[concept(NO_UNITS)],
        QuantityDefinitionSequence=[quantity],
    )


def _anatomy(source: Dataset) -> Dataset:
    """Return the item of Frame Anatomy Sequence; without it dcmqi cannot read a map."""
    side = source.get("Laterality")
    region = _REGIONS.get(str(source.get("BodyPartExamined")), _ANYWHERE)
    return _item(
        FrameLaterality=side if side in {"L", "R"} else "U",
        AnatomicRegionSequence=[concept(region)],
    )


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item
