"""Who hears of which workitem, and what each was not told yet; PS3.4 CC.2.3 and CC.2.4."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, func, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from dicom_ai_node.domain.archive import Header, Key
from dicom_ai_node.domain.matching import header_test
from dicom_ai_node.domain.workitem import FILTERED_WORKLIST, WORKLIST, StepRefused, Why
from dicom_ai_node.domain.workitem_events import state_report
from dicom_ai_node.store.workitem_forget import bury_without_job
from dicom_ai_node.store.workitem_tables import (
    channels,
    reports,
    standing,
    subscriptions,
    workitems,
)

MOST_REPORTS = 1000
"""Reports that wait for one subscriber; of more, the oldest are dropped."""
MOST_SUBSCRIBERS = 200
"""Names under which somebody may be subscribed."""

Complete = Callable[[Connection, Row[Any]], Header]
"""Returns the whole data set of a row."""


def tell(connection: Connection, uid: str, said: Iterable[Header]) -> None:
    """Let everybody who hears of a workitem be told something, in this order."""
    told = list(said)
    if not told:
        return
    query = select(subscriptions.c.aetitle).where(subscriptions.c.workitem == uid)
    for aetitle in sorted(connection.scalars(query)):
        _queue(connection, aetitle, told)


def enter(
    connection: Connection, uid: str, workitem: Callable[[], Header], said: Sequence[Header]
) -> None:
    """Let everybody hear of a new workitem who is subscribed to what is to come.

    Its whole data set is asked for only if somebody has a filter.
    """
    for row in connection.execute(select(standing).order_by(standing.c.aetitle)).all():
        if not row.keys or _test(row.keys)(workitem()):
            _subscribe_to(connection, row.aetitle, uid, has_lock=row.has_lock, is_new=True)
    tell(connection, uid, said)


def subscribe_to_one(
    connection: Connection, aetitle: str, row: Row[Any], workitem: Header, *, has_lock: bool
) -> None:
    """Let somebody hear of one workitem, and tell them at once how it stands."""
    _check_number(connection, aetitle)
    _subscribe_to(connection, aetitle, row.uid, has_lock=has_lock, is_new=False)
    _queue(connection, aetitle, [state_report(row.uid, workitem)])


def subscribe_to_many(
    connection: Connection,
    subscriber: tuple[str, str],
    keys: Sequence[Key],
    complete: Complete,
    *,
    has_lock: bool,
) -> None:
    """Let somebody hear of all that match, now and to come; `subscriber` is (AE, resource).

    With a deletion lock, or a filter, they are told at once how each of them stands.
    """
    aetitle, resource = subscriber
    _check_number(connection, aetitle)
    kept = [{"path": list(key.path), "value": key.value} for key in keys]
    _upsert(
        connection,
        standing,
        {"aetitle": aetitle, "resource": resource},
        {"has_lock": has_lock, "keys": kept},
    )
    test = _test(kept)
    hears = select(subscriptions.c.workitem).where(subscriptions.c.aetitle == aetitle)
    missing = select(workitems).where(~workitems.c.is_gone, workitems.c.uid.not_in(hears))
    if not kept and not has_lock:
        _subscribe_to_all(connection, aetitle)
        return
    for row in connection.execute(missing.order_by(workitems.c.number)).all():
        workitem = complete(connection, row)
        if test(workitem):
            _subscribe_to(connection, aetitle, row.uid, has_lock=has_lock, is_new=True)
            _queue(connection, aetitle, [state_report(row.uid, workitem)])


def unsubscribe(connection: Connection, aetitle: str, resource: str) -> None:
    """Let somebody hear no more of a workitem, or of any; raise `StepRefused` if they do not."""
    removed = delete(subscriptions).where(subscriptions.c.aetitle == aetitle)
    if resource in {WORKLIST, FILTERED_WORKLIST}:
        was_standing = _ends_standing(connection, aetitle, resource)
    else:
        was_standing = False
        removed = removed.where(subscriptions.c.workitem == resource)
    if connection.execute(removed).rowcount == 0 and not was_standing:
        raise StepRefused(Why.NO_SUBSCRIPTION)
    bury_without_job(connection)


def suspend(connection: Connection, aetitle: str, resource: str) -> None:
    """Let somebody hear of nothing new; raise `StepRefused` if they would not."""
    if resource not in {WORKLIST, FILTERED_WORKLIST}:
        raise StepRefused(Why.NOT_APPROPRIATE, "only a subscription to the worklist is suspended")
    if not _ends_standing(connection, aetitle, resource):
        raise StepRefused(Why.NO_SUBSCRIPTION)


def _ends_standing(connection: Connection, aetitle: str, resource: str) -> bool:
    removed = delete(standing).where(standing.c.aetitle == aetitle, standing.c.resource == resource)
    return connection.execute(removed).rowcount > 0


def open_channel(connection: Connection, aetitle: str, channel: str) -> None:
    """Note which channel is the newest of a subscriber."""
    _upsert(connection, channels, {"aetitle": aetitle}, {"channel": channel})


def _subscribe_to(
    connection: Connection, aetitle: str, uid: str, *, has_lock: bool, is_new: bool
) -> None:
    """Enter a subscription; what is said of one workitem goes before what is said of all."""
    key, change = {"aetitle": aetitle, "workitem": uid}, {"has_lock": has_lock}
    if is_new:
        dialect = _dialect(connection)
        connection.execute(
            dialect.insert(subscriptions).values(**key, **change).on_conflict_do_nothing()
        )
    else:
        _upsert(connection, subscriptions, key, change)


def _subscribe_to_all(connection: Connection, aetitle: str) -> None:
    there = select(literal(aetitle), workitems.c.uid, literal(False)).where(  # noqa: FBT003 - SQL
        ~workitems.c.is_gone
    )
    entering = _dialect(connection).insert(subscriptions)
    connection.execute(
        entering.from_select(["aetitle", "workitem", "has_lock"], there).on_conflict_do_nothing()
    )


def _queue(connection: Connection, aetitle: str, said: Sequence[Header]) -> None:
    connection.execute(insert(reports), [{"aetitle": aetitle, "said": one} for one in said])
    mine = reports.c.aetitle == aetitle
    newest = (
        select(reports.c.number)
        .where(mine)
        .order_by(reports.c.number.desc())
        .offset(MOST_REPORTS)
        .limit(1)
    )
    last_dropped = connection.scalar(newest)
    if last_dropped is not None:
        connection.execute(delete(reports).where(mine, reports.c.number <= last_dropped))


def _check_number(connection: Connection, aetitle: str) -> None:
    names = select(subscriptions.c.aetitle).union(select(standing.c.aetitle)).subquery()
    others = select(func.count()).select_from(names).where(names.c.aetitle != aetitle)
    if (connection.scalar(others) or 0) >= MOST_SUBSCRIBERS:
        raise StepRefused(Why.FORBIDDEN, f"{MOST_SUBSCRIBERS} subscribers are here already")


def _test(kept: Sequence[Mapping[str, Any]]) -> Callable[[Header], bool]:
    return header_test([Key(path=tuple(one["path"]), value=one["value"]) for one in kept])


def _upsert(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    change: Mapping[str, Any],
) -> None:
    made = _dialect(connection).insert(table).values(**key, **change)
    connection.execute(made.on_conflict_do_update(index_elements=list(key), set_=dict(change)))


def _dialect(connection: Connection) -> Any:  # noqa: ANN401 - a module
    return sqlite if connection.dialect.name == "sqlite" else postgresql
