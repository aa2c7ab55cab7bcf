"""TLS for everything that speaks it: what comes by HTTP, and DICOM in both directions."""
