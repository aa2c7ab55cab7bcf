"""The OHIF viewer, fetched once as it is released and served below a path of the node."""
