"""STOW-RS to a DICOMweb service, PS3.18 10.5."""

import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from secrets import token_hex
from time import monotonic

import httpx

from dicom_ai_node.deliver.answer import read_answer
from dicom_ai_node.deliver.judge import Entry, judge_http
from dicom_ai_node.deliver.parcel import Parcel, each
from dicom_ai_node.domain.destination import WebPeer
from dicom_ai_node.domain.errors import ConfigError, PeerUnavailable, TryAgain

MOST_BYTES = 100_000_000
"""The size of one request; an object that is larger travels alone."""
MOST_ANSWER_BYTES = 16_000_000
"""An answer that is longer than this is not read to its end and not believed."""
KNOWN_FOR_SECONDS = 600.0
"""How long the answer of `accepts`, and the system's list of authorities, are believed."""

_CHUNK_BYTES = 1 << 18
_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_NOT_NOW = frozenset({401, 403, 408, 429, 500, 502, 503, 504})
_MAY_BE_ABOUT_ONE = frozenset({400, 406, 409, 413, 415, 422})
"""Statuses that one object of a request can bring upon all of it."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    after_seconds: float | None


class WebSender:
    """Sends to one DICOMweb service, in requests of up to `MOST_BYTES`.

    Parameters
    ----------
    connect_seconds
        For the connection.
    answer_seconds
        For each write, for the beginning of the answer and for the rest of it.
    most_bytes
        The size of one request.

    Raises
    ------
    ConfigError
        If `url` is not an http or https address.
    """

    def __init__(
        self,
        peer: WebPeer,
        *,
        connect_seconds: float = 10.0,
        answer_seconds: float = 120.0,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        try:
            url = httpx.URL(peer.url.rstrip("/") + "/studies")
        except httpx.InvalidURL as cause:
            raise ConfigError("`url` of a destination is not an address") from cause
        if url.scheme not in {"http", "https"} or not url.host:
            raise ConfigError("`url` of a destination must begin with http:// or https://")
        self._url = url
        self._name = url.host
        self._token = peer.token
        self._answer_seconds = answer_seconds
        self._timeout = httpx.Timeout(answer_seconds, connect=connect_seconds)
        self._most_bytes = most_bytes
        self._clock = clock
        self._known_until = 0.0
        self._trusted: ssl.SSLContext | None = None
        self._trusted_until = 0.0

    def send(self, objects: Sequence[Path]) -> list[Entry]:
        """Send Part 10 files in order, byte for byte, and return one entry per object."""
        return each(objects, self._deliver)

    def accepts(self, sop_class_uid: str) -> bool:  # noqa: ARG002 - STOW-RS negotiates no classes
        """Return whether the service is there for us; it takes a class or names it as failed."""
        if self._clock() < self._known_until:
            return True
        try:
            with self.client() as client:
                status = client.options(self._url).status_code
        except httpx.HTTPError:
            return False
        # Many services know no OPTIONS and say so with 404, 405 or 501: they are there.
        there = status not in _NOT_NOW and not 300 <= status < 400  # noqa: PLR2004 - redirects
        if there:
            self._known_until = self._clock() + KNOWN_FOR_SECONDS
        return there

    def client(self) -> httpx.Client:
        """Return what speaks with the service, to be closed by the caller."""
        headers = {"Accept": "application/dicom+json", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        # The store of the system knows the hospital's own authority, the one of httpx does not.
        # Proxies of the environment are not used: results go where the configuration says.
        return httpx.Client(
            headers=headers,
            timeout=self._timeout,
            follow_redirects=False,
            trust_env=False,
            # Without TLS nobody has to be trusted, and following a redirect is out of the question.
            verify=self._trust() if self._url.scheme == "https" else _NOBODY,
        )

    def _trust(self) -> ssl.SSLContext:
        """Return whom the system trusts; reading its list takes longer than sending an object."""
        if self._trusted is None or self._clock() >= self._trusted_until:
            self._trusted = ssl.create_default_context()
            self._trusted_until = self._clock() + KNOWN_FOR_SECONDS
        return self._trusted

    def _deliver(self, parcels: Sequence[Parcel]) -> list[Entry]:
        entries: list[Entry] = []
        silence: PeerUnavailable | None = None
        with self.client() as client:
            for batch in batches(parcels, self._most_bytes):
                answers: list[Entry] = (
                    [silence] * len(batch) if silence else self._post(client, batch)
                )
                if all(isinstance(answer, PeerUnavailable) for answer in answers):
                    silence = next(a for a in answers if isinstance(a, PeerUnavailable))
                entries += answers
        return entries

    def _post(self, client: httpx.Client, batch: Sequence[Parcel]) -> list[Entry]:
        """Send one request; if the service dislikes it as a whole, its halves."""
        try:
            answer = self._exchange(client, batch)
        except httpx.HTTPError as cause:
            silence = PeerUnavailable(f"{self._name} does not answer ({type(cause).__name__})")
            silence.__cause__ = cause
            return [silence] * len(batch)
        except OSError as cause:
            hitch = TryAgain(f"the file of a result cannot be read: {type(cause).__name__}")
            return [hitch] * len(batch)
        named = read_answer(answer.body, self._name)
        unnamed = [parcel for parcel in batch if parcel.sop_instance_uid not in named]
        again = iter(self._again(client, batch, unnamed, answer))
        return [
            named[parcel.sop_instance_uid] if parcel.sop_instance_uid in named else next(again)
            for parcel in batch
        ]

    def _again(
        self,
        client: httpx.Client,
        batch: Sequence[Parcel],
        unnamed: Sequence[Parcel],
        answer: _Answer,
    ) -> list[Entry]:
        """Return one entry for each object that the answer does not name.

        One bad object may be why the others were refused with it, or the one that a service
        leaves out of its answer because it could not read its UID. So fewer are sent at a time,
        until the answer of HTTP is the answer for one object.
        """
        if len(unnamed) < len(batch):
            return self._post(client, unnamed) if unnamed else []
        if answer.status in _MAY_BE_ABOUT_ONE and len(batch) > 1:
            half = len(batch) // 2
            return [*self._post(client, batch[:half]), *self._post(client, batch[half:])]
        return [judge_http(answer.status, self._name, answer.after_seconds)] * len(batch)

    def _exchange(self, client: httpx.Client, batch: Sequence[Parcel]) -> _Answer:
        boundary = token_hex(16)
        with client.stream(
            "POST",
            self._url,
            content=gathered(multipart(batch, boundary)),
            headers={
                "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
                # Known beforehand, so that services that take no chunked request are content.
                "Content-Length": str(multipart_bytes(batch, boundary)),
            },
        ) as response:
            body = bytearray()
            deadline = self._clock() + self._answer_seconds
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MOST_ANSWER_BYTES or self._clock() > deadline:
                    raise httpx.ReadTimeout("the answer does not end")
            return _Answer(response.status_code, bytes(body), _retry_after(response))


def batches(parcels: Sequence[Parcel], most_bytes: int) -> Iterator[list[Parcel]]:
    """Cut a list, in order, into requests of at most `most_bytes`, or of one object."""
    batch: list[Parcel] = []
    for parcel in parcels:
        size_bytes = sum(each.size_bytes for each in batch) + parcel.size_bytes
        if batch and size_bytes > most_bytes:
            yield batch
            batch = []
        batch.append(parcel)
    if batch:
        yield batch


def multipart(parcels: Sequence[Parcel], boundary: str) -> Iterator[bytes]:
    """Give the body of a request piece by piece, so that no file lies in memory, RFC 2387."""
    for parcel in parcels:
        yield _opening(boundary)
        with parcel.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
        yield b"\r\n"
    yield _closing(boundary)


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join what is small, so that the network is not asked for every line."""
    waiting: list[bytes] = []
    waiting_bytes = 0
    for piece in pieces:
        if waiting and waiting_bytes + len(piece) > _CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, waiting_bytes = [], 0
        waiting.append(piece)
        waiting_bytes += len(piece)
    yield b"".join(waiting)


def multipart_bytes(parcels: Sequence[Parcel], boundary: str) -> int:
    """Return how long the body is that `multipart` gives."""
    framing = (len(_opening(boundary)) + 2) * len(parcels) + len(_closing(boundary))
    return framing + sum(parcel.size_bytes for parcel in parcels)


def _opening(boundary: str) -> bytes:
    return f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()


def _closing(boundary: str) -> bytes:
    return f"--{boundary}--\r\n".encode()


def _retry_after(response: httpx.Response) -> float | None:
    """Return how many seconds the service asks us to wait, RFC 9110 10.2.3."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
