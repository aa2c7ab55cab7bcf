"""A secret never stands in the file, is read once, and shows itself nowhere."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest

from dicom_ai_node.config import NodeConfig, destinations, read_once, secrets_in
from dicom_ai_node.config.secret import CREDENTIALS, Secret
from dicom_ai_node.domain.destination import WebPeer
from dicom_ai_node.domain.errors import ConfigError
from dicom_ai_node.store.engines import database_url
from tests.confided import confided
from tests.config.test_read import SMALLEST, read

CANARY = "hunter2-or-so"


def _read(folder: Path, token: str) -> NodeConfig:
    place = "pacs: {ae_title: PACS, host: pacs.example.org, port: 104}"
    assert place in SMALLEST
    return read(folder, SMALLEST.replace(place, f"pacs: {{url: 'https://x', token: {token}}}"))


def _token(config: NodeConfig) -> Secret:
    ((where, secret),) = secrets_in(config)
    assert where == ("destinations", "pacs", "token")
    return secret


@pytest.mark.parametrize("way", ["file", "environment", "credential"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_there_are_three_ways_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, end: str
) -> None:
    """Editors and `echo` add a line end, which is no part of it; a blank at its end is."""
    said = f"{CANARY} {end}"
    monkeypatch.setenv("THE_TOKEN", said)
    monkeypatch.setenv(CREDENTIALS, str(tmp_path))
    confided(tmp_path / "the_token", said)
    name = {"file": "the_token", "environment": "THE_TOKEN", "credential": "the_token"}[way]
    config = _read(tmp_path, f"{{{way}: {name}}}")
    assert _token(config).value == f"{CANARY} "


def test_it_is_read_once_and_taken_out_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started from here inherits no secret; two places may name the same variable."""
    monkeypatch.setenv("THE_TOKEN", CANARY)
    config = _read(tmp_path, "{environment: THE_TOKEN}")
    again = _token(_read(tmp_path, "{environment: THE_TOKEN}"))
    read_once([_token(config), again])
    assert "THE_TOKEN" not in os.environ
    assert (_token(config).value, again.value) == (CANARY, CANARY)
    file = confided(tmp_path / "token", CANARY)
    kept = _token(_read(tmp_path, "{file: token}"))
    read_once([kept])
    file.unlink()
    assert kept.value == CANARY


def test_it_shows_itself_nowhere(tmp_path: Path) -> None:
    """Not when a configuration is printed, dumped, compared, or copied to a worker."""
    confided(tmp_path / "token", CANARY)
    config = _read(tmp_path, "{file: token}")
    read_once([_token(config)])
    shown = f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
    assert CANARY not in shown
    copied = pickle.dumps(config)
    assert CANARY.encode() not in copied
    # The copy still knows where it is, and its place in the file.
    assert _token(pickle.loads(copied)).value == CANARY  # noqa: S301 - our own


def _no_file(folder: Path) -> Path:
    return folder / "token"


def _empty(folder: Path) -> Path:
    return confided(folder / "token", "\n")


def _for_all(folder: Path) -> Path:
    path = confided(folder / "token", CANARY)
    path.chmod(0o644)
    return path


def _for_the_group(folder: Path) -> Path:
    path = confided(folder / "token", CANARY)
    path.chmod(0o640)
    return path


def _two_lines(folder: Path) -> Path:
    return confided(folder / "token", f"{CANARY}\n{CANARY}\n")


def _no_text(folder: Path) -> Path:
    path = confided(folder / "token", "")
    path.write_bytes(CANARY.encode() + b"\xff")
    return path


def _too_long(folder: Path) -> Path:
    return confided(folder / "token", CANARY * 10_000)


def _a_folder(folder: Path) -> Path:
    (folder / "token").mkdir()
    return folder / "token"


SPOILED = {
    _no_file: "cannot read the file {path}: No such file or directory",
    _empty: "there is nothing in the file {path}",
    _for_all: "{path} can be read by others: `chmod 600 {path}`",
    _for_the_group: "{path} can be read by others: `chmod 600 {path}`",
    _two_lines: "the file {path} is not one line of plain text",
    _no_text: "{path} is not UTF-8",
    _too_long: "{path} is larger than 65536 bytes",
    _a_folder: "cannot read the file {path}: Is a directory",
}


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda one: one.__name__)
def test_what_is_wrong_with_it_is_said_with_its_place(tmp_path: Path, spoil: object) -> None:
    """The line in the file, what to do, and nothing of the secret, not even in the causes."""
    path = spoil(tmp_path)  # type: ignore[operator]
    with pytest.raises(ConfigError) as caught:
        read_once([_token(_read(tmp_path, "{file: token}"))])
    said = SPOILED[spoil].format(path=path)  # type: ignore[index]
    assert str(caught.value).startswith(f"ae_config.yaml:11: destinations.pacs.token: {said}")
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        pytest.param({}, "there is no credential t: write `LoadCredential=t:PATH`", id="by hand"),
        pytest.param({CREDENTIALS: "/nowhere"}, "cannot read the file /nowhere/t", id="not loaded"),
    ],
)
def test_a_credential_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], said: str
) -> None:
    """The sentence names the line that the unit needs."""
    monkeypatch.delenv(CREDENTIALS, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"yaml:11: destinations\.pacs\.token: {said}"):
        _token(_read(tmp_path, "{credential: t}")).value  # noqa: B018


def test_a_credential_may_have_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where systemd gives it by an access list, that is what its mode shows."""
    monkeypatch.setenv(CREDENTIALS, str(tmp_path))
    path = confided(tmp_path / "t", CANARY)
    path.chmod(0o440)
    assert Secret(credential="t").value == CANARY
    path.chmod(0o444)
    with pytest.raises(ConfigError, match="can be read by others"):
        Secret(credential="t").value  # noqa: B018


def test_every_missing_secret_is_named_at_once() -> None:
    """Nobody has to start a node five times."""
    with pytest.raises(ConfigError) as caught:
        read_once([Secret(environment="NO_SUCH_A"), Secret(environment="NO_SUCH_B")])
    assert [line[-9:] for line in str(caught.value).splitlines()] == ["NO_SUCH_A", "NO_SUCH_B"]


def test_the_password_of_the_database_is_quoted_into_its_url(tmp_path: Path) -> None:
    """Whatever is in it, it stays a password."""
    confided(tmp_path / "db", "p@ss:w/rd?\n")
    said = "store: {folder: node, database: 'postgresql+psycopg://me@db.example.org/node?sslmode=verify-full', database_password: {file: db}}"
    config = read(tmp_path, SMALLEST.replace("store: {folder: node}", said))
    assert config.store.database_url == (
        "postgresql+psycopg://me:p%40ss%3Aw%2Frd%3F@db.example.org/node?sslmode=verify-full"
    )
    assert database_url(config.store.database_url).password == "p@ss:w/rd?"  # noqa: S105


def test_what_is_handed_on_does_not_show_it_either(tmp_path: Path) -> None:
    """A destination in a log line or in a traceback is one without its token."""
    confided(tmp_path / "t", CANARY)
    (peer,) = destinations(_read(tmp_path, "{file: t}")).values()
    assert isinstance(peer, WebPeer)
    assert peer.token == CANARY
    assert CANARY not in repr(peer)
