"""What may be wrong with an installation: one small function a question, put together elsewhere."""
