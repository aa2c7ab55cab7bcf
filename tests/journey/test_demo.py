"""The demo is the first thing that anybody sees, so it is tested as anybody runs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dicom_ai_node.cli import demo
from dicom_ai_node.samples.studies import SAMPLES

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_the_demo_shows_every_result_and_ends_well(tmp_path: Path) -> None:
    """One command: studies in, objects and pictures out, status 0, and nothing left running."""
    done = subprocess.run(
        [sys.executable, "-m", "dicom_ai_node", "demo", str(tmp_path / "demo")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert demo.MISSING not in done.stdout
    _, _, neighbours = done.stdout.partition(f"what {demo.ASKED_ABOUT} looks like")
    near = [line.split()[0] for line in neighbours.splitlines() if " US " in line]
    assert set(near[:3]) == {"us-fetal-head-2nd", "us-fetal-head-grown", "us-cine"}
    shown = {f"{sample}-{route}.png" for sample, route in demo.EXPECTED}
    shown.add("us-fetal-head-grown-fetal-head-2.png")  # the trend
    shown.add("us-cine-motion-2.png")  # the plot of the motion
    pictures = sorted((tmp_path / "demo" / "pictures").iterdir())
    assert {picture.name for picture in pictures} == shown
    for picture in pictures:
        with Image.open(picture) as image:
            assert min(image.size) >= 400
    assert '"event": "work_stopped"' in (tmp_path / "demo" / "node.log").read_text()


def test_every_sample_is_expected_somewhere() -> None:
    """A sample that is sent and never asked for could get lost unseen."""
    assert {sample for sample, _ in demo.EXPECTED} == {sample.name for sample in SAMPLES}


def test_a_result_that_is_not_there_is_missed(tmp_path: Path) -> None:
    """Without any job every expected row says so."""
    for sample in SAMPLES:
        folder = tmp_path / "samples" / sample.name
        folder.mkdir(parents=True)
        sample.make()[0].save_as(folder / "1.dcm", enforce_file_format=True)
    rows = demo._results(None, [], {}, tmp_path)  # type: ignore[arg-type]
    missed = [row["study"] for row in rows if row["result"] == demo.MISSING]
    assert missed == [sample for sample, _ in demo.EXPECTED]
