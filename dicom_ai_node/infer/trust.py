"""Who vouches for a model that can run code: a digest in the configuration, or a signature.

What is signed is `SHA256SUMS`, which names every other file by its sha256; the signature lies
beside it, so that signing a model does not make it another one.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dicom_ai_node.domain.errors import ConfigError, ModelUnusable
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.infer.formats import FORMATS
from dicom_ai_node.infer.sealed import SUMS, SealedFolder

SIGNATURE = f"{SUMS}.sig"
"""64 bytes, Ed25519 (RFC 8032) over the bytes of SHA256SUMS."""
_READABLE_BY_OTHERS = 0o077
_WRITABLE_BY_OTHERS = 0o022


@dataclass(frozen=True, slots=True)
class Trust:
    """What an operator trusts: models by their digest, people by their public keys."""

    digests: frozenset[Sha256] = frozenset()
    keys: tuple[Ed25519PublicKey, ...] = ()

    def is_signed(self, sealed: SealedFolder) -> bool:
        """Return whether one of the trusted keys has signed a model folder as it is now."""
        try:
            signature = (sealed.folder / SIGNATURE).read_bytes()
        except OSError:
            return False
        return any(_fits(key, signature, sealed.content) for key in self.keys)

    def of(self, sealed: SealedFolder, format_: str) -> str:
        """Return why a model may run: `runs no code`, `digest` or `signature`; empty if not."""
        if not FORMATS[format_].runs_code:
            return "runs no code"
        if sealed.digest in self.digests:
            return "digest"
        return "signature" if self.is_signed(sealed) else ""

    def require(self, sealed: SealedFolder, format_: str) -> None:
        """Raise `ModelUnusable` with how to allow it, if nobody vouches for a model."""
        if not self.of(sealed, format_):
            raise ModelUnusable(
                f"{sealed.folder.name}: {format_} can run code and nobody vouches for it; if you "
                f"trust where it comes from, write `infer: {{trust: [{sealed.digest}]}}` into the "
                "configuration, or let somebody sign it whose key is in `infer.trust_keys`"
            )


def trusting(digests: Sequence[str], keys: Sequence[Path]) -> Trust:
    """Return what a configuration says of trust.

    Raises
    ------
    ConfigError
        If a key cannot be read, or people besides its owner may change it.
    """
    return Trust(frozenset(map(Sha256, digests)), tuple(map(_public_key, keys)))


def sign(folder: Path, key: Path) -> Path:
    """Sign the model in `folder`, whose files must be as listed, and return the signature's path.

    Raises
    ------
    ModelUnusable
        If a file differs from SHA256SUMS.
    ConfigError
        If the private key cannot be used, or people besides its owner may read it.
    """
    sealed = SealedFolder(folder)
    sealed.verify()
    signature = _private_key(key).sign(sealed.content)
    path = folder / SIGNATURE
    path.write_bytes(signature)
    return path


def make_key(path: Path) -> Path:
    """Write a new private key to `path`, for its owner only, and return that of the public one.

    Raises
    ------
    ConfigError
        If one of them is there already, or cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    public = path.with_name(f"{path.name}.pub")
    secret = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    open_ = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write_new(path, secret, 0o600)
    _write_new(public, open_, 0o644)
    return public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _fits(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _private_key(path: Path) -> Ed25519PrivateKey:
    content = _content(path, _READABLE_BY_OTHERS, "may be read by others: chmod 600")
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as wrong:
        raise ConfigError(f"{path} is no private key in PEM without a password") from wrong
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is a key, but not one of Ed25519")
    return key


def _public_key(path: Path) -> Ed25519PublicKey:
    content = _content(path, _WRITABLE_BY_OTHERS, "may be changed by others: chmod 644")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as wrong:
        raise ConfigError(f"infer.trust_keys: {path} is no public key in PEM") from wrong
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"infer.trust_keys: {path} is a key, but not one of Ed25519")
    return key


def _content(path: Path, forbidden: int, why: str) -> bytes:
    try:
        with path.open("rb") as file:
            # Asked of the open file, so that nobody can put another one in its place.
            if os.fstat(file.fileno()).st_mode & forbidden:
                raise ConfigError(f"{path} {why}")
            return file.read()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
