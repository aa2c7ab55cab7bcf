"""Puts instances into a node that does not run yet, and into an Orthanc that does."""

import http.client
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice

from bench.contenders import AE_TITLE, SENDER, Node
from dicom_ai_node import compose
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.header import instance_of

_AT_ONCE = 1000


def fill(node: Node, files: Iterable[bytes]) -> None:
    """Store and index Part 10 files, as the node would; nobody waits for their series to settle."""
    config = compose.settings(node.config)
    blobs, ledger, archive = compose.blobs(config), compose.ledger(config), compose.archive(config)
    rest = iter(files)
    while some := list(islice(rest, _AT_ONCE)):
        arrivals = []
        for file in some:
            spooled = blobs.spool()
            spooled.write_bytes(file)
            instance = instance_of(spooled)
            blobs.keep(spooled)
            arrivals.append(
                Arrival(
                    instance=instance,
                    calling_ae_title=AETitle(SENDER),
                    called_ae_title=AETitle(AE_TITLE),
                    address="127.0.0.1",
                )
            )
        ledger.record(arrivals, compose.now(), timedelta(days=1))
        while archive.catch_up():
            pass


def post(http_port: int, files: Iterable[bytes]) -> None:
    """Store Part 10 files in an Orthanc by its own API.

    Raises
    ------
    RuntimeError
        If it does not take one.
    """
    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=120)
    for file in files:
        connection.request("POST", "/instances", file)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"Orthanc answers {answer.status}: {said[:200]!r}")
    connection.close()
