"""A secret in a file as an operator has to keep it: for its owner alone."""

from pathlib import Path


def confided(path: Path, said: str) -> Path:
    """Write a secret to a file that nobody else can read, and return the file."""
    path.touch(mode=0o600)
    path.write_text(said)
    return path
