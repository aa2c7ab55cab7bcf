"""The inputs that have led somewhere new, one archive per target: few files, small, no DICOM file."""

import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
LONGEST_BYTES = 8192
"""Of one input that is kept."""
_THEN = (2026, 1, 1, 0, 0, 0)


def kept(name: str) -> Sequence[bytes]:
    """Return the inputs of a target."""
    path = FOLDER / f"{name}.zip"
    if not path.is_file():
        return []
    with zipfile.ZipFile(path) as archive:
        return [archive.read(each) for each in archive.namelist()]


def keep(name: str, inputs: Iterable[bytes]) -> int:
    """Keep these inputs of a target and no others, the shortest first; return how many."""
    chosen = sorted({each for each in inputs if len(each) <= LONGEST_BYTES}, key=_length_first)
    FOLDER.mkdir(exist_ok=True)
    with zipfile.ZipFile(FOLDER / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for each in chosen:
            # The same inputs are the same file.
            entry = zipfile.ZipInfo(hashlib.sha256(each).hexdigest()[:16], _THEN)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, each)
    return len(chosen)


def _length_first(data: bytes) -> tuple[int, bytes]:
    return len(data), data
