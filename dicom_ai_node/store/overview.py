"""What the console reads of the ledger; implements `domain.overview.Overview`."""

from dicom_ai_node.store.device_use import DevicesUsed
from dicom_ai_node.store.overview_jobs import JobsSeen
from dicom_ai_node.store.overview_studies import StudiesSeen
from dicom_ai_node.store.overview_upkeep import UpkeepSeen


class SqlOverview(StudiesSeen, JobsSeen, UpkeepSeen, DevicesUsed):
    """Everything that a person asks to see how the node is doing; the console changes nothing."""
