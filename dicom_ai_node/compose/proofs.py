"""Storage commitment: who keeps promises, who is asked to, and who is told."""

import random
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from functools import partial

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import ledger, now
from dicom_ai_node.compose.outbox import application_entities
from dicom_ai_node.compose.worklist import commitments
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.config.sections import DimseDestination
from dicom_ai_node.deliver.commitment import CommitmentProver, tell
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.found_there import FindProver, QidoProver
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.commitment import Asked
from dicom_ai_node.domain.destination import DimsePeer, WebPeer, proving
from dicom_ai_node.domain.proof import Proof, Report
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.proving import Asker, Proving, Telling
from dicom_ai_node.receive.committing import Notary

MAY_BE_TOLD_HERE = timedelta(seconds=60)
"""After a request, before it is answered elsewhere than on the association on which it came."""
INDEXED_AFTER = timedelta(seconds=60)
"""What a destination has taken it may not find at once."""
QUERIES_AT_ONCE = 40
"""One query each, or one for each series: a slow archive has answered them before the thread that
waits is taken for one that hangs, `roles.LONGEST_ROUND_SECONDS`."""


def commitment_advice(config: NodeConfig) -> Iterator[str]:
    """Yield a sentence for each destination whose answers would not be let in."""
    known = {peer.ae_title for peer in config.receive.accept_from}
    for name, one in config.destinations.items():
        if not isinstance(one, DimseDestination) or one.proof != "commitment":
            continue
        if not known & {one.ae_title, "*"}:
            yield (
                f"destinations.{name}.proof: {one.ae_title} is not in receive.accept_from: it can"
                " answer only on the association on which it is asked; most answer on another"
            )


def notary(config: NodeConfig) -> Notary:
    """Return what the port of the node does about storage commitment."""
    kept, own = commitments(config), ledger(config)

    def promise(transaction_uid: str, asked: Sequence[Asked], peer: AETitle) -> Header:
        moment = now()
        return kept.promise(transaction_uid, asked, peer, moment, moment + MAY_BE_TOLD_HERE)

    def left(transaction_uids: Collection[str]) -> None:
        for one in transaction_uids:
            kept.not_told(one, now())

    return Notary(
        promise=promise,
        told=kept.told,
        left=left,
        hear=lambda report: own.hear(report, now()),
    )


def proving_desk(config: NodeConfig) -> Proving:
    """Return the desk that asks destinations whether they keep what they were sent."""
    own = ledger(config)

    def hear(report: Report) -> bool:
        return own.hear(report, now())

    def asker(name: str, peer: DimsePeer | WebPeer) -> Asker:
        match peer:
            case WebPeer():
                query = QidoProver(WebSender(peer), peer.url, name, hear)
                return Asker(prover=query, settled=INDEXED_AFTER, at_once=QUERIES_AT_ONCE)
            case DimsePeer(proof=Proof.QUERY):
                return Asker(
                    prover=FindProver(DimseSender(peer), name, hear),
                    settled=INDEXED_AFTER,
                    at_once=QUERIES_AT_ONCE,
                )
            case DimsePeer():
                return Asker(
                    prover=CommitmentProver(DimseSender(peer), name, hear),
                    patience=timedelta(seconds=peer.proof_seconds),
                )

    found = proving(configuration.destinations(config))
    return Proving(
        ledger=own, askers={name: asker(name, it) for name, it in found.items()}, now=now
    )


def telling(config: NodeConfig) -> Telling:
    """Return the desk that tells peers what has become of their requests."""
    peers = application_entities(config)
    return Telling(
        promises=commitments(config),
        tell={title: partial(tell, DimseSender(peer)) for title, peer in peers.items()},
        now=now,
        jitter=random.random,
    )
