"""viewer install, status, remove."""

from pathlib import Path

from dicom_ai_node import compose
from tests.cli.conftest import Run
from tests.serve.viewer.releases import tarball


def test_only_the_release_is_installed(run: Run, config: Path, tmp_path: Path) -> None:
    """A file that somebody has built is not, however much it looks like it."""
    made = tarball(tmp_path / "made.tgz")
    ended = run("viewer", "install", "--config", config, "--from", made)
    assert ended.status == 1
    assert "made.tgz is not @ohif/app 3.13.2 as it was released" in ended.err
    assert run("viewer", "status", "--config", config, "--json").json["installed"] is False


def test_without_internet_it_is_said_what_to_do(run: Run, config: Path) -> None:
    """Fetch it elsewhere, carry it here."""
    ended = run("viewer", "install", "--config", config, "--registry", "http://127.0.0.1:9")
    assert ended.status == 1
    assert "npm pack @ohif/app@3.13.2" in ended.err
    assert "--from" in ended.err


def test_what_is_installed_is_shown_left_alone_and_removed(
    run: Run, config: Path, tmp_path: Path
) -> None:
    """The registry is not asked for what is there already."""
    compose.viewer(compose.settings(config)).install(tarball(tmp_path / "made.tgz"))
    status = run("viewer", "status", "--config", config, "--json").json
    assert status["installed"] is True
    assert status["bytes"] > 0
    again = run("viewer", "install", "--config", config, "--registry", "http://127.0.0.1:9")
    assert (again.status, again.out) == (0, "@ohif/app 3.13.2 is installed already\n")
    assert run("viewer", "remove", "--config", config).status == 0
    assert "no" in run("viewer", "status", "--config", config).out
