"""What pynetdicom has to be told so that its threads neither wait for ever nor read too much."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition
from time import monotonic, sleep

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType
from pynetdicom.pdu_primitives import A_ASSOCIATE

STALL_SECONDS = 60.0
"""How long the peer may leave one write or half a PDU unanswered."""
REACTOR_SECONDS = 5.0
"""How long pynetdicom's own thread may take to wake up; it takes milliseconds."""


def set_up(event: evt.Event) -> None:
    """Give the connection its time-outs: pynetdicom would write to a stalled peer for ever."""
    transport = event.assoc.dul.socket
    if transport and transport.socket:
        transport.socket.settimeout(STALL_SECONDS)
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def wake(event: evt.Event) -> None:
    """Wake who waits for an answer on an association that has ended.

    If it ends between two objects, pynetdicom notes that in another thread than the one that
    has begun to send the next, and that one would wait for its whole time-out.
    """
    event.assoc.dimse.msg_queue.put((None, None))


def let_reactor_wake(association: Association) -> None:
    """Wait until pynetdicom's own thread goes round again after the message before.

    While it is paused it may take the next response for a request of the peer and drop it, so
    that the sender waits for it until its time is over; seen about once in 400 associations.
    """
    until = monotonic() + REACTOR_SECONDS
    while association._is_paused and monotonic() < until:  # noqa: SLF001 - there is no other way
        sleep(0.001)


@contextmanager
def events_let_in(association: Association) -> Iterator[None]:
    """Take N-EVENT-REPORTs while inside, and finish with those that have come before leaving.

    pynetdicom answers each in a thread of its own. An association that is released before that has
    ended is never released: the thread says that the reactor runs when it has stopped for the
    release, or sends its answer after the release, which the state machine does not survive.
    """
    serve = association._serve_request  # noqa: SLF001 - there is no other way
    changed, inside, is_open = Condition(), 0, True

    def served(msg: DimseServiceType, context_id: int) -> None:
        nonlocal inside
        with changed:
            if not is_open:
                return  # as if it came after the release: whoever sends it sends it again
            inside += 1
        try:
            serve(msg, context_id)
        finally:
            with changed:
                inside -= 1
                changed.notify_all()

    association._serve_request = served  # type: ignore[method-assign]  # noqa: SLF001
    try:
        yield
    finally:
        with changed:
            is_open = False
            changed.wait_for(lambda: not inside, STALL_SECONDS)


def answer_to(association: Association) -> A_ASSOCIATE | None:
    """Return the answer to an association request, `None` if there was none.

    pynetdicom takes a rejection for a connection that failed if it has been read, and the
    connection closed, before its thread looks whether there is one; seen about once in 100
    rejections on loopback. Then the answer waits, unread.
    """
    if association.acceptor.primitive is not None:
        return association.acceptor.primitive
    unread: object = association.dul.receive_pdu(wait=False)  # its annotation forgets this one
    return unread if isinstance(unread, A_ASSOCIATE) else None
