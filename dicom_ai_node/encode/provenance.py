"""Where a result comes from: the equipment, the source images, the requests, what was lost."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import groupby

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.ports import Origin
from dicom_ai_node.encode.copies import copy_of

PURPOSE = Code("121322", "DCM", "Source image for image processing operation")
ACQUISITION = Code("109101", "DCM", "Acquisition Equipment")

EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber",
              "InstitutionName", "StationName")  # fmt: skip
_CONTRIBUTED = (*EQUIPMENT, "DeviceUID", "ContributionDateTime", "ContributionDescription")
_REQUESTED = ("RequestedProcedureID", "AccessionNumber", "StudyInstanceUID",
              "RequestedProcedureDescription", "ScheduledProcedureStepID",
              "ScheduledProcedureStepDescription")  # fmt: skip


def contributing_equipment(origin: Origin, source: Dataset, now: datetime) -> list[Dataset]:
    """Return what took part: that of the source, the scanner, and the model by its Device UID.

    The Device UID changes with the weights, IHE AIR 6.5.3.1; by it the node also recognises its
    own results when they come back.
    """
    items = [
        _equipment(item, _CONTRIBUTED, coded(item.PurposeOfReferenceCodeSequence[0]))
        for item in source.get("ContributingEquipmentSequence") or ()
        if is_coded(item.get("PurposeOfReferenceCodeSequence"))
    ]
    if source.get("Manufacturer"):
        items.append(_equipment(source, EQUIPMENT, concept(ACQUISITION)))
    model = Dataset()
    model.Manufacturer = origin.model.manufacturer
    model.ManufacturerModelName = origin.model.name
    model.SoftwareVersions = [origin.model.version, f"dicom_ai_node {origin.node_version}"]
    model.DeviceSerialNumber = origin.node_serial
    model.DeviceUID = origin.model.device_uid
    model.ContributionDateTime = now.strftime("%Y%m%d%H%M%S%z")
    model.ContributionDescription = f"Result by model of digest {origin.model.digest[:16]}"
    model.PurposeOfReferenceCodeSequence = [concept(origin.equipment_purpose)]
    return [*items, model]


def concept(code: Code) -> Dataset:
    """Return a code sequence item, PS3.3 8.8."""
    return copy_of(_concept(code.value, code.scheme_designator, code.meaning[:64]))


@lru_cache(maxsize=1024)
def _concept(value: str, scheme: str, meaning: str) -> Dataset:
    return Dataset(CodedConcept(value, scheme, meaning))


def coded(item: Dataset) -> Dataset:
    """Return a clean copy of a received code sequence item that `is_coded`."""
    return concept(Code(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning))


def is_coded(sequence: Sequence[Dataset] | None) -> bool:
    """Return whether a received code sequence holds a code with its scheme and meaning."""
    wanted = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    return (
        sequence is not None
        and len(sequence) > 0
        and all(
            isinstance(sequence[0].get(keyword), str) and sequence[0].get(keyword)
            for keyword in wanted
        )
    )


def request_attributes(source: Dataset) -> list[Dataset]:
    """Return the items of Request Attributes Sequence that name a request, without oddities."""
    items = []
    for received in source.get("RequestAttributesSequence") or ():
        item = Dataset()
        for keyword in _REQUESTED:
            if received.get(keyword):
                setattr(item, keyword, received.get(keyword))
        if "RequestedProcedureID" in item and "ScheduledProcedureStepID" in item:
            items.append(item)
    return items


def reference(source: Dataset, frame: SourceFrame | None = None) -> Dataset:
    """Return a reference to an instance, and to one of its frames if it has several."""
    item = Dataset()
    item.ReferencedSOPClassUID = source.SOPClassUID
    item.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if frame is not None and is_multiframe(source):
        item.ReferencedFrameNumber = frame.number
    return item


def is_multiframe(source: Dataset) -> bool:
    """Return whether an instance is of a class whose frames are numbered."""
    return "NumberOfFrames" in source


def source_images(sources: Iterable[Dataset]) -> list[Dataset]:
    """Return the items of Source Image Sequence (0008,2112); inputs that are reports are none."""
    items = [reference(source) for source in sources if "Rows" in source]
    for item in items:
        item.PurposeOfReferenceCodeSequence = [concept(PURPOSE)]
    return items


def primary_first(sources: Sequence[Dataset], source: Dataset) -> list[Dataset]:
    """Return all inputs, those of the series of `source` first: viewers look at the first only."""
    series = source.SeriesInstanceUID
    return sorted(sources, key=lambda item: bool(item.SeriesInstanceUID != series))


def derived_from(source: Dataset, frame: SourceFrame, by: Code = codes.DCM.Segmentation) -> Dataset:
    """Return the item of Derivation Image Sequence of one frame, PS3.3 C.7.6.16.2.6.

    `by` says how it came from there, CID 7203.
    """
    image = reference(source, frame)
    image.SpatialLocationsPreserved = "YES"
    image.PurposeOfReferenceCodeSequence = [concept(PURPOSE)]
    item = Dataset()
    item.DerivationCodeSequence = [concept(by)]
    item.SourceImageSequence = [image]
    return item


def add_references(header: Dataset, sources: Sequence[Dataset]) -> None:
    """Name all sources by study and series, PS3.3 C.12.2; OHIF finds them only here."""
    here, elsewhere = [], []
    for study, series in _by_series(sources).items():
        if study == header.StudyInstanceUID:
            here.extend(series)
            continue
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = series
        elsewhere.append(item)
    if here:
        header.ReferencedSeriesSequence = here
    if elsewhere:
        header.StudiesContainingOtherReferencedInstancesSequence = elsewhere


def add_loss(header: Dataset, sources: Sequence[Dataset]) -> None:
    """Say whether any source was compressed with loss: what is lost stays lost, C.7.6.1.1.5."""
    lossy = next((item for item in sources if item.get("LossyImageCompression") == "01"), None)
    header.LossyImageCompression = "00" if lossy is None else "01"
    if lossy is None:
        return
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if lossy.get(keyword):
            setattr(header, keyword, lossy.get(keyword))


def _by_series(sources: Sequence[Dataset]) -> Mapping[str, list[Dataset]]:
    studies: dict[str, list[Dataset]] = {}
    ordered = sorted(sources, key=lambda item: (item.StudyInstanceUID, item.SeriesInstanceUID))
    for (study, series), group in groupby(
        ordered, key=lambda item: (str(item.StudyInstanceUID), str(item.SeriesInstanceUID))
    ):
        item = Dataset()
        item.SeriesInstanceUID = series
        item.ReferencedInstanceSequence = [reference(source) for source in group]
        studies.setdefault(study, []).append(item)
    return studies


def _equipment(received: Dataset, keywords: Iterable[str], purpose: Dataset) -> Dataset:
    item = Dataset()
    item.Manufacturer = None
    for keyword in keywords:
        if received.get(keyword):
            setattr(item, keyword, received.get(keyword))
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def by_study(instances: Sequence[Dataset]) -> list[Dataset]:
    """Return references to instances by study and series, as documents do, PS3.3 C.17.2.1."""
    items = []
    ordered = sorted(instances, key=lambda one: (one.StudyInstanceUID, one.SeriesInstanceUID))
    for study, in_study in groupby(ordered, key=lambda one: one.StudyInstanceUID):
        item = Dataset()
        item.StudyInstanceUID = study
        item.ReferencedSeriesSequence = []
        for series, in_series in groupby(in_study, key=lambda one: one.SeriesInstanceUID):
            inner = Dataset()
            inner.SeriesInstanceUID = series
            inner.ReferencedSOPSequence = [reference(instance) for instance in in_series]
            item.ReferencedSeriesSequence.append(inner)
        items.append(item)
    return items
