"""The ledger in SQL: SQLite on one machine, PostgreSQL for several; the only queue there is."""

from dicom_ai_node.store.device_use import DevicesUsed
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_arrivals import Arrivals
from dicom_ai_node.store.ledger_deliveries import ResultsUnderWay
from dicom_ai_node.store.ledger_forget import Forgetting
from dicom_ai_node.store.ledger_jobs import JobsAtWork
from dicom_ai_node.store.ledger_notices import Telling
from dicom_ai_node.store.ledger_numbers import Counting
from dicom_ai_node.store.ledger_patients import SamePatient
from dicom_ai_node.store.ledger_people import People
from dicom_ai_node.store.ledger_proofs import Proving
from dicom_ai_node.store.ledger_series import SeriesInWaiting
from dicom_ai_node.store.ledger_similar import LooksAlike


class SqlLedger(
    Arrivals,
    SeriesInWaiting,
    JobsAtWork,
    ResultsUnderWay,
    Proving,
    LooksAlike,
    SamePatient,
    People,
    Telling,
    Counting,
    DevicesUsed,
    Forgetting,
):
    """Everything that the ports of the domain ask of a ledger, one transaction per method.

    Any number of threads may share one; each process opens its own database. The schema must
    have been brought up to date by `store.schema.migrate`.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database
