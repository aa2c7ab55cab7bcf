"""What a backup holds, written last: a backup without a manifest is one that did not end."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import cattrs

from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.uids import Sha256

MANIFEST, PARTS = "manifest.json", "parts"
FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UNREADABLE = "the backup is damaged: its manifest cannot be read"
LEDGER, CONFIGURATION, STORE = "ledger", "configuration", "store"
"""Names of files in a backup: the ledger, the configuration file, what else lies in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The bytes of one file."""

    sha256: Sha256
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything in a backup, each with its sha256.

    Attributes
    ----------
    schema, database
        Of the ledger: its revision, and `sqlite` or `postgresql`.
    files
        The ledger, the configuration and the node's own files, by their name.
    blobs
        What the ledger names, and how many bytes each has.
    missing
        What the ledger names and the store had lost, or had with other bytes.
    models
        The digest of each model that a route runs; the models themselves are not here.
    elsewhere
        Files that the configuration names and the node does not own: keys, certificates, secrets.
    """

    made_at: datetime
    version: str
    schema: str
    database: str
    files: Mapping[str, Part]
    blobs: Mapping[Sha256, int]
    missing: tuple[Sha256, ...] = ()
    models: Mapping[str, Sha256] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()
    format: int = FORMAT

    def parts(self) -> Mapping[Sha256, int]:
        """Return all bytes by their sha256, and how many they are."""
        return {**self.blobs, **{one.sha256: one.size_bytes for one in self.files.values()}}


def written(manifest: Manifest) -> bytes:
    """Return the file for a manifest, sealed with its own sha256."""
    said = _converter().unstructure(manifest)
    return json.dumps({"sha256": _seal(said), "manifest": said}, indent=1).encode()


def read(content: bytes) -> Manifest:
    """Return the manifest in a file.

    Raises
    ------
    NeedsAttention
        If it is damaged, or was written by a later version of the node.
    """
    try:
        sealed = json.loads(content)
        said = sealed["manifest"]
        is_whole, is_known = _seal(said) == sealed["sha256"], said["format"] == FORMAT
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise NeedsAttention(_UNREADABLE) from error
    if not is_whole:
        raise NeedsAttention("the backup is damaged: its manifest has another digest")
    if not is_known:
        raise NeedsAttention("a newer version of the node has made this backup: install that")
    try:
        found = _converter().structure(said, Manifest)
    except (cattrs.BaseValidationError, ValueError, LookupError, TypeError) as error:
        raise NeedsAttention(_UNREADABLE) from error
    # Anybody can seal a manifest, and a part is looked for under its digest.
    if not all(_DIGEST.fullmatch(one) for one in found.parts()):
        raise NeedsAttention(_UNREADABLE)
    return found


def _seal(said: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(datetime, datetime.isoformat)
    converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
    return converter
