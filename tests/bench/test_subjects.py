"""Every subject runs: a tiny one, once, beside one peer."""

from pathlib import Path

import pytest
import torch

from bench import objects
from bench.__main__ import main
from bench.loading import LOADERS
from bench.objects import CODECS, RLE
from bench.results import Kind, Report, read
from bench.subjects.volume import NATIVE, written
from bench.units import CPU_S, MS, PART, PER_HOUR, Unit
from bench.writing import WRITERS


@pytest.mark.peer
@pytest.mark.parametrize(
    ("subject", "peer", "works"),
    [
        pytest.param("receive", "DCMTK storescp, tuned (not synced)", 3, id="C-STORE"),
        pytest.param("retrieve", "Orthanc", 7, id="WADO-RS"),
        pytest.param("search", "Orthanc", 10, id="QIDO-RS"),
        pytest.param("store", "Orthanc", 3, id="STOW-RS"),
        pytest.param("volume", "pydicom loop", 1, id="from the disk to a tensor"),
        pytest.param("growth", "itself at 1,000", 6, id="a ledger that grows"),
        pytest.param("inference", "MONAI sliding_window_inference", 1, id="a volume to labels"),
        pytest.param("send", "storescu, TCP_NODELAY=1", 6, id="C-STORE and STOW-RS to a PACS"),
    ],
)
def test_a_subject_runs(tmp_path: Path, subject: str, peer: str, works: int) -> None:
    """All of its work, by this node and by a peer, into the table and the file."""
    report = measured(tmp_path, subject, "--against", peer if peer != "Orthanc" else "orthanc")
    for kind, who in ((Kind.OURS, "dicom_ai_node"), (Kind.PEER, peer)):
        rows = [row for row in report.rows if row.kind is kind]
        assert {row.who for row in rows} == {who}
        assert len({row.work for row in rows}) == works


@pytest.mark.peer
def test_objects_are_written_by_those_who_can(tmp_path: Path) -> None:
    """Each kind of object by the node and by somebody else, with as many frames."""
    report = measured(tmp_path, "written")
    assert {row.who for row in report.rows} == set(WRITERS)
    by_work: dict[str, set[Kind]] = {}
    for row in report.rows:
        by_work.setdefault(row.work, set()).add(row.kind)
    assert len(by_work) == 5
    assert all(kinds == {Kind.OURS, Kind.PEER} for kinds in by_work.values())
    assert not [note for note in report.notes if "as many frames" in note and "dcmqi" not in note]


@pytest.mark.peer
@pytest.mark.parametrize(
    ("subject", "units"),
    [
        pytest.param("overhead", {MS, PART}, id="what the node adds"),
        pytest.param("hospital", {PER_HOUR, CPU_S}, id="studies of all kinds"),
    ],
)
def test_the_whole_node_is_measured(tmp_path: Path, subject: str, units: set[Unit]) -> None:
    """It stands alone, from the first instance to the last result."""
    report = measured(tmp_path, subject)
    assert {row.unit for row in report.rows} == units
    assert all(row.median > 0 for row in report.rows if row.unit in {MS, PER_HOUR})


def measured(folder: Path, subject: str, *more: str) -> Report:
    """Run a tiny subject and return what was written; nobody may be missing."""
    path = folder / "run.json"
    said = ["--size", "tiny", "--folder", str(folder), "--json", str(path)]
    assert main([subject, *said, *more]) == 0
    report = read(path)
    assert not [note for note in report.notes if note.startswith("missing")]
    return report


@pytest.mark.parametrize("codec", [NATIVE, *CODECS, RLE])
def test_every_loader_sees_the_same(tmp_path: Path, codec: str) -> None:
    """Or their times could not be compared."""
    written(tmp_path, codec, objects.ct_images(3, 32))
    loaders = [LOADERS["dicom_ai_node"], LOADERS["decoding alone, on all processors"]]
    ours, limit = (loader.prepare(tmp_path)() for loader in loaders)
    assert ours.shape == (3, 32, 32)
    assert torch.equal(ours, limit)
    assert ours.mean() > -1000
