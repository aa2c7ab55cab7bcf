"""Take in one batch of arrivals: read what is known, sort them, write what is new."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    insert,
    literal_column,
    select,
    union_all,
    update,
)

from dicom_ai_node.domain.job import Event
from dicom_ai_node.domain.study import Arrival, Instance, Received
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.prepared import Prepared, into
from dicom_ai_node.store.rows import differences, series_event, write_events
from dicom_ai_node.store.tables import instances, own_uids, quarantine, series

CONFLICT = "same SOP Instance UID, other bytes"

# Series are locked first and in one order, so that two receivers cannot block each other.
_SERIES = Prepared(
    lambda uids: (
        select(series)
        .where(series.c.series_instance_uid.in_(uids))
        .order_by(series.c.series_instance_uid)
        .with_for_update(key_share=True)
    )
)
# Both in one: what is there already, and, with no digest, what is a UID of our own.
_KNOWN = Prepared(
    lambda sop_uids, all_uids: union_all(
        select(
            instances.c.sop_instance_uid.label("uid"),
            instances.c.sha256,
            instances.c.data_set_sha256,
            instances.c.series_instance_uid,
        ).where(instances.c.sop_instance_uid.in_(sop_uids)),
        select(own_uids.c.uid, literal_column("''"), literal_column("''"), literal_column("''"))
        .where(own_uids.c.uid.in_(all_uids)),
    )
)  # fmt: skip
_CHANGES = (
    "attributes", "last_received", "revision", "is_open", "is_released", "due_at",
    "waits_because", "complete_because",
)  # fmt: skip
_UPDATE = Prepared(
    lambda: (
        update(series)
        .where(series.c.series_instance_uid == bindparam("the_series"))
        .values({name: bindparam(f"new_{name}") for name in _CHANGES})
    )
)
_INSERT = into(
    instances,
    "sop_instance_uid", "sop_class_uid", "series_instance_uid", "study_instance_uid",
    "transfer_syntax_uid", "sha256", "data_set_sha256", "size_bytes", "differs", "is_ours",
    "is_indexed",
)  # fmt: skip


@dataclass(slots=True)
class _Growth:
    """One series while a batch is taken in."""

    row: dict[str, Any]
    is_known: bool
    was_closed: bool = False
    taken: int = 0  # instances of this batch that wake the series up

    @property
    def is_news(self) -> bool:
        """Whether the series was opened or reopened; more of an open one is nothing to tell."""
        return self.was_closed or not self.is_known


@dataclass(slots=True)
class _Stored:
    """What is known about an instance that is there already."""

    sha256: str
    data_set_sha256: str
    series_instance_uid: str

    def is_same(self, instance: Instance) -> bool:
        """Whether `instance` is this one again, whoever sent it."""
        if self.data_set_sha256 and self.data_set_sha256 == instance.data_set_sha256:
            return True
        return self.sha256 == instance.sha256


@dataclass(slots=True)
class Intake:
    """One batch of arrivals on its way in: `opened`, `take` each, `write`.

    Reads before and writes after in a handful of statements, however many there are.
    """

    own: frozenset[str]
    stored: dict[str, _Stored]
    grown: dict[str, _Growth]
    rows: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[Arrival] = field(default_factory=list)

    @classmethod
    def opened(cls, connection: Connection, arrivals: Sequence[Arrival]) -> "Intake":
        """Read what is known about all of them."""
        sops = list({arrival.instance.sop_instance_uid for arrival in arrivals})
        uids = sorted({arrival.instance.series_instance_uid for arrival in arrivals})
        known = _SERIES.rows(connection, uids=uids)
        there = _KNOWN.rows(connection, sop_uids=sops, all_uids=[*sops, *uids])
        return cls(
            own=frozenset(row["uid"] for row in there if not row["sha256"]),
            stored={
                row["uid"]: _Stored(
                    row["sha256"], row["data_set_sha256"], row["series_instance_uid"]
                )
                for row in there
                if row["sha256"]
            },
            grown={row["series_instance_uid"]: _grown(row) for row in known},
        )

    def take(self, arrival: Arrival) -> Received:
        """Say what one arrival is and note what is to be written for it."""
        instance = arrival.instance
        is_ours = self._is_ours(arrival)
        stored = self.stored.get(instance.sop_instance_uid)
        if stored is None:
            self._store(arrival, is_ours=is_ours)
            return Received.OURS if is_ours else Received.NEW
        if is_ours:
            # An archive may coerce what it sends back; what we have sent is what counts.
            return Received.OURS
        if stored.is_same(instance):
            return Received.DUPLICATE
        self.conflicts.append(arrival)
        return Received.CONFLICT

    def _is_ours(self, arrival: Arrival) -> bool:
        uids = {arrival.instance.sop_instance_uid, arrival.instance.series_instance_uid}
        known = self.grown.get(arrival.instance.series_instance_uid)
        return (
            arrival.is_ours
            or not self.own.isdisjoint(uids)
            or (known is not None and known.row["is_ours"])
        )

    def _store(self, arrival: Arrival, *, is_ours: bool) -> None:
        instance = arrival.instance
        growth = self.grown.get(instance.series_instance_uid)
        if growth is None:
            growth = self.grown[instance.series_instance_uid] = _first(arrival, is_ours=is_ours)
        if not is_ours or growth.row["is_ours"]:
            row = growth.row
            row["attributes"] = {
                keyword: value
                for keyword, value in row["attributes"].items()
                if instance.attributes.get(keyword) == value
            }
            row["revision"] += 1
            growth.taken += 1
        self.stored[instance.sop_instance_uid] = _Stored(
            instance.sha256, instance.data_set_sha256, instance.series_instance_uid
        )
        self.rows.append({
            "sop_instance_uid": instance.sop_instance_uid,
            "sop_class_uid": instance.sop_class_uid,
            "series_instance_uid": instance.series_instance_uid,
            "study_instance_uid": instance.study_instance_uid,
            "transfer_syntax_uid": instance.transfer_syntax_uid,
            "sha256": instance.sha256,
            "data_set_sha256": instance.data_set_sha256,
            "size_bytes": instance.size_bytes,
            "differs": differences(instance.attributes, growth.row["first_attributes"]),
            "is_ours": is_ours,
            "is_indexed": False,
        })  # fmt: skip

    def write(self, connection: Connection, now: datetime, due: datetime) -> None:
        """Write everything that `take` has noted."""
        touched = [growth for growth in self.grown.values() if growth.taken]
        for growth in touched:
            _wake(growth.row, now, due)
        _insert(connection, [growth.row for growth in touched if not growth.is_known])
        _update(connection, [growth.row for growth in touched if growth.is_known])
        _INSERT.write(connection, self.rows)
        told = [_told(growth, now) for growth in touched if growth.is_news]
        told.extend(self._set_aside(connection, arrival, now) for arrival in self.conflicts)
        write_events(connection, told)

    def _set_aside(self, connection: Connection, arrival: Arrival, now: datetime) -> dict[str, Any]:
        instance = arrival.instance
        number = open_quarantine(
            connection, instance.sha256, CONFLICT, arrival.calling_ae_title, now
        )
        event = Event(
            at=now,
            what="instance_conflict",
            detail=CONFLICT,
            fields={"quarantine": str(number), "sender": arrival.calling_ae_title},
        )
        first = self.stored[instance.sop_instance_uid]
        return series_event(first.series_instance_uid, event)


def _grown(row: dict[str, Any]) -> _Growth:
    return _Growth(row=row, is_known=True, was_closed=not row["is_open"] and not row["is_ours"])


def _first(arrival: Arrival, *, is_ours: bool) -> _Growth:
    instance = arrival.instance
    row = {
        "series_instance_uid": instance.series_instance_uid,
        "study_instance_uid": instance.study_instance_uid,
        "calling_ae_title": arrival.calling_ae_title,
        "first_attributes": dict(instance.attributes),
        "attributes": dict(instance.attributes),
        "first_received": None,
        "revision": 0,
        "is_ours": is_ours,
    }
    return _Growth(row=row, is_known=False)


def _wake(row: dict[str, Any], now: datetime, due: datetime) -> None:
    """Open a series that has grown; what came from us stays closed for ever."""
    is_ours = row["is_ours"]
    row.update(
        first_received=row["first_received"] or now,
        last_received=now,
        is_open=not is_ours,
        is_released=False,
        due_at=None if is_ours else due,
        waits_because="",
        complete_because="",
    )


def _insert(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    ordered = sorted(rows, key=lambda row: str(row["series_instance_uid"]))
    if ordered:
        connection.execute(insert(series), ordered)


def _update(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    _UPDATE.write(
        connection,
        [
            {
                "the_series": row["series_instance_uid"],
                **{f"new_{name}": row[name] for name in _CHANGES},
            }
            for row in rows
        ],
    )


def _told(growth: _Growth, now: datetime) -> dict[str, Any]:
    row = growth.row
    event = Event(
        at=now,
        what="series_reopened" if growth.was_closed else "series_opened",
        detail="came from us, is never routed" if row["is_ours"] else "",
        fields={"instances": str(row["revision"]), "sender": row["calling_ae_title"]},
    )
    return series_event(row["series_instance_uid"], event)


def open_quarantine(
    connection: Connection, digest: Sha256, reason: str, sender: str, now: datetime
) -> int:
    """Open an entry, or return the open one: a sender that repeats itself is one question."""
    table = quarantine
    same = connection.scalar(
        select(table.c.number).where(
            table.c.sha256 == digest, table.c.reason == reason, table.c.is_open
        )
    )
    if same is not None:
        return int(same)
    row = {"at": now, "reason": reason, "sha256": digest, "sender": sender, "is_open": True}
    done = connection.execute(insert(table).values(row).returning(table.c.number))
    return int(done.scalar_one())
