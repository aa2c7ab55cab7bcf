"""What somebody asks of the node by a workitem, as a job of the route that it names."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.ports import Ledger
from dicom_ai_node.domain.rule import Route
from dicom_ai_node.domain.study import Series, Study
from dicom_ai_node.domain.workitem import StepRefused, Why
from dicom_ai_node.domain.workitem_request import Wanted
from dicom_ai_node.route.plan import plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Plans jobs that are asked for; the conditions of the route hold for them, too.

    `models` is asked when something is wanted for the first time: reading models takes a while.
    """

    ledger: Ledger
    routes: Sequence[Route]
    models: Callable[[], Mapping[str, ModelFacts]]

    def job(self, wanted: Wanted, now: datetime) -> Job:
        """Return the job; it has the key that it would have had if nobody had asked for it.

        Raises
        ------
        StepRefused
            If there is no such route, if the route does not take the series, or if one of the
            instances is not here.
        """
        routes = [route for route in self.routes if route.name == wanted.route]
        if not routes:
            raise StepRefused(Why.CANNOT_PERFORM, "no route of this node has that name")
        series = self._series(wanted)
        study = Study(study_instance_uid=wanted.study, series=tuple(series))
        planned = plan(study, series[0], routes, self.models(), now)
        if not planned.jobs:
            raise StepRefused(Why.CANNOT_PERFORM, "; ".join(planned.notes))
        return replace(planned.jobs[0], priority=wanted.priority)

    def _series(self, wanted: Wanted) -> list[Series]:
        """Return the series that are named, each with the instances that are named."""
        here = {one.series_instance_uid: one for one in self.ledger.study(wanted.study).series}
        found = []
        for uid, named in wanted.instances.items():
            instances = tuple(
                instance
                for instance in (here[uid].instances if uid in here else ())
                if instance.sop_instance_uid in named
            )
            if len(instances) != len(named):
                missing = len(named) - len(instances)
                raise StepRefused(Why.CANNOT_PERFORM, f"{missing} of the instances are not here")
            found.append(replace(here[uid], instances=instances, is_complete=True))
        return found
