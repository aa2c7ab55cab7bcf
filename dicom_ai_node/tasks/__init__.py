"""One file per kind of AI task."""
