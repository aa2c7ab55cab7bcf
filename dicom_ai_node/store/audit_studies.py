"""Which studies are here, as the audit trail tells of them when all of them go or come at once."""

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import func, select

from dicom_ai_node.domain.audit import StudyTold
from dicom_ai_node.store import tables
from dicom_ai_node.store.archive_tables import held_studies
from dicom_ai_node.store.engines import Database


def studies_held(database: Database) -> Sequence[StudyTold]:
    """Return every study of which an instance is here, those of one patient together.

    Raises
    ------
    OutOfResources
        If the database cannot answer now.
    """
    instances, held = tables.instances.c, held_studies.c
    patient = func.coalesce(held.patient_id, "")
    what = (patient, instances.study_instance_uid, instances.sop_class_uid)
    query = (
        select(*what, func.count())
        .select_from(tables.instances)
        .outerjoin(held_studies, held.study_instance_uid == instances.study_instance_uid)
        .group_by(*what)
        .order_by(*what)
    )
    with database.reading() as connection:
        rows = connection.execute(query).all()
    return [
        StudyTold(
            study_instance_uid=study,
            sop_classes={sop_class_uid: count for *_, sop_class_uid, count in some},
            patient_id=patient_id,
        )
        for (patient_id, study), some in groupby(rows, key=lambda row: (row[0], row[1]))
    ]
