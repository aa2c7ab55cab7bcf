"""Tell people by e-mail: one message for everything that is due."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from dicom_ai_node.domain.errors import NodeError, PeerUnavailable
from dicom_ai_node.domain.notice import About, Notice
from dicom_ai_node.watch.webhook import link

SECONDS = 20.0

_SAID = {
    About.FAILED: "job {job} of route {route} has stopped ({stage}); to act: {who}",
    About.QUARANTINED: "something that was received was not let in: quarantine {quarantine}",
    About.STAT_FINISHED: "job {job} of route {route}, stat, is delivered",
    About.UNPROVEN: "destination {destination} does not show that it keeps what it takes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """Whose mail server, and who writes to whom.

    Attributes
    ----------
    security
        `starttls`, `tls` from the first byte, or `none` on this machine.
    """

    host: str
    port: int
    security: str
    sender: str
    to: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)


class Mail:
    """A way to people."""

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        node: str,
        console: str = "",
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._mailbox = mailbox
        self._node = node
        self._console = console
        self._trust = trust or ssl.create_default_context()

    def tell(self, notices: Sequence[Notice]) -> Sequence[NodeError | None]:
        """Tell all of them in one message; one entry each, `None` where it was taken."""
        try:
            with self._server() as server:
                if self._mailbox.user:
                    server.login(self._mailbox.user, self._mailbox.password)
                server.send_message(self.message(notices))
        except (OSError, smtplib.SMTPException) as trouble:
            error = PeerUnavailable(f"the mail server does not take it ({type(trouble).__name__})")
            return [error] * len(notices)
        return [None] * len(notices)

    def message(self, notices: Sequence[Notice]) -> EmailMessage:
        """Return the message."""
        lines = [_said(notice) for notice in notices]
        message = EmailMessage()
        message["From"] = self._mailbox.sender
        message["To"] = ", ".join(self._mailbox.to)
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        message["Subject"] = f"{self._node}: {lines[0]}{more}"
        message["Date"] = formatdate()
        # Of the node, not of this machine: its name is nobody's business.
        message["Message-ID"] = make_msgid(domain="dicom-ai-node.invalid")
        message["Auto-Submitted"] = "auto-generated"
        body = [
            f"{notice.fact.at:%Y-%m-%d %H:%M:%S} UTC  {line}  {link(self._console, notice)}"
            for notice, line in zip(notices, lines, strict=True)
        ]
        message.set_content("\n".join([*body, "", "What exactly is the matter, the console says."]))
        return message

    def _server(self) -> smtplib.SMTP:
        box = self._mailbox
        if box.security == "tls":
            return smtplib.SMTP_SSL(box.host, box.port, timeout=SECONDS, context=self._trust)
        server = smtplib.SMTP(box.host, box.port, timeout=SECONDS)
        if box.security == "starttls":
            try:
                server.starttls(context=self._trust)
            except BaseException:
                server.close()
                raise
        return server


def _said(notice: Notice) -> str:
    fact = notice.fact
    return _SAID[fact.about].format(
        job=fact.job,
        route=fact.route,
        stage=fact.stage,
        who=fact.who,
        quarantine=fact.quarantine,
        destination=fact.destination,
    )
