"""How far work is, is told when it has changed, and the ledger need not be there for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from dicom_ai_node.domain.devices import SlotSeen
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.progress import HowFar, Phase, Progress
from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.infer.tidings import Tidings


@dataclass
class Working:
    """An executor whose workers say what a test says."""

    told: list[HowFar] = field(default_factory=list)

    def progress(self) -> Sequence[HowFar]:
        """Return it."""
        return self.told

    def slots_seen(self) -> Sequence[SlotSeen]:
        """Return none."""
        return []


def _at(part: float, job: str = "1") -> HowFar:
    return HowFar(JobKey(job), 1, Progress(Phase.RUNNING, part))


def test_only_what_has_changed_is_told() -> None:
    """A ledger that nothing new has to be told of is left alone."""
    one, two, told = Working([_at(0.1)]), Working([_at(0.5, "2")]), []
    tidings = Tidings((one, two), told.append)
    tidings.tell()
    tidings.tell()
    one.told = [_at(0.2)]
    tidings.tell()
    one.told = two.told = []
    tidings.tell()
    assert [sorted((each.job, each.progress.part) for each in some) for some in told] == [
        [("1", 0.1), ("2", 0.5)],
        [("1", 0.2)],
    ]


def test_a_busy_ledger_hears_it_the_next_time() -> None:
    """And no error comes of it: nobody's work depends on being looked at."""
    heard: list[HowFar] = []
    is_busy = True

    def note(told: Sequence[HowFar]) -> None:
        if is_busy:
            raise OutOfResources("the ledger cannot answer now")
        heard.extend(told)

    tidings = Tidings((Working([_at(0.1)]),), note)
    tidings.tell()
    is_busy = False
    tidings.tell()
    assert heard == [_at(0.1)]
