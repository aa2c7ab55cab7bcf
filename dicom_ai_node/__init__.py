"""A DICOM node that sends series to AI models and writes what they find back to the PACS."""
