"""Refuse to commit DICOM files, weights outside of a model folder, and anything large.

Run by pre-commit with the staged paths, and by a test with every tracked path.
"""

import sys
from pathlib import Path

LARGEST_BYTES = 1_000_000
LARGEST_WEIGHTS_BYTES = 8_000_000
LARGEST_SAMPLE_BYTES = 4_000_000
WEIGHTS = {".safetensors", ".pt", ".pth", ".onnx", ".ckpt", ".ts", ".pt2", ".bin"}
PREAMBLE_BYTES = 128


def objection(path: Path) -> str:
    """Return why `path` must not be committed, or nothing."""
    size = path.stat().st_size
    if path.suffix.lower() in {".dcm", ".dicom", ".ima"} or _is_part_10(path):
        return "a DICOM file may be a patient's; ship pixels with their licence instead"
    if path.suffix in WEIGHTS:
        if path.suffix != ".safetensors" or path.parent.name != "models":
            return "weights belong into models/model.safetensors of a model folder"
        return "weights are larger than 8 MB" if size > LARGEST_WEIGHTS_BYTES else ""
    limit = LARGEST_SAMPLE_BYTES if path.suffix in {".npz", ".png"} else LARGEST_BYTES
    return f"{size} bytes are too large for the repository" if size > limit else ""


def _is_part_10(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(PREAMBLE_BYTES)
        return file.read(4) == b"DICM"


def main(paths: list[str]) -> int:
    """Print one line per path that must not be committed; return 1 if there is any."""
    refused = {p: why for p in map(Path, paths) if p.is_file() and (why := objection(p))}
    for path, why in refused.items():
        sys.stderr.write(f"{path}: {why}\n")
    return int(bool(refused))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
