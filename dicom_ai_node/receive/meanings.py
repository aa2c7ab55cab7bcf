"""What the answers to a query mean, as data, so that the manual prints what the node does."""

from collections.abc import Sequence
from typing import NamedTuple

from dicom_ai_node.dimse.commands import Status


class Meaning(NamedTuple):
    """One status: to which commands it is an answer, when, and who has to act."""

    status: int
    commands: str
    when: str
    who: str


_ALL = "C-FIND, C-MOVE, C-GET"
_RETRIEVALS = "C-MOVE, C-GET"

MEANINGS: Sequence[Meaning] = (
    Meaning(Status.PENDING, _ALL, "an answer, or how far the sub-operations are", "nobody"),
    Meaning(
        Status.PENDING_KEYS_IGNORED, "C-FIND", "an answer; private keys were not looked at",
        "the asker: leave out private keys",
    ),
    Meaning(Status.SUCCESS, _ALL, "that was all, and all sub-operations succeeded", "nobody"),
    Meaning(
        Status.SOME_FAILED, _RETRIEVALS, "some sub-operations failed or had a warning",
        "the asker: ask again for what Failed SOP Instance UID List names",
    ),
    Meaning(Status.CANCEL, _ALL, "a C-CANCEL came", "nobody"),
    Meaning(
        Status.NOT_AUTHORIZED, _ALL, "the asker is not in `accept_from` with `may: [query]`",
        "the operator: add it, if it may read what the node holds",
    ),
    Meaning(
        Status.SOP_CLASS_NOT_SUPPORTED, _ALL, "the command does not belong to its context",
        "the asker",
    ),
    Meaning(
        Status.OUT_OF_RESOURCES, "C-FIND",
        "the database cannot answer now, or there are more answers than `receive.max_answers`",
        "the asker: ask again, or for less",
    ),
    Meaning(
        Status.CANNOT_COUNT, _RETRIEVALS,
        "the database cannot answer now, or there are more than 65535 instances",
        "the asker: ask again, or for less",
    ),
    Meaning(
        Status.CANNOT_SEND, _RETRIEVALS,
        "every sub-operation failed: the destination is down, or takes no such objects",
        "the operator of the destination, or the asker by the contexts that it proposes",
    ),
    Meaning(
        0xA801, "C-MOVE", "the move destination is none of `destinations`",
        "the operator: add it, with host and port",
    ),
    Meaning(
        0xA900, _ALL,
        "the level, or a unique key that belongs to it, is missing; PS3.4 C.4.1.2",
        "the asker: fill in the keys of the levels above, or agree on relational queries",
    ),
    Meaning(
        Status.CANNOT_UNDERSTAND, _ALL, "the identifier is no data set, or a key has no such value",
        "the asker",
    ),
)  # fmt: skip
