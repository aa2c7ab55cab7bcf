"""A new certificate is taken up without a restart."""

import shutil
import ssl
from functools import partial
from pathlib import Path

import pytest

from dicom_ai_node.tls import files
from dicom_ai_node.tls.renewal import Renewal
from dicom_ai_node.tls.server import DicomTls, KeptTls, https_context
from tests.certificates import Authority, certificate


def test_a_new_certificate_is_taken_up_only_when_it_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file is copied before its key: until both are there the old one is shown."""
    pair = certificate(tmp_path / "now")
    told = files.Pair(place="serve.tls", certificate=pair.certificate, key=pair.key)
    context = https_context(told)
    renewal = Renewal(told.files, partial(told.load, context))
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


def test_a_port_forgets_a_ca_that_is_no_longer_trusted(tmp_path: Path) -> None:
    """Everything is made anew, for a context can only learn to trust; half of it changes nothing."""
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    own, trusted = old.issue("node"), tmp_path / "trusted.crt"
    shutil.copy(old.certificate, trusted)
    pair = files.Pair(place="receive.tls", certificate=own.certificate, key=own.key)
    kept = KeptTls(DicomTls(pair=pair, trusted=trusted))
    before = kept()
    trusted.write_text("nothing")
    kept.renewal.look()
    assert kept() is before
    shutil.copy(new.certificate, trusted)
    kept.renewal.look()
    assert kept() is not before
    known = [one["subject"] for one in kept().get_ca_certs()]
    assert known == [one["subject"] for one in _read(new.certificate).get_ca_certs()]


def _read(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certificate)
    return context
