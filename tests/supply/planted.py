"""Distributions that are installed in a folder of their own, and nowhere else."""

from collections.abc import Sequence
from pathlib import Path


def plant(
    folder: Path, name: str, *, said: str = "License-Expression: MIT", needs: Sequence[str] = ()
) -> None:
    """Install what there is of a distribution besides its code: what it says of itself."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", said]
    lines += [f"Requires-Dist: {one}" for one in needs]
    (info / "METADATA").write_text("\n".join(filter(None, lines)) + "\n")


def rules(folder: Path, more: str = "") -> Path:
    """Write a small policy and return its file."""
    path = folder / "pyproject.toml"
    path.write_text(
        '[tool.supply]\nextras = ["gpu"]\nlicences = ["MIT", "Apache-2.0"]\n'
        '[tool.supply.forbidden]\npylibjpeg-libjpeg = "GPL-3.0"\n' + more
    )
    return path
