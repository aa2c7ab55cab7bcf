"""A release in small: everything that is kept, changed or left out, and what must not get out."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from dicom_ai_node.serve.viewer.changes import CHANGES

FIRST = "app.bundle.0123456789abcdef.js"
FILES: Mapping[str, bytes] = {
    FIRST: b"\n".join(change.old.encode() * change.times for change in CHANGES[".js"]),
    "app.bundle.css": b"@font-face { src: url(/0123.woff2) }" * 5,
    "0123.woff2": b"a font",
    "4567.wasm": b"a decoder",
    "assets/favicon.ico": b"an icon",
    "dicom-microscopy-viewer/dataLoader.worker.min.js": b"a worker",
    "ort/ort.wasm": b"left out",
    "sw.js": b"left out",
    "index.html": b"left out",
    "app-config.js": b"left out: images of others",
}


def tarball(path: Path, files: Mapping[str, bytes] = FILES, *links: tarfile.TarInfo) -> Path:
    """Write a release with these files below its `dist`, and with these links."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/dist/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for link in links:
            archive.addfile(link)
    return path


def unpacked(path: Path | None) -> bytes:
    """Return what a file of the viewer holds."""
    assert path is not None
    return gzip.decompress(path.read_bytes())
