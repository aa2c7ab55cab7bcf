"""The certificate is checked before it is used, and a new one is taken up without a restart."""

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.serve.tls import Renewal, expires_at, names, tls_context
from tests.certificates import Pair, certificate


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
        tls_context(pair.certificate, pair.key)


def test_old_versions_and_weak_ciphers_are_not_spoken(tmp_path: Path) -> None:
    """TLS 1.2 with forward secrecy, or TLS 1.3."""
    pair = certificate(tmp_path)
    context = tls_context(pair.certificate, pair.key)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    spoken = {one["name"] for one in context.get_ciphers()}
    assert spoken
    assert not [name for name in spoken if not name.startswith(("TLS_", "ECDHE-"))]
    assert not [name for name in spoken if "CBC" in name or name.endswith("SHA")]


def test_the_names_in_a_certificate_are_names_of_the_node(tmp_path: Path) -> None:
    """Nobody has to write them down a second time."""
    pair = certificate(tmp_path, "node.example.org", "*.Wild.example")
    assert names(pair.certificate) == {"node.example.org", "*.wild.example"}
    assert names(certificate(tmp_path / "b").certificate) == frozenset()


def test_until_when_it_holds_is_that_of_the_certificate_in_use(tmp_path: Path) -> None:
    """A file that was half replaced is no reason to believe that all is well."""
    pair = certificate(tmp_path / "now", days=1)
    renewal = Renewal(
        tls_context(pair.certificate, pair.key), pair.certificate, pair.key
    )  # fmt: skip
    before = renewal.expires_at
    assert before == expires_at(pair.certificate)
    new = certificate(tmp_path / "new", days=300)
    shutil.copy(new.certificate, pair.certificate)
    renewal.look()
    assert renewal.expires_at == before
    shutil.copy(new.key, pair.key)
    renewal.look()
    assert renewal.expires_at == expires_at(new.certificate) > before


def test_a_new_certificate_is_taken_up_only_when_it_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file is copied before its key: until both are there the old one is shown."""
    pair = certificate(tmp_path / "now")
    context = tls_context(pair.certificate, pair.key)
    renewal = Renewal(context, pair.certificate, pair.key)
    renewal.look()
    assert capsys.readouterr().err == ""
    new = certificate(tmp_path / "new")
    shutil.copy(new.certificate, pair.certificate)
    renewal.look()
    assert "certificate_not_taken" in capsys.readouterr().err
    shutil.copy(new.key, pair.key)
    renewal.look()
    assert "certificate_renewed" in capsys.readouterr().err
    renewal.look()
    assert capsys.readouterr().err == ""
