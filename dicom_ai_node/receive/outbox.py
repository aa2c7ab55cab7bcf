"""Where answers come from: what the node holds, as seen from the port."""

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.audit import Happening
from dicom_ai_node.domain.query_retrieve import Asked, Match, Originator, Outcome
from dicom_ai_node.domain.uids import AETitle, SOPInstanceUID

Outcomes: TypeAlias = Generator[Outcome, None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """What queries and retrievals are answered with; called from many threads at once.

    All but `failed` raise a `NodeError`, which is answered with its `dimse_status`.

    Attributes
    ----------
    find
        Yields the answers to a C-FIND, from the archive page by page.
    named
        Returns the objects that a C-MOVE or C-GET asks for.
    failed
        Returns the encoded data set with the Failed SOP Instance UID List (0008,0058), in a
        transfer syntax.
    file
        Gives a Part 10 file of an object in one of these transfer syntaxes, and takes it back.
    move
        Sends objects to the destination of this AE title, if there is one: yields, in their order,
        what became of each. Closing it ends the association.
    told
        Is told what was asked for, and what goes to whom.
    most_answers
        To one C-FIND.
    """

    find: Callable[[Asked], Iterator[Match]]
    named: Callable[[Asked], Sequence[Held]]
    failed: Callable[[Sequence[SOPInstanceUID], str], bytes]
    file: Callable[[Held, Collection[str]], AbstractContextManager[Path]]
    move: Callable[[AETitle, Sequence[Held], Originator], Outcomes]
    told: Callable[[Happening], None] = lambda _: None
    most_answers: int = 10_000
