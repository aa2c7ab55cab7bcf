"""One file per DICOM object that findings can become; `write` runs them in their order."""

OUTPUTS = (
    "segmentation",
    "segmentation_fractional",
    "segmentation_labelmap",
    "annotations",
    "rt_structure_set",
    "derived_image",
    "parametric_map",
    "presentation_state",
    "secondary_capture",
    "structured_report",
    "key_objects",
)
"""What the `write` of a route may name: the files here that make an object. It stands here so
that the configuration can be checked without importing what they need."""
