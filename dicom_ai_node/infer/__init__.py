"""From blobs to an image to findings, on a worker near or far."""
