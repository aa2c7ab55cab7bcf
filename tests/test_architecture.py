"""The shape of the code and of the repository is tested like its behaviour."""

import ast
import subprocess
from pathlib import Path

import pytest

from tests.no_patients import objection

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dicom_ai_node"
MODULES = sorted(
    path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")
)
LONGEST_MODULE = 300
DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc", "base", "manager", "core"}


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_short_and_says_what_it_is(module: Path) -> None:
    """Nobody has to scroll through a file to learn what it is for."""
    source = (PACKAGE / module).read_text()
    assert len(source.splitlines()) <= LONGEST_MODULE
    assert ast.get_docstring(ast.parse(source))


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    """A name that could hold anything will."""
    assert not DRAWERS & {part for path in MODULES for part in path.with_suffix("").parts}


def test_no_patient_and_nothing_large_is_in_the_repository() -> None:
    """What pre-commit refuses is not in the history's tip either."""
    refused = {str(path): why for path in _tracked() if path.is_file() and (why := objection(path))}
    assert not refused


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        pytest.param("a.dcm", b"", "DICOM", id="by its name"),
        pytest.param("a.txt", bytes(128) + b"DICM", "DICOM", id="by its preamble"),
        pytest.param("a.pt", b"", "weights", id="weights that can run code"),
        pytest.param("a.safetensors", b"", "weights", id="weights outside of a model folder"),
        pytest.param("a.csv", bytes(1_000_001), "large", id="anything large"),
    ],
)
def test_the_guard_refuses(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    """A patient's file does not get into the repository by mistake."""
    path = tmp_path / name
    path.write_bytes(content)
    assert why in objection(path)
