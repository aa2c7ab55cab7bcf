"""Certificates are checked before they are used, and named by what is in them."""

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.tls import files
from dicom_ai_node.tls.server import https_context
from tests.certificates import Pair, certificate


def _told(pair: Pair) -> files.Pair:
    return files.Pair(place="serve.tls", certificate=pair.certificate, key=pair.key)


def _no_certificate(pair: Pair) -> None:
    pair.certificate.unlink()


def _no_key(pair: Pair) -> None:
    pair.key.unlink()


def _a_folder(pair: Pair) -> None:
    pair.key.unlink()
    pair.key.mkdir()


def _another_key(pair: Pair) -> None:
    shutil.copy(certificate(pair.key.parent / "other").key, pair.key)


def _swapped(pair: Pair) -> None:
    shutil.copy(pair.key, pair.certificate)


def _no_pem(pair: Pair) -> None:
    pair.certificate.write_bytes(b"\x30\x82")


def _half(pair: Pair) -> None:
    pair.key.write_bytes(pair.key.read_bytes()[:60])


def _locked(pair: Pair) -> None:
    made = certificate(pair.key.parent / "other", password=b"secret")
    shutil.copy(made.key, pair.key)
    shutil.copy(made.certificate, pair.certificate)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (_no_certificate, r"serve\.tls\.certificate: cannot read .*node\.crt: No such file"),
        (_no_key, r"serve\.tls\.key: cannot read .*node\.key: No such file"),
        (_a_folder, r"serve\.tls\.key: cannot read .*node\.key: Is a directory"),
        (_another_key, r"serve\.tls: .*node\.key is not the key of .*node\.crt"),
        (_swapped, r"serve\.tls\.certificate: .*node\.crt is no PEM file"),
        (_no_pem, r"serve\.tls\.certificate: .*node\.crt is no PEM file"),
        (_half, r"serve\.tls: .*node\.crt or .*node\.key is no PEM file"),
        (_locked, r"serve\.tls\.key: .*node\.key asks for a password"),
    ],
    ids=lambda it: it.__name__.strip("_") if callable(it) else "",
)
def test_what_cannot_be_used_is_told(
    tmp_path: Path, mistake: Callable[[Pair], None], said: str
) -> None:
    """With the file, before anybody listens."""
    pair = certificate(tmp_path)
    mistake(pair)
    with pytest.raises(ConfigError, match=said):
        https_context(_told(pair))


def test_old_versions_and_weak_ciphers_are_not_spoken(tmp_path: Path) -> None:
    """TLS 1.2 with forward secrecy, or TLS 1.3."""
    pair = certificate(tmp_path)
    context = https_context(_told(pair))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    spoken = {one["name"] for one in context.get_ciphers()}
    assert spoken
    assert not [name for name in spoken if not name.startswith(("TLS_", "ECDHE-"))]
    assert not [name for name in spoken if "CBC" in name or name.endswith("SHA")]


def test_the_names_in_a_certificate_are_names_of_the_node(tmp_path: Path) -> None:
    """Nobody has to write them down a second time."""
    pair = certificate(tmp_path, "node.example.org", "*.Wild.example")
    assert _told(pair).names() == {"node.example.org", "*.wild.example"}
    assert _told(certificate(tmp_path / "b")).names() == frozenset()
