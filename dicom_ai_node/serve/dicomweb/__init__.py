"""DICOMweb, PS3.18: search, retrieve and work items, one module per resource."""
