"""One file per DICOM object that a finding can become."""
