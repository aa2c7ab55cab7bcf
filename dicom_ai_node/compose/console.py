"""The operator's console, put together. Only the process that answers HTTP carries this."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from dicom_ai_node import config as configuration
from dicom_ai_node.compose import ground
from dicom_ai_node.compose.auditing import trail
from dicom_ai_node.compose.desks import inbox, reception
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.domain.study import Quarantined, Received, Series
from dicom_ai_node.domain.uids import AETitle, StudyInstanceUID
from dicom_ai_node.receive.again import again
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.route.explain import Explanation, explain
from dicom_ai_node.route.match import shown
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
    said_to, viewer = reception(config), ground.viewer(config)
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
        ask_again=ledger.ask_again,
        take_in=take_in,
        alike=(
            None
            if config.similar is None
            else Alike(index=ledger, model=ground.similar_model(config).digest)
        ),
        trail=trail(config),
        has_viewer=lambda: viewer.script() is not None,
        now=ground.now,
    )


def _about(config: NodeConfig) -> About:
    backend = database_url(config.store.database_url).get_backend_name()
    return About(
        version=version("dicom-ai-node"),
        ae_title=config.receive.ae_title,
        host=config.receive.host,
        port=config.receive.ports[0],
        folder=config.store.folder,
        database="PostgreSQL" if backend == "postgresql" else "SQLite",
        devices=config.infer.devices,
        keep_days=config.store.keep_days,
        min_free_bytes=config.store.min_free_bytes,
        content_qualification=config.encode.content_qualification,
        has_repository=config.audit.to is not None,
    )


def _shelf(config: NodeConfig) -> Callable[[], Sequence[ModelShown]]:
    """Return what lists the models; a folder that cannot be read says why."""
    found = ground.catalog(config)

    def one(name: str) -> ModelShown:
        folder = found.folder(name)
        is_shipped = folder.parent == ground.SHIPPED_MODELS
        try:
            facts = found.facts(name)
        except ConfigError as wrong:
            return ModelShown(
                name=name, folder=folder, is_shipped=is_shipped, facts=None, mistake=str(wrong)
            )
        return ModelShown(name=name, folder=folder, is_shipped=is_shipped, facts=facts)

    return lambda: [one(name) for name in found.names()]


def _explained(said: Explanation) -> Explained:
    return Explained(
        series_instance_uid=said.series_instance_uid,
        facts={
            name: shown(name, value) for name, value in {**said.attributes, **said.facts}.items()
        },
        says=tuple(
            RouteSays(route=one.route.name, answer=str(one.answer), reasons=one.reasons)
            for one in said.decisions
        ),
    )


def _alone(path: Path) -> Series:
    """Return a series of the one instance in a Part 10 file."""
    one = instance_of(path)
    return Series(
        series_instance_uid=one.series_instance_uid,
        study_instance_uid=one.study_instance_uid,
        calling_ae_title=AETitle(""),
        attributes=one.attributes,
        instances=(one,),
        first_received=ground.now(),
        last_received=ground.now(),
        revision=1,
        is_complete=True,
    )
