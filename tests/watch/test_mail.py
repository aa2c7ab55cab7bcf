"""People are told by e-mail: one message for everything that is due."""

import ssl
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from dicom_ai_node.domain.errors import PeerUnavailable
from dicom_ai_node.domain.notice import About, Fact
from dicom_ai_node.watch.mail import Mail, Mailbox
from tests.peers.tools import free_port
from tests.watch.certificate import certificate
from tests.watch.test_webhook import NOTICE

ASIDE = replace(
    NOTICE, number=8, fact=Fact(about=About.QUARANTINED, at=NOTICE.fact.at, quarantine=3)
)
DOUBTED = replace(
    NOTICE, number=9, fact=Fact(about=About.UNPROVEN, at=NOTICE.fact.at, destination="pacs")
)


class Letters:
    """A mail server's inside: keeps what it takes."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.refuses = False

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuses:
            return "451 come back later"
        self.taken.append(envelope)
        return "250 taken"


def _knows(
    _server: SMTP, _session: Session, _envelope: Envelope, _how: str, told: object
) -> AuthResult:
    is_right = (getattr(told, "login", b""), getattr(told, "password", b"")) == (b"node", b"secret")
    return AuthResult(success=is_right)


@pytest.fixture
def letters() -> Letters:
    """Return an empty box."""
    return Letters()


@pytest.fixture
def trust(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server shows and what a client believes."""
    file, key = certificate(tmp_path)
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    shown.load_cert_chain(file, key)
    return shown, ssl.create_default_context(cafile=str(file))


@pytest.fixture
def server(letters: Letters, trust: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Controller]:
    """Run a mail server that wants STARTTLS and a password."""
    running = Controller(
        letters,
        hostname="localhost",
        port=free_port(),
        tls_context=trust[0],
        require_starttls=True,
        auth_required=True,
        authenticator=_knows,
    )
    running.start()
    yield running
    running.stop()


def mailbox(port: int, password: str = "secret") -> Mailbox:  # noqa: S107 - of nobody
    """Return whose mail server."""
    return Mailbox(
        host="localhost",
        port=port,
        security="starttls",
        sender="node@example.org",
        to=("it@example.org", "pacs@example.org"),
        user="node",
        password=password,
    )


def test_everything_that_is_due_is_one_message(
    server: Controller, letters: Letters, trust: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """With a line and a link for each; over TLS, and after a login."""
    mail = Mail(mailbox(server.port), node="AI_NODE", console="https://node", trust=trust[1])
    assert mail.tell([NOTICE, ASIDE, DOUBTED]) == [None, None, None]
    (envelope,) = letters.taken
    assert envelope.rcpt_tos == ["it@example.org", "pacs@example.org"]
    message = message_from_bytes(envelope.content, policy=policy.default)  # type: ignore[arg-type]
    assert message["Subject"] == (
        "AI_NODE: job 0123456789ab of route liver has stopped (parked); to act: a person (and 2 more)"
    )
    first, second, third, *_ = message.get_content().splitlines()
    assert first.endswith("to act: a person  https://node/jobs/0123456789ab")
    assert second.endswith("quarantine 3  https://node/quarantine")
    assert third.endswith(
        "destination pacs does not show that it keeps what it takes  https://node/destinations"
    )


def test_a_server_that_does_not_take_it_is_asked_again(
    server: Controller, letters: Letters, trust: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Whether it is busy, does not know us or shows a certificate that nobody trusts."""
    letters.refuses = True
    told = Mail(mailbox(server.port), node="AI_NODE", trust=trust[1]).tell([NOTICE])
    assert "SMTPDataError" in str(told[0])
    wrong = Mail(mailbox(server.port, "wrong"), node="AI_NODE", trust=trust[1]).tell([NOTICE])
    assert "(SMTP" in str(wrong[0])
    strange = Mail(mailbox(server.port), node="AI_NODE").tell([NOTICE])
    assert "SSLCertVerificationError" in str(strange[0])
    (nobody,) = Mail(mailbox(free_port()), node="AI_NODE").tell([NOTICE])
    assert isinstance(nobody, PeerUnavailable)
    assert letters.taken == []
