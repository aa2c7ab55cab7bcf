"""A start that fails says why, and nothing of the secrets that it has read by then."""

import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.confided import confided

CANARY = "canary-of-the-archive-0123456789"


@pytest.mark.parametrize("harm", ["a port that is taken", "no database", "a spoiled database"])
def test_a_start_that_fails_tells_no_secret(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    """Whatever it fails of."""
    monkeypatch.setenv("ARCHIVE_TOKEN", CANARY)
    confided(config.parent / "password", CANARY)
    said = config.read_text().replace(
        "{folder: ./results}",
        "{url: 'https://archive.example.org', token: {environment: ARCHIVE_TOKEN}}",
    )
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        match harm:
            case "a port that is taken":
                before = said.split("port: ")[1].split(",")[0]
                said = said.replace(f"port: {before}", f"port: {port}")
            case "no database":
                database = (
                    f"database: 'postgresql+psycopg://me@127.0.0.1:{port}/x?connect_timeout=1'"
                )
                told = f"{database}, database_password: {{file: password}}"
                said = said.replace("min_free_gb: 0", f"min_free_gb: 0, {told}")
                other.close()
            case _:
                (config.parent / "node").mkdir()
                (config.parent / "node/node.db").write_bytes(b"no database" * 1000)
        config.write_text(said)
        ended = run("serve", config)
    assert ended.status in {1, 78}
    assert ended.err
    assert CANARY not in ended.out + ended.err
