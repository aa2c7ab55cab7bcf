"""The server around pynetdicom's: nobody who says little or lies about lengths stops others.

Three holes of pynetdicom 3.0.4 are closed here and in `wire`: a TLS handshake in the accepting
thread, lengths that are believed before anyone is asked for a name, and trickled requests.
"""

import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from socketserver import BaseServer
from threading import Condition, Thread
from time import monotonic, sleep
from typing import Any

import structlog
from pynetdicom.ae import ApplicationEntity
from pynetdicom.transport import ThreadedAssociationServer

from dicom_ai_node.receive.handshake import NoHandshake, shaken
from dicom_ai_node.tls.shown import Shown

log = structlog.get_logger()

BACKLOG = 1024
"""Connections that the kernel holds until a process accepts them."""

_STEP_ASIDE_SECONDS = 0.01
"""How long a process without a free place lets the others on the same socket go first."""

_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one process of the receiver grants its peers.

    Attributes
    ----------
    associations
        At the same time; one more is rejected as a passing matter.
    pending
        Connections without an association. One more pushes out the oldest of them.
    instance_bytes
        The largest data set that is taken.
    pdu_bytes
        Maximum length of a P-DATA-TF PDU, as we tell the peer.
    request_seconds
        For the association request, and before it for the TLS handshake.
    pdu_seconds
        From the first byte of a PDU to its last, and between two PDUs of one message.
    idle_seconds
        Between two messages of one association.
    """

    associations: int = 60
    pending: int = 200
    instance_bytes: int = 4 << 30
    pdu_bytes: int = 128 << 10
    request_seconds: float = 10.0
    pdu_seconds: float = 60.0
    idle_seconds: float = 120.0


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a bound and listening socket, to be inherited by every process that serves it.

    It does not block: of the processes that a new connection wakes up one gets it, and the
    others must not hang in `accept`. An empty `host` means every address of the machine.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.settimeout(0)
    except OSError:
        listening.close()
        raise
    return listening


@dataclass(frozen=True, slots=True)
class Entrance:
    """A socket that listens, and what gives a new connection on it its TLS, if anything does."""

    listening: socket.socket
    tls: Callable[[], ssl.SSLContext] | None = None


@dataclass(eq=False, slots=True, kw_only=True)
class Guest:
    """One accepted connection. `idle_since` is set while it waits between two messages.

    `shown` is the certificate that it has, of which its handshake has proven that it is its own.
    """

    sock: socket.socket
    address: str
    shown: Shown | None = None
    idle_since: float | None = None

    def hang_up(self) -> None:
        """End the connection under whoever waits for it."""
        with suppress(OSError):
            # Not the method of an SSLSocket, which another thread may be reading from.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


@dataclass(slots=True)
class Doorway:
    """Who is connected: pending until their association is accepted, and again after its end."""

    limits: Limits
    _pending: dict[Guest, None] = field(default_factory=dict)
    _admitted: set[Guest] = field(default_factory=set)
    _changed: Condition = field(default_factory=Condition)
    _closes_at: float | None = None

    @property
    def is_full(self) -> bool:
        """Whether no further association can be accepted."""
        return len(self._admitted) >= self.limits.associations

    def knock(self, guest: Guest) -> None:
        """Let a connection wait; the one that has waited longest leaves if there are too many."""
        with self._changed:
            self._pending[guest] = None
            oldest = next(iter(self._pending)) if len(self._pending) > self.limits.pending else None
            if oldest is not None:
                # Now, for its thread may come later than the next guest, who would push out nobody.
                del self._pending[oldest]
        if oldest is not None:
            oldest.hang_up()

    def admit(self, guest: Guest) -> bool:
        """Give a place to an association; return False if there is none."""
        with self._changed:
            if self.is_full or self._closes_at is not None:
                return False
            self._pending.pop(guest, None)
            self._admitted.add(guest)
            return True

    def dismiss(self, guest: Guest) -> None:
        """Take back the place of an association that is over; its connection may linger."""
        with self._changed:
            if guest in self._admitted:
                self._admitted.remove(guest)
                self._pending[guest] = None
                self._changed.notify_all()

    def leave(self, guest: Guest) -> None:
        """Forget a connection."""
        with self._changed:
            self._admitted.discard(guest)
            self._pending.pop(guest, None)
            self._changed.notify_all()

    def should_leave(self, guest: Guest) -> bool:
        """Return whether the node is closing and this association has paused."""
        return (
            self._closes_at is not None
            and guest.idle_since is not None
            and monotonic() - guest.idle_since > _PAUSE_SECONDS
        )

    def close(self, grace_seconds: float) -> None:
        """Wait until the associations have ended or paused, then end what is left."""
        with self._changed:
            self._closes_at = monotonic() + grace_seconds
            self._changed.wait_for(lambda: not self._admitted, grace_seconds)
            rest = [*self._pending, *self._admitted]
        for guest in rest:
            guest.hang_up()
        with self._changed:
            self._changed.wait_for(lambda: not self._pending and not self._admitted, 1.0)


_PAUSE_SECONDS = 1.0
"""An association of which nothing was heard for so long has finished what it was sending."""


class HardenedServer(ThreadedAssociationServer):
    """Accepts on a socket that others made, and meets each connection in a thread of its own."""

    def __init__(
        self,
        entrance: Entrance,
        ae: ApplicationEntity,
        doorway: Doorway,
        attend: Callable[[Guest], None],
        turned_away: Callable[[str, str], None],
    ) -> None:
        self._listening = entrance.listening
        self._tls = entrance.tls
        self._doorway = doorway
        self._attend = attend
        self._turned_away = turned_away
        super().__init__(ae, self._listening.getsockname(), ae.ae_title, [])

    def server_bind(self) -> None:
        """Take the listening socket instead of the one that pynetdicom has just made."""
        assert self.socket is not None  # noqa: S101 - TCPServer has set it
        self.socket.close()
        self._listening.settimeout(0)
        self.socket = self._listening

    def server_activate(self) -> None:
        """Leave the socket as it is: it listens already."""

    def server_close(self) -> None:
        """Leave the socket as it is: shutting it down would deafen the other processes."""

    def shutdown(self) -> None:
        """End the accepting loop, and nothing else of what pynetdicom would end."""
        BaseServer.shutdown(self)

    def service_actions(self) -> None:
        """Do nothing: pynetdicom collects garbage here for objects that we do not make."""

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept, and no more than that.

        Raises
        ------
        OSError
            If another process was faster, or there is no file descriptor left.
        """
        if self._doorway.is_full:
            sleep(_STEP_ASIDE_SECONDS)
        try:
            accepted, address = self._listening.accept()
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                sleep(_STEP_ASIDE_SECONDS)  # or the loop would spin on the waiting connection
            raise
        # Nagle's algorithm costs 40 ms for every answer.
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return accepted, address

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's own signature
        """Meet a connection in a new thread."""
        guest = Guest(sock=request, address=str(client_address[0]))
        self._doorway.knock(guest)
        try:
            Thread(target=self._meet, args=(guest,), name="association", daemon=True).start()
        except RuntimeError:
            self._doorway.leave(guest)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - socketserver's own signature
        """Log the kind of an error and nothing that it says."""
        log.error("connection_failed", exc_info=True)  # noqa: LOG014 - called while one is handled

    def _meet(self, guest: Guest) -> None:
        try:
            if self._tls is not None:
                # The guest has it before the handshake, so that it can be hung up meanwhile.
                guest.sock = sock = self._tls().wrap_socket(
                    guest.sock, server_side=True, do_handshake_on_connect=False
                )
                guest.shown = shaken(sock, self._doorway.limits.request_seconds, guest.address)
            self._attend(guest)
        except NoHandshake as why:
            self._turned_away(guest.address, f"no TLS: {why}")
        except OSError:
            log.info("connection_lost")
        except Exception:  # noqa: BLE001 - the last line: one connection must not end the others
            self.handle_error(guest.sock, guest.address)
        finally:
            self._doorway.leave(guest)
            guest.sock.close()
