"""users and tokens: what an operator does on the machine, before the node has ever run."""

import io
import json
import sys
from pathlib import Path

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.accounts import Role, digest
from dicom_ai_node.domain.audit import Happening
from dicom_ai_node.serve.passwords import Passwords
from tests.certificates import certificate
from tests.cli.conftest import Ended, Run
from tests.confided import confided

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody


@pytest.fixture
def typed(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the program with a password on its standard input."""

    def program(*arguments: object, password: str = PASSWORD) -> Ended:
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{password}\nmore\n"))
        return run(*arguments)

    return program


def test_somebody_is_added_and_listed(typed: Run, config: Path) -> None:
    """The password is kept as a hash, and has to be changed at the first login."""
    ended = typed("users", "add", "Anna", "--role", "viewer", "--role", "sender", "-c", config)
    assert (ended.status, ended.out, ended.err) == (0, "anna can log in\n", "")
    (listed,) = typed("users", "list", "-c", config, "--json").json
    assert (listed["name"], listed["roles"]) == ("anna", "sender, viewer")
    assert (listed["disabled"], listed["must_change_password"]) == (False, True)
    assert "anna" in typed("users", "list", "-c", config).out
    account = compose.accounts(compose.settings(config)).account("anna")
    assert account is not None
    assert Passwords().is_right(account.password_hash, PASSWORD)


def test_somebody_is_changed_and_removed(typed: Run, config: Path) -> None:
    """Each command says what is so from now on."""
    typed("users", "add", "anna", "--role", "viewer", "--no-must-change", "-c", config)
    accounts = compose.accounts(compose.settings(config))

    def anna() -> tuple[set[Role], bool, bool]:
        found = accounts.account("anna")
        assert found is not None
        return set(found.roles), found.is_disabled, found.must_change_password

    assert anna() == ({Role.VIEWER}, False, False)
    said = typed("users", "role", "anna", "--role", "admin", "-c", config).out
    assert (said, anna()) == ("anna may act as admin\n", ({Role.ADMIN}, False, False))
    typed("users", "disable", "anna", "-c", config)
    assert anna() == ({Role.ADMIN}, True, False)
    typed("users", "enable", "anna", "-c", config)
    another = "another horse battery"
    said = typed("users", "password", "anna", "-c", config, password=another).out
    assert (said, anna()) == ("anna has another password\n", ({Role.ADMIN}, False, True))
    assert typed("users", "remove", "anna", "-c", config).out == "anna is removed\n"
    assert accounts.accounts() == []
    assert typed("users", "list", "-c", config).out.startswith("no users;")


@pytest.mark.parametrize(
    ("arguments", "password", "why"),
    [
        (("users", "add", "anna", "--role", "viewer"), "short", "less than 12 characters"),
        (("users", "add", "anna", "--role", "viewer"), "", "less than 12 characters"),
        (("users", "add", "anna", "--role", "viewer"), "anna-and-2026", "too easy"),
        (("users", "add", "ben", "--role", "viewer"), PASSWORD, "there is ben already"),
        (("users", "remove", "carl"), PASSWORD, "there is no carl"),
        (("users", "password", "carl"), PASSWORD, "there is no carl"),
        (("users", "role", "carl", "--role", "viewer"), PASSWORD, "there is no carl"),
        (("tokens", "remove", "carl"), PASSWORD, "there is no carl"),
    ],
    ids=str,
)
def test_what_cannot_be_is_told(
    typed: Run, config: Path, arguments: tuple[str, ...], password: str, why: str
) -> None:
    """Exit 1 and one sentence; nothing is changed."""
    typed("users", "add", "ben", "--role", "viewer", "-c", config)
    ended = typed(*arguments, "-c", config, password=password)
    assert ended.status == 1
    assert why in ended.err
    names = [one.name for one in compose.accounts(compose.settings(config)).accounts()]
    assert names == ["ben"]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("users", "add", "anna"), id="no role"),
        pytest.param(("users", "add", "anna", "--role", "public"), id="a role nobody is given"),
        pytest.param(("users", "add", "a b", "--role", "viewer"), id="no name"),
        pytest.param(("users", "add", "anna", PASSWORD, "--role", "viewer"), id="a password"),
        pytest.param(("tokens", "add", "pacs", "--role", "viewer", "--days", "0"), id="no days"),
    ],
)
def test_what_is_no_command_is_refused(
    typed: Run, config: Path, arguments: tuple[str, ...]
) -> None:
    """A password is never an argument: everybody on the machine would see it."""
    ended = typed(*arguments, "-c", config)
    assert ended.status == 2
    assert compose.accounts(compose.settings(config)) is not None


def test_who_may_do_more_or_less_is_in_the_audit_trail(typed: Run, config: Path) -> None:
    """Who has changed it, and what; no password and no token is in it."""
    typed("users", "add", "anna", "--role", "viewer", "-c", config)
    typed("users", "role", "anna", "--role", "admin", "-c", config)
    token = typed("tokens", "add", "pacs", "--role", "sender", "-c", config).out.strip()
    for what in ("disable", "enable", "password", "remove"):
        typed("users", what, "anna", "-c", config)
    typed("tokens", "remove", "pacs", "-c", config)
    told = [one.what for one in compose.trail(compose.settings(config)).noted()]
    changes = [one for one in told if isinstance(one, Happening) and one.alert]
    assert [one.alert for one in changes] == [
        "user anna was added, viewer", "user anna was given other roles, admin",
        "token pacs was made, sender", "user anna was disabled", "user anna was enabled",
        "user anna was given another password", "user anna was removed", "token pacs was removed",
    ]  # fmt: skip
    assert all(one.participants[1].name for one in changes)
    assert token not in repr(changes)
    assert PASSWORD not in repr(changes)


def test_a_token_is_shown_once(run: Run, config: Path) -> None:
    """It begins so that a leak is found, and is kept as a digest."""
    ended = run("tokens", "add", "pacs", "--role", "sender", "--days", "30", "-c", config)
    token = ended.out.strip()
    assert token.startswith("dan_")
    assert len(token) == 47
    accounts = compose.accounts(compose.settings(config))
    found = accounts.token(digest(token), compose.now())
    assert found is not None
    assert (found.name, found.roles) == ("pacs", {Role.SENDER})
    listed = run("tokens", "list", "-c", config, "--json")
    (row,) = listed.json
    assert (row["name"], row["start"], row["roles"]) == ("pacs", token[:8], "sender")
    assert token not in listed.out
    assert run("tokens", "remove", "pacs", "-c", config).out == "pacs is removed\n"
    assert accounts.token(digest(token), compose.now()) is None


def _serving(config: Path, serve: dict[str, object]) -> Path:
    config.write_text(config.read_text() + f"serve: {json.dumps(serve)}\n")
    return config


def test_check_says_how_to_let_the_first_one_in(typed: Run, config: Path) -> None:
    """Before the node has ever run, and no longer when there is somebody."""
    _serving(config, {"port": 8042})
    said = typed("check", config)
    assert said.status == 0
    assert "run `dicom-ai-node users add NAME --role admin`" in said.out
    assert not (config.parent / "node").exists(), "it has looked and made nothing"
    typed("users", "add", "anna", "--role", "admin", "-c", config)
    assert "users add" not in typed("check", config).out


@pytest.mark.parametrize(
    ("days", "said"),
    [(300, ""), (10, "serve.tls: the certificate expires on 20"), (-1, "has expired")],
)
def test_check_tells_when_a_certificate_expires(
    run: Run, config: Path, days: float, said: str
) -> None:
    """A month before; and what is wrong with it is a mistake."""
    pair = certificate(config.parent, days=days)
    tls = {"certificate": str(pair.certificate), "key": str(pair.key)}
    _serving(config, {"host": "0.0.0.0", "tls": tls})  # noqa: S104 - not listened to
    ended = run("check", config, "--json")
    told = [one for one in ended.json["advice"] if "serve.tls" in one]
    assert bool(told) is bool(said)
    assert said in "".join(told)
    pair.key.unlink()
    ended = run("check", config)
    assert (ended.status, "serve.tls.key: cannot read" in ended.err) == (78, True)


def test_check_tells_of_a_token_that_can_be_guessed(run: Run, config: Path) -> None:
    """A random one is longer."""
    confided(config.parent / "token", "secret")
    _serving(config, {"token": {"file": "token"}})
    assert "serve.token: less than 16 characters" in run("check", config).out
