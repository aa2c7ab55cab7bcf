"""Why a model cannot use an input: one code per cause, and who has to act."""

from enum import Enum, StrEnum


class Who(StrEnum):
    """Who has to act."""

    OPERATOR = "operator"
    SENDER = "sender"
    NOBODY = "nobody"
    NOBODY_YET = "nobody yet"
    PERSON = "a person"


class RejectCode(Enum):
    """(who acts, UPS discontinuation reason of CID 9300, what it means)."""

    GEO_ONLY_LOCALIZER = (Who.NOBODY, "110522", "the series holds localizers only")
    GEO_GANTRY_TILT = (Who.NOBODY, "110522", "the slices are sheared by a gantry tilt")
    GEO_MISSING_SLICE = (Who.SENDER, "110523", "a slice is missing; send the series again")
    GEO_DUPLICATE = (Who.SENDER, "110521", "two different slices lie at the same place")
    GEO_VARIABLE_SPACING = (Who.NOBODY, "110522", "the gaps between slices vary")
    GEO_MIXED = (Who.NOBODY, "110521", "orientation, size or spacing differ within the series")
    GEO_MISSING_ATTRIBUTE = (Who.SENDER, "110521", "position, orientation or spacing is absent")
    GEO_MULTIFRAME = (Who.NOBODY, "110522", "the functional groups do not form one volume")
    GEO_4D = (Who.NOBODY, "110522", "the series holds several time points")
    PIX_NO_RESCALE = (Who.SENDER, "110521", "the values cannot be brought to Hounsfield units")
    PIX_FOR_PROCESSING = (Who.NOBODY, "110522", "the X-ray is FOR PROCESSING")
    PIX_CORRUPT = (Who.SENDER, "110521", "the pixel data cannot be decoded; send it again")
    PIX_UNSUPPORTED = (Who.NOBODY, "110522", "no decoder for this transfer syntax or layout")
    PIX_TOO_LARGE = (Who.OPERATOR, "110527", "decoded it would exceed infer.max_pixels_bytes")
    US_DOPPLER = (Who.NOBODY, "110522", "the ultrasound region shows colour Doppler")
    MEAS_UNCALIBRATED = (Who.NOBODY, "110522", "the image has no calibration in millimetres")
    TIME_UNKNOWN = (Who.NOBODY, "110522", "the cine has no frame times")
    SUV_UNITS = (Who.NOBODY, "110522", "the PET units cannot be brought to SUV")
    SUV_MISSING = (Who.SENDER, "110521", "an attribute for SUV is absent or impossible")
    FUSION_NO_FOR = (Who.NOBODY, "110523", "the inputs share no frame of reference")
    SM_NO_LEVEL = (Who.NOBODY, "110522", "no level of the slide fits the model")
    IN_SECONDARY = (Who.NOBODY, "110522", "secondary or derived images are not analysed")
    IN_COVERAGE = (Who.NOBODY, "110523", "too few slices, or another body part or view")
    IN_MANIPULATED = (Who.PERSON, "110513", "the input looks manipulated")
    IN_UNFAMILIAR = (Who.PERSON, "110513", "the input is unlike what the model was trained on")
    SR_UNREADABLE = (Who.SENDER, "110521", "the structured report cannot be read")
    SEG_UNUSABLE = (Who.SENDER, "110521", "the segmentation outlines nothing on this image")
    IN_MISSING_INPUT = (Who.SENDER, "110523", "a named input did not arrive in time")

    def __init__(self, who: Who, ups_reason: str, meaning: str) -> None:
        self.who = who
        self.ups_reason = ups_reason
        self.meaning = meaning
