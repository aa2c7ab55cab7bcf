"""The operator's console, put together. Only the process that answers HTTP carries this."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from dicom_ai_node import config as configuration
from dicom_ai_node.compose import ground
from dicom_ai_node.compose.desks import inbox, reception
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.study import Quarantined, Received, Series
from dicom_ai_node.domain.uids import AETitle, StudyInstanceUID
from dicom_ai_node.receive.again import again
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.route.explain import Explanation, explain
from dicom_ai_node.serve.console.desk import (
    About,
    Alike,
    Desk,
    Explained,
    ModelShown,
    RouteSays,
)
from dicom_ai_node.store.engines import database_url, open_database
from dicom_ai_node.store.overview import SqlOverview


def console_desk(config: NodeConfig) -> Desk:
    """Return what the pages of the console read and set going."""
    ledger, blobs = ground.ledger(config), ground.blobs(config)
    routes, models = configuration.routes(config), ground.models(config)
    said_to = reception(config)
    intake = inbox(config, said_to)

    def explained(series: Sequence[Series]) -> list[Explained]:
        return [_explained(one) for one in explain(series, routes, models)]

    def of_study(uid: StudyInstanceUID) -> list[Explained]:
        return explained(ledger.study(uid).series)

    def of_file(path: Path) -> list[Explained]:
        return explained([_alone(path)])

    def take_in(entry: Quarantined) -> Received:
        called = AETitle(config.receive.ae_title)
        return again(intake, blobs.path(entry.sha256), AETitle(entry.sender), called)

    return Desk(
        about=_about(config),
        ledger=ledger,
        overview=SqlOverview(open_database(config.store.database_url)),
        archive=ground.archive(config),
        blobs=blobs,
        routes=routes,
        destinations=configuration.destinations(config),
        models=_shelf(config),
        explain=of_study,
        explain_file=of_file,
        take_in=take_in,
        alike=(
            None
            if config.similar is None
            else Alike(index=ledger, model=ground.similar_model(config).digest)
        ),
        now=ground.now,
    )
