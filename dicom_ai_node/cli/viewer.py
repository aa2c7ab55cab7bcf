"""Commands about the OHIF viewer, which is fetched and not shipped: install, status, remove."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from dicom_ai_node import compose
from dicom_ai_node.cli.show import DEFAULT_CONFIG, ConfigOption, JsonOption, record
from dicom_ai_node.serve.viewer import release
from dicom_ai_node.serve.viewer.changes import PATH

app = typer.Typer(
    help="Install, look at or remove the viewer (OHIF).",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def install(
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="The file that `npm pack` wrote, instead of the registry."),
    ] = None,
    registry: Annotated[
        str | None, typer.Option(help="Another npm registry than the one that npm would ask.")
    ] = None,
) -> None:
    """Fetch the viewer and serve it below /viewer/; the node need not be restarted."""
    viewer = compose.viewer(compose.settings(config))
    if from_ is None and viewer.script() is not None:
        typer.echo(f"{release.NAME} {release.VERSION} is installed already")
        return
    with tempfile.TemporaryDirectory(prefix="viewer-") as folder:
        tarball = from_ or Path(folder) / release.TARBALL
        if from_ is None:
            address = registry or release.registry(os.environ, _npmrc())
            typer.echo(f"fetching {release.NAME} {release.VERSION} from {address}")
            release.fetch(tarball, address)
        release.check(tarball)
        viewer.install(tarball)
    megabytes = viewer.size_bytes() / 1e6
    typer.echo(f"{release.NAME} {release.VERSION} is installed ({megabytes:.0f} MB), see {PATH}")


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, *, as_json: JsonOption = False) -> None:
    """Say whether the viewer is installed, and which."""
    viewer = compose.viewer(compose.settings(config))
    is_installed = viewer.script() is not None
    record(
        {
            "package": release.NAME,
            "version": release.VERSION,
            "installed": is_installed,
            "folder": viewer.folder,
            "bytes": viewer.size_bytes() if is_installed else 0,
        },
        as_json=as_json,
    )


@app.command()
def remove(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Take the viewer away; the pages of the node still show images."""
    compose.viewer(compose.settings(config)).remove()
    typer.echo("the viewer is removed")


def _npmrc() -> list[str]:
    """Return the lines of the user's `.npmrc`, none if there is none."""
    try:
        return (Path.home() / ".npmrc").read_text("utf-8").splitlines()
    except OSError:
        return []
