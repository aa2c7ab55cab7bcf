"""The worklist and storage commitment, as the process that answers HTTP uses them."""

from datetime import timedelta
from functools import cache

from dicom_ai_node import config as configuration
from dicom_ai_node.compose.ground import archive, blobs, ledger, models
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.workitem_of_job import Station
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.commitments import SqlCommitments
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.workitems import SqlWorklist
from dicom_ai_node.wanted import Orders


def worklist(config: NodeConfig) -> SqlWorklist:
    """Return the workitems of the node and of others."""
    station = Station(
        ae_title=config.receive.ae_title, kinds={route.name: route.run for route in config.routes}
    )
    orders = Orders(
        ledger=ledger(config),
        routes=configuration.routes(config),
        models=cache(lambda: models(config)),
    )
    database = open_database(config.store.database_url)
    return SqlWorklist(database, archive(config), station, orders.job)


def commitments(config: NodeConfig) -> SqlCommitments:
    """Return what answers requests for storage commitment."""
    database = open_database(config.store.database_url)
    keep = timedelta(days=config.store.keep_days)
    return SqlCommitments(database, SqlArchive(database, blobs(config)), blobs(config), keep)
