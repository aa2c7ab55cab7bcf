"""One file per DICOM object that a finding can become."""

OUTPUTS = (
    "segmentation",
    "segmentation_fractional",
    "segmentation_labelmap",
    "structured_report",
    "secondary_capture",
)
"""What the `write` of a route may name; the same names as the files here, and known without
importing what they need."""
