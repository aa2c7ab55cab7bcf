"""What the command line says of DICOM over TLS."""

import json
from pathlib import Path

import pytest

from dicom_ai_node import compose
from tests.certificates import Authority, Pair
from tests.cli.conftest import Run
from tests.peers.tools import free_port


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return the CA of the hospital."""
    return Authority(tmp_path / "ca")


def _secured(config: Path, own: Pair, *, port: int | None = None, **more: str) -> None:
    tls = {"port": free_port(), "certificate": str(own.certificate), "key": str(own.key), **more}
    _first, rest = config.read_text().split("\n", 1)
    receive = {"ae_title": "AI_NODE", "host": "127.0.0.1", "accept_from": ["CT1"], "tls": tls}
    receive |= {} if port is None else {"port": port}
    config.write_text(f"receive: {json.dumps(receive)}\n{rest}")


def test_check_says_what_would_be_safer(run: Run, config: Path, authority: Authority) -> None:
    """An open port beside the secured one, and peers who need not prove who they are."""
    own = authority.issue("node", "localhost")
    _secured(config, own, port=11112)
    advice = "".join(run("check", config, "--json").json["advice"])
    assert "receive.port: 11112 is open for clear text beside TLS" in advice
    assert "receive.tls.trusted: whoever reaches the port" in advice
    _secured(config, own, trusted=str(authority.certificate))
    assert run("check", config, "--json").json["advice"] == []


def test_check_says_whose_answers_would_not_be_let_in(run: Run, config: Path) -> None:
    """A PACS that is asked for storage commitment mostly answers on an association of its own."""
    pacs = "{ae_title: PACS, host: 127.0.0.1, port: 104, proof: commitment}"
    text = config.read_text()
    config.write_text(text.replace("destinations:", f"destinations:\n  asked: {pacs}"))
    advice = "".join(run("check", config, "--json").json["advice"])
    assert "destinations.asked.proof: PACS is not in receive.accept_from" in advice


@pytest.mark.parametrize(
    ("days", "said"),
    [(300, ""), (10, "receive.tls: the certificate expires on 20"), (-1, "has expired")],
)
def test_check_tells_when_the_certificate_expires(
    run: Run, config: Path, authority: Authority, days: float, said: str
) -> None:
    """A month before, like that of the console; and the metrics know the moment."""
    own = authority.issue("node", "localhost", days=days)
    _secured(config, own, trusted=str(authority.certificate))
    advice = "".join(run("check", config, "--json").json["advice"])
    assert bool(advice) is bool(said)
    assert said in advice
    assert set(compose.dicom_expiry(compose.settings(config))) == {"receive.tls"}


def test_a_file_that_cannot_be_used_is_a_mistake(
    run: Run, config: Path, authority: Authority
) -> None:
    """Before anybody listens."""
    _secured(config, authority.issue("node"), trusted=str(config))
    ended = run("check", config)
    assert (ended.status, "receive.tls.trusted:" in ended.err) == (78, True)
    assert "holds no certificate in PEM" in ended.err


def test_send_reaches_a_node_that_speaks_tls_only(config: Path, authority: Authority) -> None:
    """With its own certificate, which it knows by its fingerprint."""
    own = authority.issue("node", "localhost")
    _secured(config, own, trusted=str(authority.certificate))
    itself = compose.tls_to_itself(compose.settings(config))
    assert itself is not None
    assert (itself.fingerprint, itself.certificate) == (own.fingerprint, own.certificate)
    _secured(config, own, port=free_port())
    assert compose.tls_to_itself(compose.settings(config)) is None


@pytest.mark.parametrize(
    ("days", "said"), [(7, ""), (-1, "receive.tls.revoked: a list should have been renewed on 20")]
)
def test_check_tells_when_a_list_of_revoked_certificates_is_old(
    run: Run, config: Path, authority: Authority, days: float, said: str
) -> None:
    """For nobody of its CA comes in from then on."""
    own, revoked = authority.issue("node", "localhost"), authority.revoke(days=days)
    _secured(config, own, trusted=str(authority.certificate), revoked=str(revoked))
    advice = "".join(run("check", config, "--json").json["advice"])
    assert bool(advice) is bool(said)
    assert said in advice


@pytest.mark.parametrize(
    ("content", "why"), [(None, "cannot read"), ("nothing", "holds no list of revoked")]
)
def test_check_tells_that_there_is_no_list(
    run: Run, config: Path, authority: Authority, content: str | None, why: str
) -> None:
    """A node that should look there does not start without."""
    own, revoked = authority.issue("node", "localhost"), config.parent / "revoked.crl"
    if content is not None:
        revoked.write_text(content)
    _secured(config, own, trusted=str(authority.certificate), revoked=str(revoked))
    ended = run("check", config)
    assert ended.status == 78
    assert why in ended.err
