"""The ports of the node: free, ours, or somebody else's."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

from dicom_ai_node.doctor import processes
from dicom_ai_node.doctor.finding import Finding, fault, ok


def port(place: str, host: str, number: int, store: Path) -> Iterator[Finding]:
    """Look who listens on a port; where nobody does, whether we could."""
    if processes.is_held(number):
        holders = processes.holders(number)
        ours = {one.pid for one in processes.nodes(store)}
        if any(one.pid in ours for one in holders):
            yield ok("ports", f"{place}: {number} is held by our node, {holders[0]}")
            return
        who = str(holders[0]) if holders else "a process of somebody else"
        # Of another account's process only root sees which it is.
        mend = f"stop it, or name another port as {place} (as root the doctor says whose it is)"
        yield fault("ports", f"{place}: {number} is held by {who}", mend)
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        yield fault("ports", f"{place}: cannot listen on {host}:{number}: {error.strerror}",
                    _mend(error, place))  # fmt: skip
    else:
        yield ok("ports", f"{place}: {number} is free")


def _mend(error: OSError, place: str) -> str:
    match error.errno:
        case errno.EACCES:
            return "a port below 1024 needs AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
        case errno.EADDRNOTAVAIL:
            return "name an address of this machine as host, or 0.0.0.0 for all of them"
        case _:
            return f"name another host or port at {place}"
