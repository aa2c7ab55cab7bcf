"""Accounts, tokens and sessions keep what they promise, whatever database they lie in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from dicom_ai_node.domain.accounts import Account, ApiToken, Role, Visit, account_name, digest
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.store.account_tables import accounts as account_table
from dicom_ai_node.store.account_tables import api_tokens, login_sessions
from dicom_ai_node.store.accounts import SqlAccounts
from dicom_ai_node.store.engines import Database

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
IDLE = 30 * MINUTE
ANNA = Account(
    name="anna",
    roles=frozenset({Role.VIEWER, Role.SENDER}),
    password_hash="h1",  # noqa: S106 - no hash at all
    created_at=NOW,
)
BEN = replace(ANNA, name="ben", roles=frozenset({Role.ADMIN}), password_hash="h2")  # noqa: S106


@pytest.fixture
def accounts(database: Database) -> SqlAccounts:
    """Return accounts of two people."""
    found = SqlAccounts(database)
    found.add_account(BEN)
    found.add_account(ANNA)
    return found


def come_in(accounts: SqlAccounts, who: Account, secret: str, at: datetime = NOW) -> str:
    """Log in and return the digest of the session."""
    visit = Visit(digest=digest(secret), expires_at=at + 12 * HOUR, address="10.0.0.1", agent="é\0")
    accounts.log_in(who, visit, at)
    return visit.digest


def test_who_was_added_is_there(accounts: SqlAccounts) -> None:
    """By name, with every role; who was not is not."""
    assert accounts.accounts() == [ANNA, BEN]
    assert accounts.account("anna") == ANNA
    assert accounts.account("carl") is None


def test_nobody_is_added_twice(accounts: SqlAccounts) -> None:
    """The account that is there keeps its password."""
    with pytest.raises(NeedsAttention, match="there is anna already"):
        accounts.add_account(ANNA)
    assert accounts.account("anna") == ANNA


def test_who_is_not_there_cannot_be_changed(accounts: SqlAccounts) -> None:
    """A name that was typed wrongly is told."""
    for change in (
        lambda: accounts.remove_account("carl"),
        lambda: accounts.set_disabled("carl", is_disabled=True),
        lambda: accounts.set_roles("carl", frozenset({Role.VIEWER})),
        lambda: accounts.set_password("carl", "h", must_change=False),
        lambda: accounts.remove_token("carl"),
    ):
        with pytest.raises(NeedsAttention, match="there is no carl"):
            change()


def test_a_session_is_known_by_its_secret(accounts: SqlAccounts) -> None:
    """With the account as it is now, not as it was at the login."""
    its = come_in(accounts, ANNA, "secret")
    accounts.set_roles("anna", frozenset({Role.OPERATOR}))
    found = accounts.session(its, NOW, IDLE)
    assert found is not None
    assert (found.account.name, found.account.roles) == ("anna", {Role.OPERATOR})
    assert (found.created_at, found.address, found.agent) == (NOW, "10.0.0.1", "é")
    assert found.account.last_login_at == NOW
    assert accounts.session(digest("another"), NOW, IDLE) is None


def test_a_session_ends_by_rest_and_by_age(accounts: SqlAccounts) -> None:
    """Whoever goes on is in until the end of the day, whoever leaves the desk is not."""
    its, at = come_in(accounts, ANNA, "secret"), NOW
    assert accounts.session(its, NOW + IDLE, IDLE) is None
    while at < NOW + 12 * HOUR:
        assert accounts.session(its, at, IDLE) is not None
        at += 29 * MINUTE
    assert accounts.session(its, at, IDLE) is None


def test_that_a_session_was_seen_is_written_once_a_minute(
    accounts: SqlAccounts, database: Database
) -> None:
    """A viewer that fetches a thousand frames writes nothing a thousand times."""
    its = come_in(accounts, ANNA, "secret")
    seen = []
    for seconds in (10, 59, 60, 100):
        accounts.session(its, NOW + timedelta(seconds=seconds), IDLE)
        with database.reading() as connection:
            seen.append(connection.execute(select(login_sessions.c.seen_at)).scalar_one())
    assert seen == [NOW, NOW, NOW + MINUTE, NOW + MINUTE]


@pytest.mark.parametrize("what", ["disabled", "password", "removed", "logged out", "ended"])
def test_who_may_no_longer_is_out_at_once(accounts: SqlAccounts, what: str) -> None:
    """Nobody waits for a session to expire; the sessions of others stay."""
    its, other = come_in(accounts, ANNA, "secret"), come_in(accounts, BEN, "of ben")
    match what:
        case "disabled":
            accounts.set_disabled("anna", is_disabled=True)
            accounts.set_disabled("anna", is_disabled=False)
        case "password":
            accounts.set_password("anna", "h3", must_change=False)
        case "removed":
            accounts.remove_account("anna")
        case "logged out":
            accounts.log_out(its)
        case "ended":
            (mine,) = accounts.sessions("anna", NOW)
            accounts.end_session("ben", mine.number)
            assert accounts.session(its, NOW, IDLE) is not None, "it is not the session of ben"
            accounts.end_session("anna", mine.number)
    assert accounts.session(its, NOW, IDLE) is None
    assert accounts.session(other, NOW, IDLE) is not None


def test_the_session_that_changes_the_password_stays(accounts: SqlAccounts) -> None:
    """All others of the account end: one of them may be why it was changed."""
    mine, other = come_in(accounts, ANNA, "mine"), come_in(accounts, ANNA, "other", NOW + MINUTE)
    assert len(accounts.sessions("anna", NOW + MINUTE)) == 2
    accounts.set_password("anna", "h3", must_change=True, but=mine)
    assert accounts.session(other, NOW + MINUTE, IDLE) is None
    left = accounts.session(mine, NOW + MINUTE, IDLE)
    assert left is not None
    assert (left.account.password_hash, left.account.must_change_password) == ("h3", True)


def test_sessions_that_are_over_are_swept_away(accounts: SqlAccounts, database: Database) -> None:
    """At the next login of anybody."""
    come_in(accounts, ANNA, "secret")
    come_in(accounts, BEN, "later", NOW + 13 * HOUR)
    with database.reading() as connection:
        assert len(connection.execute(select(login_sessions)).all()) == 1


def test_a_password_that_was_changed_meanwhile_is_not_put_back(accounts: SqlAccounts) -> None:
    """Hashing it anew at a login loses against somebody who gives another one."""
    accounts.set_password("anna", "new", must_change=False)
    accounts.rehash(ANNA, "the old one, in another way")
    accounts.rehash(BEN, "h2, in another way")
    hashes = [one.password_hash for one in accounts.accounts()]
    assert hashes == ["new", "h2, in another way"]


def test_a_token_is_known_until_it_expires_or_is_removed(accounts: SqlAccounts) -> None:
    """And it is noted when it was used last, to the minute."""
    token = ApiToken(
        name="pacs", roles=frozenset({Role.SENDER}), start="dan_abcd", created_at=NOW,
        expires_at=NOW + HOUR,
    )  # fmt: skip
    accounts.add_token(token, digest("dan_abcdefg"))
    with pytest.raises(NeedsAttention, match="there is pacs already"):
        accounts.add_token(token, digest("another"))
    assert accounts.token(digest("dan_abcdefg"), NOW + MINUTE) == token
    assert accounts.token(digest("another"), NOW) is None
    assert accounts.token(digest("dan_abcdefg"), NOW + HOUR) is None
    (listed,) = accounts.tokens()
    assert listed.last_used_at == NOW + MINUTE
    accounts.remove_token("pacs")
    assert accounts.token(digest("dan_abcdefg"), NOW + MINUTE) is None


def test_no_secret_lies_in_the_database(accounts: SqlAccounts, database: Database) -> None:
    """Whoever reads a backup cannot log in with it."""
    come_in(accounts, ANNA, "secret of a session")
    token = ApiToken(name="pacs", roles=frozenset(), start="dan_abcd", created_at=NOW)
    accounts.add_token(token, digest("dan_abcdefg"))
    with database.reading() as connection:
        rows = [
            str(row)
            for table in (account_table, api_tokens, login_sessions)
            for row in connection.execute(select(table))
        ]
    assert len(rows) == 4
    assert not [row for row in rows if "secret of" in row or "abcdefg" in row]
    assert "h1" not in repr(ANNA)


@pytest.mark.parametrize("said", ["", "a b", "-x", "é", "a" * 65, "a\nb", "a/b", "<b>"])
def test_what_is_no_name_is_refused(said: str) -> None:
    """Names stand in headers, tables and command lines."""
    with pytest.raises(ValueError, match="a name is"):
        account_name(said)


def test_names_know_no_capitals() -> None:
    """Nobody is two people because of a shift key."""
    assert account_name(" Anna.B@ward-3 ") == "anna.b@ward-3"
