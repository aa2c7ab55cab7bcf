"""Accounts, tokens and sessions in SQL: one transaction per method, as in the ledger."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, select, update

from dicom_ai_node.domain.accounts import Account, ApiToken, LoginSession, Role, Visit
from dicom_ai_node.domain.audit import Act, Actor
from dicom_ai_node.domain.errors import NeedsAttention, TryAgain
from dicom_ai_node.domain.happenings import login
from dicom_ai_node.store.account_tables import accounts, api_tokens, login_sessions
from dicom_ai_node.store.audit_notes import write_happenings
from dicom_ai_node.store.engines import Database

SEEN_EVERY = timedelta(minutes=1)
"""How exactly it is noted when something was used last: not every request has to write."""


class SqlAccounts:
    """Everybody who may log in; implements `domain.accounts.Accounts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accounts(self) -> Sequence[Account]:
        """Return all accounts, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(accounts).order_by(accounts.c.name))
            return [_account(row) for row in rows]

    def account(self, name: str) -> Account | None:
        """Return the account of this name."""
        with self._database.reading() as connection:
            row = connection.execute(select(accounts).where(accounts.c.name == name)).first()
            return None if row is None else _account(row)

    def add_account(self, account: Account) -> None:
        """Add an account; raise `NeedsAttention` if there is one of this name."""
        row = {
            "name": account.name,
            "roles": sorted(account.roles),
            "password_hash": account.password_hash,
            "is_disabled": account.is_disabled,
            "must_change_password": account.must_change_password,
            "created_at": account.created_at,
        }
        self._add(accounts, row)

    def remove_account(self, name: str) -> None:
        """Remove an account; whoever has logged in with it is out."""
        self._remove(accounts, name)

    def set_disabled(self, name: str, *, is_disabled: bool) -> None:
        """Let nobody log in with an account, or let them again; who is in with it is out."""

        def work(connection: Connection) -> None:
            _change(connection, name, is_disabled=is_disabled)
            connection.execute(delete(login_sessions).where(login_sessions.c.account == name))

        self._database.transact(work)

    def set_roles(self, name: str, roles: frozenset[Role]) -> None:
        """Give an account other roles, from the next request on."""
        self._database.transact(lambda connection: _change(connection, name, roles=sorted(roles)))

    def set_password(
        self, name: str, password_hash: str, *, must_change: bool, but: str = ""
    ) -> None:
        """Give an account another password; whoever is in with it is out, but the session `but`."""

        def work(connection: Connection) -> None:
            _change(connection, name, password_hash=password_hash, must_change_password=must_change)
            table = login_sessions
            connection.execute(delete(table).where(table.c.account == name, table.c.digest != but))

        self._database.transact(work)

    def rehash(self, account: Account, password_hash: str) -> None:
        """Keep the same password in another way, unless it has been changed meanwhile."""
        same = accounts.c.name == account.name, accounts.c.password_hash == account.password_hash
        change = update(accounts).where(*same).values(password_hash=password_hash)
        self._database.transact(lambda connection: connection.execute(change))

    def tokens(self) -> Sequence[ApiToken]:
        """Return all tokens, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(api_tokens).order_by(api_tokens.c.name))
            return [_token(row) for row in rows]

    def token(self, digest: str, now: datetime) -> ApiToken | None:
        """Return the token whose digest this is, and note that it was used."""
        table = api_tokens
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.digest == digest)).first()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            return None
        if row.last_used_at is None or now - row.last_used_at >= SEEN_EVERY:
            self._note(update(table).where(table.c.digest == digest).values(last_used_at=now))
        return _token(row)

    def add_token(self, token: ApiToken, digest: str) -> None:
        """Add a token; raise `NeedsAttention` if there is one of this name."""
        row = {
            "name": token.name,
            "digest": digest,
            "start": token.start,
            "roles": sorted(token.roles),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        self._add(api_tokens, row)

    def remove_token(self, name: str) -> None:
        """Remove a token."""
        self._remove(api_tokens, name)

    def log_in(self, account: Account, visit: Visit, now: datetime) -> None:
        """Begin a session; sweep away those that are over."""

        def work(connection: Connection) -> None:
            table = login_sessions
            _change(connection, account.name, last_login_at=now)
            connection.execute(delete(table).where(table.c.expires_at <= now))
            connection.execute(
                insert(table).values(
                    digest=visit.digest,
                    account=account.name,
                    created_at=now,
                    seen_at=now,
                    expires_at=visit.expires_at,
                    address=visit.address,
                    agent=visit.agent,
                )
            )
            who = Actor(name=account.name, address=visit.address)
            write_happenings(connection, [login(Act.LOGIN, who, now)])

        self._database.transact(work)

    def session(self, digest: str, now: datetime, idle: timedelta) -> LoginSession | None:
        """Return the session that is not over, and note that it was seen."""
        table = login_sessions
        query = _sessions().where(
            table.c.digest == digest,
            table.c.expires_at > now,
            table.c.seen_at > now - idle,
            ~accounts.c.is_disabled,
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        if now - row.seen_at >= SEEN_EVERY:
            self._note(update(table).where(table.c.digest == digest).values(seen_at=now))
        return _session(row)

    def sessions(self, name: str, now: datetime) -> Sequence[LoginSession]:
        """Return the sessions of an account that have not expired, the latest first."""
        table = login_sessions
        query = _sessions().where(table.c.account == name, table.c.expires_at > now)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(table.c.seen_at.desc(), table.c.number.desc()))
            return [_session(row) for row in rows]

    def log_out(self, digest: str) -> None:
        """End a session, if there is one."""
        table = login_sessions
        gone = delete(table).where(table.c.digest == digest)

        def work(connection: Connection) -> None:
            for row in connection.execute(gone.returning(table.c.account, table.c.address)).all():
                who = Actor(name=row.account, address=row.address)
                told = login(Act.LOGOUT, who, datetime.now(UTC))
                write_happenings(connection, [told])

        self._database.transact(work)

    def end_session(self, name: str, number: int) -> None:
        """End a session of an account by its number, if there is one."""
        table = login_sessions
        gone = delete(table).where(table.c.account == name, table.c.number == number)
        self._database.transact(lambda connection: connection.execute(gone))

    def _add(self, table: Table, row: dict[str, Any]) -> None:
        def work(connection: Connection) -> None:
            there = select(table.c.name).where(table.c.name == row["name"])
            if connection.execute(there).first() is not None:
                raise NeedsAttention(f"there is {row['name']} already")
            connection.execute(insert(table).values(row))

        self._database.transact(work)

    def _remove(self, table: Table, name: str) -> None:
        def work(connection: Connection) -> None:
            if connection.execute(delete(table).where(table.c.name == name)).rowcount == 0:
                raise NeedsAttention(f"there is no {name}")

        self._database.transact(work)

    def _note(self, change: Any) -> None:  # noqa: ANN401 - an Update
        # Nobody is kept out because the ledger is too busy to note that they came.
        with suppress(TryAgain):
            self._database.transact(lambda connection: connection.execute(change))


def _change(connection: Connection, name: str, **values: Any) -> None:  # noqa: ANN401 - of columns
    change = update(accounts).where(accounts.c.name == name).values(values)
    if connection.execute(change).rowcount == 0:
        raise NeedsAttention(f"there is no {name}")


def _sessions() -> Any:  # noqa: ANN401 - a Select
    session = login_sessions.c
    mine = (session.number, session.seen_at, session.expires_at, session.address, session.agent)
    since = session.created_at.label("since")
    return select(accounts, since, *mine).join(accounts, accounts.c.name == session.account)


def _account(row: Row[Any]) -> Account:
    return Account(
        name=row.name,
        roles=frozenset(map(Role, row.roles)),
        password_hash=row.password_hash,
        created_at=row.created_at,
        is_disabled=row.is_disabled,
        must_change_password=row.must_change_password,
        last_login_at=row.last_login_at,
    )


def _token(row: Row[Any]) -> ApiToken:
    return ApiToken(
        name=row.name,
        roles=frozenset(map(Role, row.roles)),
        start=row.start,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )


def _session(row: Row[Any]) -> LoginSession:
    return LoginSession(
        number=row.number,
        account=_account(row),
        created_at=row.since,
        seen_at=row.seen_at,
        expires_at=row.expires_at,
        address=row.address,
        agent=row.agent,
    )
