"""What is spoken over a DICOM connection, PS3.7 and PS3.8, whoever has called."""
