"""A query of the archive: SQL narrows, what SQL cannot compare is compared here.

The levels above the deepest one that has to be looked into are settled first, each by one
statement that leaves the UIDs of what matches. Then one statement yields the rest in the order of
the answer, and is left as soon as the answer is full. So an answer takes the same few statements
whatever it is about, and as much memory as it has lines.
"""

import json
import zlib
from collections.abc import Callable, Generator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from itertools import islice
from types import MappingProxyType
from typing import Any

from sqlalchemy import Column, Connection, FromClause, Select, Table, select

from dicom_ai_node.domain.archive import Header, Key, Level, Query
from dicom_ai_node.domain.levels import INSTANCE
from dicom_ai_node.domain.matching import HeaderTest, header_test
from dicom_ai_node.domain.values import EMPTY
from dicom_ai_node.store.archive_answers import answers
from dicom_ai_node.store.archive_narrow import Condition, among, asked
from dicom_ai_node.store.archive_tables import (
    held_headers,
    held_instances,
    held_series,
    held_studies,
)

_LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)
_STREAMED = MappingProxyType({"yield_per": 500})
"""Rows that are fetched at once where all of them may have to be looked at."""
_TABLE: MappingProxyType[Level, Table] = MappingProxyType({
    Level.STUDY: held_studies, Level.SERIES: held_series, Level.IMAGE: held_instances,
})  # fmt: skip

_UID: MappingProxyType[Level, Column[Any]] = MappingProxyType({
    Level.STUDY: held_studies.c.study_instance_uid,
    Level.SERIES: held_series.c.series_instance_uid,
    Level.IMAGE: held_instances.c.sop_instance_uid,
})  # fmt: skip
_ORDER: MappingProxyType[Level, tuple[Any, ...]] = MappingProxyType({
    # Latest first; both downwards, so that one index gives the order.
    Level.STUDY: (
        held_studies.c.study_date.desc(), held_studies.c.study_instance_uid.desc(),
    ),
    Level.SERIES: (
        held_series.c.study_instance_uid, held_series.c.series_number,
        held_series.c.series_instance_uid,
    ),
    Level.IMAGE: (
        held_instances.c.series_instance_uid, held_instances.c.instance_number,
        held_instances.c.sop_instance_uid,
    ),
})  # fmt: skip


_Read = Callable[[Any], Header | None]


def found(connection: Connection, query: Query) -> Sequence[Header]:
    """Return what matches `query`, in an order that stays the same.

    Studies come latest first, series by study and number, instances by series and number.

    Raises
    ------
    Refused
        If a key has a value that its VR cannot be compared with.
    """
    search = _Search(connection, query)
    with closing(search.matching()) as uids:
        page = list(uids)
    return answers(connection, query.level, page)


