"""Backups in the audit trail: what has left with one, and what has come with one, PS3.15 A.5.3."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from dicom_ai_node.compose.ground import now
from dicom_ai_node.domain.audit import Actor, Happening, StudyTold
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.happenings import exported, imported
from dicom_ai_node.store.audit import SqlTrail
from dicom_ai_node.store.audit_studies import studies_held
from dicom_ai_node.store.engines import Database, open_database
from dicom_ai_node.store.schema import is_current

_OF_A_STUDY, _OF_A_MESSAGE = 10, 400
"""How much a study takes without its SOP classes, and a message, in lines of XML.

A message fits into a datagram then, as `domain.happenings` wants it of a question.
"""
_AT_ONCE = 40
"""How many messages are noted in one transaction: a node goes on meanwhile."""


class Leaving:
    """Tells what leaves with a backup: before it does, and how that ended.

    A ledger that cannot be written, or is of an older version, keeps nobody from a backup, which
    may be what is needed most then.

    Attributes
    ----------
    untold
        Why the trail does not say all of it; empty if it does.
    """

    def __init__(self, url: str, by: Actor, to: Path) -> None:
        self._url = url
        self._by, self._media = by, to.resolve().as_uri()
        self._told: frozenset[tuple[str, int]] = frozenset()
        self.untold = ""

    def begins(self) -> None:
        """Tell of every study that is about to leave."""
        self._tell_news(is_first=True)

    def ends(self) -> None:
        """Tell also of what has come meanwhile: the backup may have it, or not."""
        self._tell_news(is_first=bool(self.untold))

    def fails(self, why: str) -> None:
        """Tell that it did not end well; what had left until then has been told of."""
        self._note(lambda database: _write(database, [self._exported((), why)]))

    def _tell_news(self, *, is_first: bool) -> None:
        def tell(database: Database) -> None:
            held = studies_held(database)
            news = list(_batches([one for one in held if _extent(one) not in self._told]))
            if is_first and not news:
                news.append(())
            _write(database, [self._exported(some) for some in news])
            self._told = frozenset(map(_extent, held))

        self._note(tell)

    def _exported(self, studies: Sequence[StudyTold], failure: str = "") -> Happening:
        return exported(self._by, self._media, studies, now(), failure)

    def _note(self, tell: Callable[[Database], None]) -> None:
        self.untold = ""
        try:
            if is_current(self._url):
                with closing(open_database(self._url)) as database:
                    tell(database)
            else:
                self.untold = "the ledger is of an older version"
        except NodeError as error:
            self.untold = str(error)


def came(database: Database, by: Actor, source: Path) -> None:
    """Tell that all that is here has come with a backup.

    Raises
    ------
    OutOfResources
        If the database cannot answer now.
    """
    at, media = now(), source.resolve().as_uri()
    batches = list(_batches(studies_held(database))) or [()]
    _write(database, [imported(by, media, some, at) for some in batches])


def _write(database: Database, happenings: Sequence[Happening]) -> None:
    trail, rest = SqlTrail(database), iter(happenings)
    while some := list(islice(rest, _AT_ONCE)):
        trail.note(*some)


def _extent(study: StudyTold) -> tuple[str, int]:
    return study.study_instance_uid, sum(study.sop_classes.values())


def _batches(studies: Sequence[StudyTold]) -> Iterator[Sequence[StudyTold]]:
    """Yield so many studies as one message holds."""
    some: list[StudyTold] = []
    lines = 0
    for one in studies:
        takes = _OF_A_STUDY + len(one.sop_classes)
        if some and lines + takes > _OF_A_MESSAGE:
            yield some
            some, lines = [], 0
        some.append(one)
        lines += takes
    if some:
        yield some
