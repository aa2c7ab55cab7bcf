"""An archive that answers what it is told to: a real pynetdicom SCP on loopback."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pynetdicom import AE, evt


@dataclass
class Archive:
    """What came in: one entry per C-STORE, in order."""

    port: int = 0
    uids: list[str] = field(default_factory=list)
    syntaxes: list[str] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    proposed: list[list[tuple[str, tuple[str, ...]]]] = field(default_factory=list)


@contextmanager
def archive(
    takes: Sequence[tuple[str, Sequence[str]]],
    answer: Callable[[int], int] = lambda _: 0x0000,
    *,
    seconds: float = 0.0,
    port: int = 0,
    require_called: str | None = None,
    require_calling: Sequence[str] = (),
    rejects: tuple[int, int, int] | None = None,
    also: Sequence[str] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Archive]:
    """Listen as `PACS`, on `port` or on any that is free.

    `takes` are SOP classes with transfer syntaxes; `answer` maps the number of a C-STORE, from 0,
    to its status, which comes after `seconds`, or aborts if it is negative. `rejects` is the
    (result, source, reason) of a rejection of every association. `also` are SOP classes of other
    services, whose requests `handlers` take.
    """
    ae = AE(require_called or "PACS")
    ae.require_called_aet = bool(require_called)
    ae.require_calling_aet = list(require_calling)
    ae.maximum_pdu_size = 0
    for sop_class, syntaxes in takes:
        ae.add_supported_context(sop_class, list(syntaxes))
    for sop_class in also:
        ae.add_supported_context(sop_class)
    seen = Archive()

    def store(event: evt.Event) -> int:
        number = len(seen.uids)
        seen.uids.append(str(event.request.AffectedSOPInstanceUID))
        seen.syntaxes.append(str(event.context.transfer_syntax))
        seen.data.append(event.request.DataSet.getvalue())
        time.sleep(seconds)
        status = answer(number)
        if status < 0:
            event.assoc.abort()
            return 0x0110
        return status

    def requested(event: evt.Event) -> None:
        contexts = event.assoc.requestor.requested_contexts
        seen.proposed.append(
            [(str(c.abstract_syntax), tuple(map(str, c.transfer_syntax))) for c in contexts]
        )
        if rejects:
            event.assoc.acse.send_reject(*rejects)

    server = ae.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_REQUESTED, requested), *handlers],
    )
    seen.port = server.server_address[1]
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        ae.shutdown()
