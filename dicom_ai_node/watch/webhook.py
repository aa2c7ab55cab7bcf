"""Tell a program: one signed POST per notice, after the Standard Webhooks specification.

The receiver verifies `webhook-signature` (HMAC-SHA256 over id, time and body with the shared
secret) and leaves out an id that it has seen: a notice may come twice, never not at all.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence

import httpx

from dicom_ai_node.domain.errors import NodeError, PeerUnavailable
from dicom_ai_node.domain.notice import Notice

ANSWER_SECONDS = 10.0


class Webhook:
    """A way to one program. Redirects are not followed: the address stands in the configuration.

    Parameters
    ----------
    secret
        What both sides know.
    node
        Who tells: the AE title.
    console
        The address of the console without a slash at its end, or nothing.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        node: str,
        console: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._node = node
        self._console = console
        self._clock = clock

    def tell(self, notices: Sequence[Notice]) -> Sequence[NodeError | None]:
        """Tell all of them; one entry each, `None` where the target knows. Never raises."""
        with httpx.Client(timeout=ANSWER_SECONDS, follow_redirects=False) as client:
            return [self._told(client, notice) for notice in notices]

    def _told(self, client: httpx.Client, notice: Notice) -> NodeError | None:
        body = json.dumps(self.message(notice), separators=(",", ":")).encode()
        try:
            answer = client.post(self._url, content=body, headers=self._headers(notice, body))
        except httpx.HTTPError as trouble:
            return PeerUnavailable(f"the webhook does not answer ({type(trouble).__name__})")
        if answer.is_success:
            return None
        return PeerUnavailable(f"the webhook answers {answer.status_code}")

    def message(self, notice: Notice) -> dict[str, object]:
        """Return what is said about one notice."""
        fact = notice.fact
        data = {
            "node": self._node,
            "job": fact.job,
            "route": fact.route,
            "model": fact.model,
            "stage": fact.stage,
            "who": fact.who,
            "quarantine": fact.quarantine,
            "destination": fact.destination,
            "console": link(self._console, notice),
        }
        return {
            "type": f"dicom_ai_node.{fact.about}",
            "timestamp": fact.at.isoformat(),
            "data": {key: value for key, value in data.items() if value},
        }

    def _headers(self, notice: Notice, body: bytes) -> dict[str, str]:
        name, at = f"{self._node}-{notice.number}", str(int(self._clock()))
        signed = f"{name}.{at}.".encode() + body
        signature = base64.b64encode(hmac.digest(self._secret, signed, hashlib.sha256)).decode()
        return {
            "Content-Type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": at,
            "webhook-signature": f"v1,{signature}",
        }


def link(console: str, notice: Notice) -> str:
    """Return where the console shows what a notice is about; nothing without a console."""
    if not console:
        return ""
    if notice.fact.destination:
        return f"{console}/destinations"
    return f"{console}/jobs/{notice.fact.job}" if notice.fact.job else f"{console}/quarantine"