class _Search:
    """One query on its way through the levels."""

    def __init__(self, connection: Connection, query: Query) -> None:
        self._connection = connection
        self._query = query
        self._levels = asked(connection, query)

    def matching(self) -> Generator[str, None, None]:
        """Yield the UIDs of one page of the answer."""
        level = self._query.level
        to_compare = [each for each in _LEVELS if self._levels[each].keys]
        depth = max([level, *to_compare], key=_LEVELS.index)
        for upper in to_compare:
            if upper is not depth:
                self._settle(upper)
        start, stop = self._query.offset, self._query.offset + self._query.limit
        if depth in to_compare:
            with closing(self._compared(level, depth)) as uids:
                yield from islice(uids, start, stop)
        else:
            statement = self._statement(level, level).limit(self._query.limit).offset(start)
            yield from self._connection.scalars(statement)

    def _settle(self, level: Level) -> None:
        """Replace all that is asked of a level by the UIDs of what matches there."""
        uids = list(self._compared(level, level))
        self._levels[level].conditions = [among(self._connection, _UID[level], uids)]
        self._levels[level].keys = []

    def _compared(self, level: Level, depth: Level) -> Generator[str, None, None]:
        """Yield the UIDs of what matches at one level, looking into the headers at `depth`."""
        keys = self._levels[depth].keys
        test = header_test(
            keys,
            is_fuzzy=self._query.is_fuzzy,
            joins_date_and_time=self._query.joins_date_and_time,
        )
        statement = self._statement(level, depth)
        if depth is Level.IMAGE and any(key.path[0] not in INSTANCE for key in keys):
            read = _whole(keys, is_fuzzy=self._query.is_fuzzy)
            # All have one, but so SQLite does not begin with it and sort afterwards.
            statement = statement.add_columns(held_headers.c.deflated).outerjoin(
                held_headers, held_headers.c.sop_instance_uid == held_instances.c.sop_instance_uid
            )
        else:
            read = _small
            statement = statement.add_columns(_TABLE[depth].c.header)
        last = ""
        with self._connection.execute(statement, execution_options=_STREAMED) as rows:
            for uid, kept in rows:
                # The rows of one study follow each other; one that matches is enough.
                if uid != last and (header := read(kept)) is not None and test(header):
                    last = uid
                    yield uid

    def _statement(self, level: Level, depth: Level) -> Select[Any]:
        """Return the UIDs of a level in their order, once for each row at `depth`."""
        shallow = _LEVELS[: _LEVELS.index(depth) + 1]
        order = _ORDER[level]
        tables = {each for each in shallow if self._levels[each].conditions} | {level, depth}
        if level is Level.IMAGE and any(self._levels[each].has_uid for each in shallow):
            # Few are left to be sorted: the series of a study by their number.
            tables.add(Level.SERIES)
            order = (held_series.c.series_number, *order)
        statement = select(_UID[level]).select_from(_joined(tables)).order_by(*order)
        for each in shallow:
            statement = statement.where(*self._levels[each].conditions)
        below = self._below(depth)
        return statement if below is None else statement.where(below)

    def _below(self, depth: Level) -> Condition | None:
        """Return the condition that something below `depth` fulfils what is asked there."""
        deeper = _LEVELS[_LEVELS.index(depth) + 1 :]
        tables = {each for each in deeper if self._levels[each].conditions}
        if not tables:
            return None
        outer = _UID[depth]
        lowest = max(tables, key=_LEVELS.index)
        inner = select(_TABLE[lowest].c[outer.name]).select_from(_joined(tables))
        for each in tables:
            inner = inner.where(*self._levels[each].conditions)
        if any(self._levels[each].has_uid for each in tables):
            return outer.in_(inner)
        return inner.where(_TABLE[lowest].c[outer.name] == outer).exists()


def _joined(levels: AbstractSet[Level]) -> FromClause:
    """Return the tables of some levels, each joined to the next one above it."""
    first, *rest = (level for level in _LEVELS if level in levels)
    joined: FromClause = _TABLE[first]
    above = first
    for level in rest:
        name = _UID[above].name
        joined = joined.join(_TABLE[level], _TABLE[level].c[name] == _TABLE[above].c[name])
        above = level
    return joined


def _small(header: Header) -> Header:
    return header


def _whole(keys: Sequence[Key], *, is_fuzzy: bool) -> _Read:
    """Return what reads a whole header, but for one that cannot match.

    Most of them can be told from the places in the text where the attribute of a key stands.
    """
    tests = {
        f'"{key.path[0]}":': header_test([key], is_fuzzy=is_fuzzy)
        for key in keys
        # A range of times may be joined with one of dates.
        if len(key.path) == 1 and EMPTY not in key.value and "-" not in key.value
    }
    element_at = json.JSONDecoder().raw_decode

    def may_match(text: str, name: str, test: HeaderTest) -> bool:
        at = text.find(name)
        while at >= 0:
            element, _ = element_at(text, at + len(name))
            if test({name[1:9]: element}):
                return True
            at = text.find(name, at + 1)
        return False

    def read(deflated: bytes | None) -> Header | None:
        if deflated is None:
            return None
        text = zlib.decompress(deflated).decode()
        if not all(may_match(text, name, test) for name, test in tests.items()):
            return None
        header: Header = json.loads(text)
        return header

    return read
