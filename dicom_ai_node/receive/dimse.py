"""What the port of the node provides, PS3.4 Annexes A, B and C, for one process of the receiver."""

import logging
from collections.abc import Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread

import structlog
from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity

from dicom_ai_node.dimse.wire import Breach, PeerGone, Wire
from dicom_ai_node.domain.errors import NodeError, OutOfResources
from dicom_ai_node.domain.ports import Blobs
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.association import Association
from dicom_ai_node.receive.committing import Committing, Notary
from dicom_ai_node.receive.desk import Desk, Inbox
from dicom_ai_node.receive.enquiries import Enquiries
from dicom_ai_node.receive.negotiation import Refusal, Unwelcome, accept
from dicom_ai_node.receive.outbox import Outbox
from dicom_ai_node.receive.peers import AllowedPeer, May, granted, needs_certificate
from dicom_ai_node.receive.server import Doorway, Entrance, Guest, HardenedServer, Limits
from dicom_ai_node.receive.services import Services

__all__ = ["DimseListener", "Inbox"]

log = structlog.get_logger()

_POLL_SECONDS = 0.2
"""How long a server takes at most to notice that it is to close; nobody who comes waits for it."""
_PASSING = frozenset({Refusal.CONGESTION, Refusal.LOCAL_LIMIT})
"""Refusals of peers that are welcome at another time."""


class DimseListener:
    """Accepts associations and hands every instance to `inbox`, its bytes to `blobs`.

    Queries are not answered before `answer_from` says from where.
    """

    def __init__(
        self,
        *,
        ae_title: AETitle,
        accept_from: Sequence[AllowedPeer],
        blobs: Blobs,
        inbox: Inbox,
        limits: Limits | None = None,
    ) -> None:
        _silence_pynetdicom()
        self._ae_title = ae_title
        self._accept_from = tuple(accept_from)
        self._blobs = blobs
        self._inbox = inbox
        self._outbox: Outbox | None = None
        self._notary: Notary | None = None
        self._limits = limits or Limits()
        self._doorway = Doorway(self._limits)
        # Its `put` may interrupt its `get` in the same thread; an Event could deadlock there.
        self._closing: SimpleQueue[float] = SimpleQueue()

    def answer_from(self, outbox: Outbox) -> None:
        """Answer C-FIND, C-MOVE and C-GET, too, from now on."""
        self._outbox = outbox

    def commit_with(self, notary: Notary) -> None:
        """Take requests for storage commitment, and answers to our own, from now on."""
        self._notary = notary

    def serve(self, entrances: Sequence[Entrance]) -> None:
        """Accept on sockets that listen already; return when closed and everyone has left.

        A socket may be shared with other processes and is left open.
        """
        ae = ApplicationEntity(self._ae_title)
        meets = self._doorway, self._attend, self._inbox.turned_away
        servers = [HardenedServer(one, ae, *meets) for one in entrances]
        for server in servers:
            # In a thread of its own, so that a signal handler in this one can call `close`.
            Thread(
                target=server.serve_forever, args=(_POLL_SECONDS,), name="accept", daemon=True
            ).start()
        grace_seconds = self._closing.get()
        for server in servers:
            server.shutdown()
        self._doorway.close(grace_seconds)

    def close(self, grace_seconds: float) -> None:
        """Make `serve` accept nothing more and return; safe to call from a signal handler.

        Associations go on for `grace_seconds` at most. One that pauses between two instances
        is ended earlier.
        """
        self._closing.put(grace_seconds)

    def _attend(self, guest: Guest) -> None:
        wire = Wire(guest.sock, self._limits.request_seconds)
        try:
            self._host(wire, guest)
        except Unwelcome as unwelcome:
            refusal = unwelcome.refusal
            log.warning("association_rejected", peer=guest.address, status=refusal.name)
            wire.send_if_possible(refusal.encoded())
            if refusal not in _PASSING:
                words = refusal.name.lower().replace("_", " ")
                self._inbox.turned_away(guest.address, f"association refused: {words}")
        except Breach as breach:
            log.warning("association_aborted", peer=guest.address, status=str(breach))
            wire.abort(breach.reason)
        except PeerGone:
            log.info("association_lost", peer=guest.address)
            return
        self._doorway.dismiss(guest)
        wire.linger()

    def _host(self, wire: Wire, guest: Guest) -> None:
        accepted = accept(
            wire,
            partial(self._welcome, guest),
            self._limits.pdu_bytes,
            answers_queries=self._outbox is not None,
            commits=self._notary is not None,
        )
        if accepted.user.identity is not None:
            # Who it is stays unread: AE titles and certificates decide here.
            log.info("user_identity_ignored", peer=guest.address, what=accepted.user.identity)
        desk = Desk(
            blobs=self._blobs,
            inbox=self._inbox,
            accepted=accepted,
            address=guest.address,
            longest_bytes=self._limits.instance_bytes,
        )
        services = Services(
            enquiries=(
                None if self._outbox is None else Enquiries(self._outbox, accepted, guest.address)
            ),
            committing=None if self._notary is None else Committing(self._notary, accepted),
        )
        Association(wire, guest, desk, self._doorway, services).serve()
        self._doorway.dismiss(guest)
        if not desk.series:
            return
        try:
            self._inbox.released(tuple(desk.series))
        except NodeError:
            # The series will settle by the clock instead.
            log.warning("release_not_noted", exc_info=True)

    def _welcome(self, guest: Guest, calling_ae_title: str, called_ae_title: str) -> frozenset[May]:
        """Return what the peer may do; raise `Unwelcome` if it may not enter, PS3.8 Table 9-21."""
        may = granted(self._accept_from, calling_ae_title, guest.address, guest.shown)
        if not may:
            if needs_certificate(self._accept_from, calling_ae_title):
                log.warning(
                    "certificate_refused",
                    peer=guest.address,
                    reason="certificate or address are not those of the calling AE title"
                    if guest.shown
                    else "the calling AE title has to show a certificate",
                )
            raise Unwelcome(Refusal.CALLING_AE_TITLE)
        if called_ae_title != self._ae_title:
            raise Unwelcome(Refusal.CALLED_AE_TITLE)
        if May.QUERY not in may:
            try:
                self._inbox.room()
            except OutOfResources as error:
                raise Unwelcome(Refusal.CONGESTION) from error
        if not self._doorway.admit(guest):
            raise Unwelcome(Refusal.LOCAL_LIMIT)
        return may


def _silence_pynetdicom() -> None:
    """Keep what peers write out of the logs: pynetdicom's own handlers print identifiers.

    `ENFORCE_UID_CONFORMANCE` stays off: our own checks are stricter where it matters, and
    enforcing it would turn away scanners for a leading zero in their implementation class UID.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
