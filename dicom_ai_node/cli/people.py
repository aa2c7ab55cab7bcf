"""Commands about who may: users, who have a password, and tokens, which programs show."""

import secrets
import sys
from contextlib import closing
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from dicom_ai_node import compose
from dicom_ai_node.cli.audit import operator
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigOption, JsonOption, Row, rows
from dicom_ai_node.domain.accounts import (
    TOKEN_PREFIX,
    Account,
    Accounts,
    ApiToken,
    Role,
    account_name,
    digest,
)
from dicom_ai_node.domain.audit import Act
from dicom_ai_node.domain.errors import NeedsAttention
from dicom_ai_node.domain.happenings import changed
from dicom_ai_node.serve.login_words import WORDS
from dicom_ai_node.serve.passwords import SHORTEST, Passwords, objection

SHOWN_CHARACTERS = 4
"""So much of a token is listed, after its prefix, to tell which one it is."""


class Given(StrEnum):
    """What an account or a token can be given."""

    VIEWER = "viewer"
    SENDER = "sender"
    OPERATOR = "operator"
    ADMIN = "admin"


def _name(said: str) -> str:
    try:
        return account_name(said)
    except ValueError as no:
        raise typer.BadParameter(str(no)) from no


users = typer.Typer(
    help="People and programs that log in with a password.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
tokens = typer.Typer(
    help="Programs that say `Authorization: Bearer TOKEN`.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="Its name; capitals do not count.", callback=_name)]
Roles = Annotated[
    list[Given],
    typer.Option(
        "--role",
        help="viewer sees, sender stores, operator does both and acts on jobs, admin may all.",
    ),
]
MustChange = Annotated[
    bool,
    typer.Option(help="Whether another password has to be chosen at the first login."),
]


@users.command("add")
def add_user(
    name: Name,
    role: Roles,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    must_change: MustChange = True,
) -> None:
    """Add somebody; the password is asked for, or is the first line of the standard input."""
    accounts = _accounts(config)
    if accounts.account(name) is not None:
        raise NeedsAttention(f"there is {name} already")
    account = Account(
        name=name,
        roles=_roles(role),
        password_hash=_asked(name),
        created_at=compose.now(),
        must_change_password=must_change,
    )
    accounts.add_account(account)
    _note(config, f"user {name} was added, {_listed(role)}")
    typer.echo(f"{name} can log in")


@users.command("list")
def list_users(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """List who can log in."""
    found: list[Row] = [
        {
            "name": one.name,
            "roles": ", ".join(sorted(one.roles)),
            "disabled": one.is_disabled,
            "must_change_password": one.must_change_password,
            "created": one.created_at,
            "last_login": one.last_login_at,
        }
        for one in _accounts(config).accounts()
    ]
    rows(found, as_json=as_json, nothing="no users; `dicom-ai-node users add` adds one")


@users.command("disable")
def disable_user(name: Name, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let somebody log in no longer; where they are logged in, they are out at once."""
    _accounts(config).set_disabled(name, is_disabled=True)
    _note(config, f"user {name} was disabled")
    typer.echo(f"{name} can no longer log in")


@users.command("enable")
def enable_user(name: Name, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Let somebody log in again."""
    _accounts(config).set_disabled(name, is_disabled=False)
    _note(config, f"user {name} was enabled")
    typer.echo(f"{name} can log in")


@users.command("remove")
def remove_user(name: Name, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Remove somebody; where they are logged in, they are out at once."""
    _accounts(config).remove_account(name)
    _note(config, f"user {name} was removed")
    typer.echo(f"{name} is removed")


@users.command("password")
def give_password(
    name: Name,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    must_change: MustChange = True,
) -> None:
    """Give somebody another password; everywhere they are logged in, they are out at once."""
    accounts = _accounts(config)
    if accounts.account(name) is None:
        raise NeedsAttention(f"there is no {name}")
    accounts.set_password(name, _asked(name), must_change=must_change)
    _note(config, f"user {name} was given another password")
    typer.echo(f"{name} has another password")


@users.command("role")
def give_roles(name: Name, role: Roles, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Give somebody other roles in place of the present ones, from the next request on."""
    _accounts(config).set_roles(name, _roles(role))
    _note(config, f"user {name} was given other roles, {_listed(role)}", Act.SECURITY_ROLES)
    typer.echo(f"{name} may act as {', '.join(sorted(_roles(role)))}")


@tokens.command("add")
def add_token(
    name: Name,
    role: Roles,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    days: Annotated[
        float | None, typer.Option(min=0.01, help="How long it is good; else until removed.")
    ] = None,
) -> None:
    """Make a token and print it: nobody can show it a second time."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    now = compose.now()
    known = ApiToken(
        name=name,
        roles=_roles(role),
        start=token[: len(TOKEN_PREFIX) + SHOWN_CHARACTERS],
        created_at=now,
        expires_at=None if days is None else now + timedelta(days=days),
    )
    _accounts(config).add_token(known, digest(token))
    _note(config, f"token {name} was made, {_listed(role)}")
    typer.echo(token)


@tokens.command("list")
def list_tokens(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """List tokens by name, each with its first characters."""
    found: list[Row] = [
        {
            "name": one.name,
            "start": one.start,
            "roles": ", ".join(sorted(one.roles)),
            "created": one.created_at,
            "expires": one.expires_at,
            "last_used": one.last_used_at,
        }
        for one in _accounts(config).tokens()
    ]
    rows(found, as_json=as_json, nothing="no tokens; `dicom-ai-node tokens add` makes one")


@tokens.command("remove")
def remove_token(name: Name, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Remove a token; it is worth nothing from the next request on."""
    _accounts(config).remove_token(name)
    _note(config, f"token {name} was removed")
    typer.echo(f"{name} is removed")


def _accounts(config: ConfigOption) -> Accounts:
    settings = compose.settings(config)
    compose.prepare_database(settings)  # people may be added before the first start
    return compose.accounts(settings)


def _note(config: ConfigOption, what: str, act: Act = Act.USER_SECURITY) -> None:
    """Tell the audit trail who may do more or less than before, and who has changed that."""
    with closing(compose.trail(compose.settings(config))) as trail:
        trail.note(changed(act, operator(), what, compose.now()))


def _listed(given: list[Given]) -> str:
    return ", ".join(sorted(_roles(given)))


def _roles(given: list[Given]) -> frozenset[Role]:
    return frozenset(Role(one.value) for one in given)


def _asked(name: str) -> str:
    """Return the hash of a password that is asked for, twice, or read from a pipe."""
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    no = objection(password, name)
    if no:
        raise NeedsAttention(WORDS["en"][no].format(shortest=SHORTEST))
    return Passwords().hashed(password)
