"""From a destination to an association on which objects can be stored, PS3.8 9.3.

pynetdicom writes the request and reads the answer; the connection is ours.
"""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext

from dicom_ai_node.deliver.judge import judge_contexts, judge_rejection
from dicom_ai_node.deliver.line import LONGEST_PDU_BYTES, StoreLine, Taken, next_pdu
from dicom_ai_node.deliver.reactor import STALL_SECONDS
from dicom_ai_node.dimse.wire import INVALID_PARAMETER, UNEXPECTED_PDU, Breach, PeerGone, Wire
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import PeerUnavailable
from dicom_ai_node.tls.client import ClientTls

SHORTEST_PDU_BYTES = 128
"""A peer that takes less at once has gone mad."""
_APPLICATION_CONTEXT = UID("1.2.840.10008.3.1.1.1")
_ACCEPTED, _REJECTED = 2, 3


@contextmanager
def store_line(
    peer: DimsePeer,
    contexts: Sequence[PresentationContext],
    connect_seconds: float,
    secured: ClientTls | None = None,
) -> Iterator[StoreLine]:
    """Give an association on which objects of `contexts` can be stored, and release it.

    Raises
    ------
    PeerUnavailable
        If there is no answer, or a transient rejection.
    PeerRejected
        If the peer does not take this node, or none of the contexts, or if there is no TLS.
    """
    with _connected(peer, connect_seconds, secured) as sock:
        wire = Wire(sock, STALL_SECONDS)
        wire.within(connect_seconds)
        try:
            taken = _negotiated(wire, peer, contexts)
        except (Breach, PeerGone) as cause:
            if secured is not None:
                secured.require()
            raise PeerUnavailable(f"{peer.ae_title} does not answer") from cause
        line = StoreLine(wire, peer.ae_title, taken)
        try:
            if not taken.contexts:
                asked = {UID(context.abstract_syntax or "").name for context in contexts}
                raise judge_contexts(sorted(asked), peer.ae_title)
            yield line
        finally:
            line.end(connect_seconds)


@contextmanager
def _connected(
    peer: DimsePeer, connect_seconds: float, secured: ClientTls | None
) -> Iterator[socket.socket]:
    name = peer.ae_title
    try:
        sock = socket.create_connection((peer.host, peer.port), connect_seconds)
    except socket.gaierror as cause:
        raise PeerUnavailable(f"the host of {name} cannot be found") from cause
    except OSError as cause:
        raise PeerUnavailable(f"{name} does not answer") from cause
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if secured is None:
            yield sock
            return
        try:
            spoken = secured.wrap_socket(sock, server_hostname=secured.name)
        except OSError as cause:
            secured.require()
            raise PeerUnavailable(f"{name} does not answer") from cause
        with spoken:
            yield spoken


def _negotiated(wire: Wire, peer: DimsePeer, contexts: Sequence[PresentationContext]) -> Taken:
    """Ask for an association, PS3.8 9.3.2.

    Raises
    ------
    NodeError
        If the peer rejects it.
    Breach, PeerGone
        If it answers something else, or nothing.
    """
    for place, context in enumerate(contexts):
        context.context_id = 2 * place + 1
    wire.send(_request(peer, contexts))
    kind, body = next_pdu(wire)
    if kind == _REJECTED and len(body) == 4:  # noqa: PLR2004 - PS3.8 Table 9-21
        raise judge_rejection(body[1], body[2], body[3], peer.ae_title)
    if kind != _ACCEPTED:
        raise Breach("no answer to a request", UNEXPECTED_PDU)
    return _taken(struct.pack(">BxL", kind, len(body)) + body, contexts)


def _taken(encoded: bytes, contexts: Sequence[PresentationContext]) -> Taken:
    """Return what an answer says that can be sent.

    Raises
    ------
    Breach
        If it cannot be read, or says nothing.
    """
    try:
        answer = A_ASSOCIATE_AC()
        answer.decode(encoded)
        found: A_ASSOCIATE = answer.to_primitive()
        results = found.presentation_context_definition_results_list
        longest = found.maximum_length_received
    except Exception as error:
        # pynetdicom raises anything for bytes that are no answer.
        raise Breach("an answer that cannot be read", INVALID_PARAMETER) from error
    if not results:
        raise Breach("an answer that names no context", INVALID_PARAMETER)
    asked = {context.context_id: context for context in contexts}
    accepted: dict[tuple[str, str], int] = {}
    for one in results:
        proposed = asked.get(one.context_id)
        # One transfer syntax was proposed for each, and no other can have been taken.
        if one.result == 0 and proposed and one.transfer_syntax == proposed.transfer_syntax:
            accepted[str(proposed.abstract_syntax), str(one.transfer_syntax[0])] = (
                one.context_id or 0
            )
    if longest and longest < SHORTEST_PDU_BYTES:
        raise Breach("it takes next to nothing at once", INVALID_PARAMETER)
    return Taken(accepted, min(longest or LONGEST_PDU_BYTES, LONGEST_PDU_BYTES))


def _request(peer: DimsePeer, contexts: Sequence[PresentationContext]) -> bytes:
    longest, uid, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    longest.maximum_length_received = LONGEST_PDU_BYTES
    uid.implementation_class_uid = PYNETDICOM_IMPLEMENTATION_UID
    version.implementation_version_name = PYNETDICOM_IMPLEMENTATION_VERSION
    asked = A_ASSOCIATE()
    asked.application_context_name = _APPLICATION_CONTEXT
    asked.calling_ae_title, asked.called_ae_title = peer.calling_ae_title, peer.ae_title
    asked.presentation_context_definition_list = list(contexts)
    asked.user_information = [longest, uid, version]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(asked)
    return request.encode()
