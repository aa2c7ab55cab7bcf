"""What SQL can say of a key: conditions that nothing fails which matches.

Most of them let more through than matches, so that what they let through is compared again; those
of UIDs and of what is computed are exact.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Text,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from dicom_ai_node.domain import spans
from dicom_ai_node.domain.archive import Key, Level, Query
from dicom_ai_node.domain.levels import level_of, vr_of
from dicom_ai_node.domain.matching import header_test, values_test
from dicom_ai_node.domain.names import words_of
from dicom_ai_node.domain.values import EMPTY, is_universal, number, parts_of
from dicom_ai_node.store.archive_tables import held_instances, held_series, held_studies

Condition = ColumnElement[bool]
_MOST_WORDS = 8
_MOST_PARTS = 100
_BETWEEN_WORDS = "^ ,*?"
_INTEGERS = (-(2**31), 2**31 - 1)

UIDS: MappingProxyType[str, Column[Any]] = MappingProxyType({
    "0020000D": held_studies.c.study_instance_uid,
    "0020000E": held_series.c.series_instance_uid,
    "00080018": held_instances.c.sop_instance_uid,
})  # fmt: skip


@dataclass(slots=True)
class Asked:
    """What is asked of one level.

    Attributes
    ----------
    conditions
        Whatever matches fulfils them.
    keys
        Those that have to be compared again.
    has_uid
        Whether a UID is asked for, so that few are left.
    """

    conditions: list[Condition] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    has_uid: bool = False


def asked(connection: Connection, query: Query) -> dict[Level, Asked]:
    """Return what a query asks of each level.

    Raises
    ------
    Refused
        If a key has a value that its VR cannot be compared with.
    """
    # Nothing is looked for before all of it is understood.
    header_test(query.keys, is_fuzzy=query.is_fuzzy, joins_date_and_time=query.joins_date_and_time)
    found = {level: Asked() for level in Level}
    for key in query.keys:
        if not is_universal(key.value):
            _enter(connection, found[level_of(key.path[0])], key, is_fuzzy=query.is_fuzzy)
    return found


def _enter(connection: Connection, level: Asked, key: Key, *, is_fuzzy: bool) -> None:
    tag = key.path[0]
    if len(key.path) == 1 and tag in UIDS | _CLASSES:
        level.conditions.append(among(connection, (UIDS | _CLASSES)[tag], key.value.split("\\")))
        level.has_uid |= tag in UIDS
    elif len(key.path) == 1 and tag in _COMPUTED:
        level.conditions.append(_COMPUTED[tag](connection, key))
    else:
        level.keys.append(key)
        if len(key.path) == 1 and tag in _NARROWED:
            known = _narrowed(connection, key, is_fuzzy=is_fuzzy)
            if known is not None:
                level.conditions.append(or_(known, _NARROWED[tag][0].table.c.is_odd))


def _narrowed(connection: Connection, key: Key, *, is_fuzzy: bool) -> Condition | None:
    """Return what a column says of a key, `None` if that is nothing."""
    column, narrow = _NARROWED[key.path[0]]
    # What no database keeps stands in no column, and is left out here, too.
    text = key.value.replace("\0", "")
    parts = [part for part in parts_of(vr_of(key.path[0]), text) if part]
    if narrow is like_text and "*" not in text and "?" not in text:
        return among(connection, column, ["" if part == EMPTY else part for part in parts])
    if len(parts) > _MOST_PARTS:
        return None
    either = [narrow(column, part, is_fuzzy) for part in parts]
    known = [condition for condition in either if condition is not None]
    return or_(*known) if known and len(known) == len(either) else None


def among(connection: Connection, column: ColumnElement[Any], values: Iterable[str]) -> Condition:
    """Return that a column has one of any number of values, in a statement that stays the same."""
    known = [value.replace("\0", "").strip() for value in values]
    if len(known) == 1:
        return column == known[0]
    if connection.dialect.name == "postgresql":
        return column == func.any(literal(known, ARRAY(Text)))
    listed = func.json_each(literal(json.dumps(known), Text)).table_valued("value")
    return column.in_(select(listed.c.value))


def like_text(column: ColumnElement[Any], part: str, _: bool) -> Condition | None:  # noqa: FBT001 - see _NARROWED
    """Return what a column says of a text, perhaps with wildcards."""
    if part == EMPTY:
        return column == ""
    if "*" not in part and "?" not in part:
        return column == part
    pieces = part.replace("?", "*").split("*")
    longest = max(pieces, key=len)
    if not longest:
        return None
    if pieces[0] == longest:
        return column.startswith(longest, autoescape=True)
    return column.contains(longest, autoescape=True)


def like_name(column: ColumnElement[Any], part: str, is_fuzzy: bool) -> Condition | None:  # noqa: FBT001 - likewise
    """Return what a column with a folded name says of a name."""
    words = words_of(part)[:_MOST_WORDS]
    if part == EMPTY or not words:
        return None
    text: ColumnElement[Any] = column
    if is_fuzzy:
        # 王小東 finds 王^小東: there nothing stands between words.
        for mark in _BETWEEN_WORDS:
            text = func.replace(text, mark, "", type_=Text)
    return and_(*(text.contains(word, autoescape=True) for word in words))


def like_date(column: ColumnElement[Any], part: str, _: bool) -> Condition | None:  # noqa: FBT001 - likewise
    """Return what a column with a day says of a day or a range of days."""
    if part == EMPTY:
        return None
    span = spans.dates(part)
    return and_(
        column >= (span.low or ""),
        *([] if span.high is None else [column <= span.high]),
    )


def _number(column: ColumnElement[Any], part: str, _: bool) -> Condition | None:  # noqa: FBT001 - likewise
    if part == EMPTY:
        return None
    asked = number(part)
    return column == _within(asked) if int(asked) == asked else false()


def _within(asked: float) -> int:
    """Return a whole number as the column of one keeps it."""
    least, most = _INTEGERS
    return max(least, min(most, int(asked)))


_Narrow = Callable[[Column[Any], str, bool], Condition | None]
_NARROWED: MappingProxyType[str, tuple[Column[Any], _Narrow]] = MappingProxyType({
    "00100020": (held_studies.c.patient_id, like_text),
    "00080050": (held_studies.c.accession_number, like_text),
    "00100010": (held_studies.c.patient_name, like_name),
    "00080020": (held_studies.c.study_date, like_date),
    "00080060": (held_series.c.modality, like_text),
    "00200011": (held_series.c.series_number, _number),
    "00200013": (held_instances.c.instance_number, _number),
})  # fmt: skip
"""Columns that say something of a key, and what they say."""

_CLASSES = MappingProxyType({"00080016": held_instances.c.sop_class_uid})


def _modalities(connection: Connection, key: Key) -> Condition:
    """Return that a study has a series of such a modality."""
    series = held_series.alias()
    values = key.value.split("\\")
    if "*" in key.value or "?" in key.value:
        test = values_test("CS", key.value)
        known = connection.scalars(select(series.c.modality).distinct())
        values = [one for one in known if test([one])]
    return (
        select(series.c.series_instance_uid)
        .where(
            series.c.study_instance_uid == held_studies.c.study_instance_uid,
            among(connection, series.c.modality, values),
        )
        .exists()
    )


def _classes(connection: Connection, key: Key) -> Condition:
    """Return that a study has an instance of such a class."""
    instances = held_instances.alias()
    return (
        select(instances.c.sop_instance_uid)
        .where(
            instances.c.study_instance_uid == held_studies.c.study_instance_uid,
            among(connection, instances.c.sop_class_uid, key.value.split("\\")),
        )
        .exists()
    )


def _availability(_: Connection, key: Key) -> Condition:
    return true() if values_test("CS", key.value)(["ONLINE"]) else false()


def _related(column: Column[Any], of: Column[Any]) -> Callable[[Connection, Key], Condition]:
    """Return that so many rows belong to a study or a series."""

    def is_number(_: Connection, key: Key) -> Condition:
        table = column.table.alias()
        count = select(func.count()).where(table.c[column.name] == of).scalar_subquery()
        parts = [part for part in parts_of("IS", key.value) if part not in ("", EMPTY)]
        numbers = [one for one in map(number, parts) if int(one) == one]
        return count.in_([_within(one) for one in numbers])

    return is_number


_COMPUTED: MappingProxyType[str, Callable[[Connection, Key], Condition]] = MappingProxyType({
    "00080056": _availability,
    "00080061": _modalities,
    "00080062": _classes,
    "00201206": _related(held_series.c.study_instance_uid, held_studies.c.study_instance_uid),
    "00201208": _related(held_instances.c.study_instance_uid, held_studies.c.study_instance_uid),
    "00201209": _related(held_instances.c.series_instance_uid, held_series.c.series_instance_uid),
})  # fmt: skip
