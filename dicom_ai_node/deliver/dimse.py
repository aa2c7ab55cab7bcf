"""C-STORE to a PACS, PS3.4 Annex B."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from dicom_ai_node.deliver.associate import store_line
from dicom_ai_node.deliver.convert import PLAIN, in_syntax
from dicom_ai_node.deliver.judge import Entry, judge, judge_contexts, judge_rejection
from dicom_ai_node.deliver.line import StoreLine
from dicom_ai_node.deliver.parcel import Parcel, each
from dicom_ai_node.deliver.reactor import answer_to, set_up, wake
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import (
    ConfigError,
    NeedsAttention,
    NodeError,
    NotUnderstood,
    PeerRejected,
    PeerUnavailable,
)
from dicom_ai_node.domain.query_retrieve import Originator
from dicom_ai_node.tls.client import ClientTls, client_tls

MOST_CONTEXTS = 128
"""One association has only so many odd context numbers below 256, PS3.8 9.3.2.2."""
SLOWEST_BYTES_PER_SECOND = 100_000.0
"""A link that is slower than this counts as broken; the time for an answer grows by it."""
KNOWN_FOR_SECONDS = 600.0
"""How long the answer of `accepts` is believed."""


class DimseSender:
    """Sends to one application entity, one association per call.

    Parameters
    ----------
    connect_seconds
        For the connection and, once more, for the answer to the association request.
    dimse_seconds
        For the answer to one C-STORE, beside the time for its bytes.
    given_in
        Gives an object in another transfer syntax.
    """

    def __init__(
        self,
        peer: DimsePeer,
        *,
        connect_seconds: float = 10.0,
        dimse_seconds: float = 120.0,
        given_in: Callable[[Parcel, UID], AbstractContextManager[Path]] = in_syntax,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._peer = peer
        self._dimse_seconds = dimse_seconds
        self._given_in = given_in
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}
        self._connect_seconds = connect_seconds
        self._ae = AE(peer.calling_ae_title)
        self._ae.connection_timeout = connect_seconds
        self._ae.acse_timeout = connect_seconds
        self._ae.dimse_timeout = dimse_seconds
        self._ae.network_timeout = dimse_seconds

    def send(self, objects: Sequence[Path]) -> list[Entry]:
        """Send Part 10 files in order and return one entry per object.

        The bytes are those of the file, unless the peer takes them only uncompressed.
        """
        return each(objects, lambda parcels: list(self._deliver(parcels)))

    def accepts(self, sop_class_uid: str) -> bool:
        """Return whether the peer takes this SOP class uncompressed; False if it is silent.

        The answer is remembered for `KNOWN_FOR_SECONDS`, silence is not.
        """
        until, answer = self._known.get(sop_class_uid, (0.0, False))
        if self._clock() < until:
            return answer
        try:
            with self.line([build_context(sop_class_uid, uid) for uid in PLAIN]):
                answer = True
        except PeerRejected:
            answer = False
        except PeerUnavailable:
            return False
        self._known[sop_class_uid] = (self._clock() + KNOWN_FOR_SECONDS, answer)
        return answer

    def _deliver(self, parcels: Sequence[Parcel]) -> Iterator[Entry]:
        silence: NodeError | None = None
        for batch in batches(parcels):
            if silence:
                yield from [silence] * len(batch)
                continue
            try:
                with self.line(contexts_for(batch)) as line:
                    entries = self._store_all(line, batch)
            except (PeerUnavailable, PeerRejected) as no:
                entries = [no] * len(batch)
            silence = entries[-1] if isinstance(entries[-1], PeerUnavailable) else None
            yield from entries

    def line(self, contexts: Sequence[PresentationContext]) -> AbstractContextManager[StoreLine]:
        """Give an association that stores, and release it; see `store_line`."""
        return store_line(self._peer, contexts, self._connect_seconds, self._secured())

    @contextmanager
    def associate(
        self,
        contexts: Sequence[PresentationContext],
        *,
        roles: Sequence[SCP_SCU_RoleSelectionNegotiation] = (),
        handlers: Sequence[evt.EventHandlerType] = (),
    ) -> Iterator[Association]:
        """Give an association for anything else, established, and release it.

        Raises
        ------
        PeerUnavailable
            If there is no answer, or a transient rejection.
        PeerRejected
            If the peer does not take this node, or none of the contexts, or if there is no TLS.
        """
        name = self._peer.ae_title
        secured = self._secured()
        try:
            association = self._ae.associate(
                self._peer.host,
                self._peer.port,
                contexts=list(contexts),
                ae_title=name,
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, set_up),
                    (evt.EVT_ABORTED, wake),
                    (evt.EVT_RELEASED, wake),
                    *handlers,
                ],
                ext_neg=list(roles),
                tls_args=None if secured is None else (secured, secured.name),
            )
        except OSError as cause:  # the name of the host cannot be resolved
            raise PeerUnavailable(f"the host of {name} cannot be found") from cause
        if not association.is_established:
            if secured is not None:
                secured.require()
            raise _why_not(association, name)
        try:
            yield association
        finally:
            association.release()

    def _secured(self) -> ClientTls | None:
        """Return what TLS is spoken with: the files as they are now, old or renewed."""
        if self._peer.tls is None:
            return None
        try:
            return client_tls(self._peer.tls, self._peer.ae_title)
        except ConfigError as cause:  # half of a renewal, perhaps
            raise PeerUnavailable(str(cause)) from cause

    def _store_all(self, line: StoreLine, parcels: Sequence[Parcel]) -> list[Entry]:
        entries: list[Entry] = []
        for parcel in parcels:
            entries.append(self._store(line, parcel))
            # Whoever left one object unanswered is not asked again on the same association.
            if isinstance(entries[-1], PeerUnavailable):
                break
        return entries + entries[-1:] * (len(parcels) - len(entries))

    def _store(self, line: StoreLine, parcel: Parcel) -> Entry:
        try:
            status, syntax = self.sent(line, parcel)
        except NodeError as no:
            return no
        entry = judge(status, self._peer.ae_title)
        if isinstance(entry, str) and syntax != parcel.transfer_syntax_uid:
            return "; ".join(filter(None, (entry, f"sent as {syntax.name}")))
        return entry

    def sent(
        self, line: StoreLine, parcel: Parcel, originator: Originator | None = None
    ) -> tuple[int | None, UID]:
        """Send one object; return the status of the answer and the transfer syntax that was taken.

        `originator` is who has asked for it by a C-MOVE.

        Raises
        ------
        PeerRejected
            If the peer takes the object in no transfer syntax that we can give it.
        PeerUnavailable
            If the association is gone.
        NeedsAttention
            If the file cannot be read.
        """
        wanted = (parcel.transfer_syntax_uid, *PLAIN)
        sop_class = parcel.sop_class_uid
        syntax = next((uid for uid in wanted if (sop_class, uid) in line.accepted), None)
        if syntax is None:
            raise judge_contexts([sop_class.name], self._peer.ae_title)
        try:
            with self._given_in(parcel, syntax) as path:
                within = self._dimse_seconds + path.stat().st_size / SLOWEST_BYTES_PER_SECOND
                context = line.accepted[sop_class, syntax]
                return line.store(parcel, path, context, within, originator), syntax
        except (OSError, NotUnderstood) as cause:
            raise NeedsAttention(
                f"the file of a result cannot be read: {type(cause).__name__}"
            ) from cause


def batches(parcels: Iterable[Parcel]) -> Iterator[list[Parcel]]:
    """Cut a list, in order, where the contexts of one association would not suffice."""
    batch: list[Parcel] = []
    pairs: dict[tuple[str, str], None] = {}
    for parcel in parcels:
        pairs |= _pairs([parcel])
        if len(pairs) > MOST_CONTEXTS:
            yield batch
            batch, pairs = [], _pairs([parcel])
        batch.append(parcel)
    if batch:
        yield batch


def contexts_for(parcels: Sequence[Parcel]) -> list[PresentationContext]:
    """Return one context per SOP class and transfer syntax, so that the peer takes each or not.

    Of several in one context it might choose one that costs a conversion without need.
    """
    return [build_context(sop_class, syntax) for sop_class, syntax in _pairs(parcels)]


def _pairs(parcels: Sequence[Parcel]) -> dict[tuple[str, str], None]:
    return {
        (parcel.sop_class_uid, syntax): None
        for parcel in parcels
        for syntax in (parcel.transfer_syntax_uid, *PLAIN)
    }


def _why_not(association: Association, name: str) -> NodeError:
    answer = answer_to(association)
    if answer is not None and answer.result:
        numbers = (answer.result, answer.result_source, answer.diagnostic)
        result, source, reason = (number or 0 for number in numbers)
        return judge_rejection(result, source, reason, name)
    if association.rejected_contexts and not association.accepted_contexts:
        asked = {UID(context.abstract_syntax or "") for context in association.rejected_contexts}
        return judge_contexts([sop_class.name for sop_class in asked], name)
    return PeerUnavailable(f"{name} does not answer")
