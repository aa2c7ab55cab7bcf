"""DCMTK, the toolkit in most scanners and archives, talks to the node."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import phantoms
from tests.receive.conftest import Node

pytestmark = pytest.mark.peer


def _run(
    tool: str, node: Node, *arguments: object, title: str = "CT1"
) -> subprocess.CompletedProcess[str]:
    if shutil.which(tool) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{tool} is missing")
        pytest.skip(f"{tool} is not installed")
    return subprocess.run(
        [tool, "-v", "-aet", title, "-aec", "AI_NODE", "127.0.0.1", str(node.port),
         *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_echoscu_is_answered(node: Node) -> None:
    """The first thing that an engineer tries works."""
    assert _run("echoscu", node).returncode == 0


def test_echoscu_of_a_stranger_is_rejected(node: Node) -> None:
    """The engineer reads which name is wrong."""
    said = _run("echoscu", node, title="STRANGER")
    assert said.returncode
    assert "Calling AE Title Not Recognized" in said.stdout + said.stderr


@pytest.mark.parametrize(
    "option",
    [
        pytest.param("-xe", id="Explicit VR Little Endian first"),
        pytest.param("-xb", id="Explicit VR Big Endian first"),
        pytest.param("-xi", id="Implicit VR Little Endian only"),
        pytest.param("-R", id="only what is needed"),
        pytest.param("--max-send-pdu=4096", id="small PDUs"),
    ],
)
def test_storescu_sends_a_series(node: Node, tmp_path: Path, option: str) -> None:
    """Whatever storescu chooses to propose, the series arrives."""
    paths = phantoms.write(phantoms.ct(slices=4), tmp_path / "series")
    options = option.replace("=", " ").split()
    said = _run("storescu", node, *options, *paths)
    assert said.returncode == 0, said.stderr
    assert node.sees(lambda: len(node.diary.released) == 1)
    assert len(node.diary.arrivals) == 4
    assert {a.instance.attributes["Modality"] for a in node.diary.arrivals} == {"CT"}


def test_storescu_hears_of_a_failure(node: Node, tmp_path: Path) -> None:
    """A refused instance is an error at the sender, who can do something about it."""
    image = phantoms.ct(slices=1)[0]
    del image.SeriesInstanceUID
    (path,) = phantoms.write([image], tmp_path / "series")
    assert "CannotUnderstand" in _run("storescu", node, path).stderr
    assert not node.diary.arrivals
