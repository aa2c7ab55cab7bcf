"""One file per DICOM object that findings can become; `write` runs them in their order."""
