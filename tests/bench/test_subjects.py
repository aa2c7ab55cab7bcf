"""Every subject runs: a tiny one, once, beside one peer."""

from pathlib import Path

import pytest
import torch

from bench.__main__ import main
from bench.loading import LOADERS
from bench.objects import CODECS, RLE
from bench.results import Kind, read
from bench.subjects.volume import NATIVE, written


@pytest.mark.peer
@pytest.mark.parametrize(
    ("subject", "peer", "works"),
    [
        pytest.param("receive", "DCMTK storescp, tuned (not synced)", 3, id="C-STORE"),
        pytest.param("retrieve", "Orthanc", 7, id="WADO-RS"),
        pytest.param("search", "Orthanc", 10, id="QIDO-RS"),
        pytest.param("store", "Orthanc", 3, id="STOW-RS"),
        pytest.param("volume", "pydicom loop", 1, id="from the disk to a tensor"),
    ],
)
def test_a_subject_runs(tmp_path: Path, subject: str, peer: str, works: int) -> None:
    """All of its work, by this node and by a peer, into the table and the file."""
    path = tmp_path / "run.json"
    said = ["--size", "tiny", "--folder", str(tmp_path), "--json", str(path), "--against"]
    assert main([subject, *said, *([peer] if peer != "Orthanc" else ["orthanc"])]) == 0
    report = read(path)
    assert not [note for note in report.notes if note.startswith("missing")]
    for kind, who in ((Kind.OURS, "dicom_ai_node"), (Kind.PEER, peer)):
        rows = [row for row in report.rows if row.kind is kind]
        assert {row.who for row in rows} == {who}
        assert len({row.work for row in rows}) == works


@pytest.mark.parametrize("codec", [NATIVE, *CODECS, RLE])
def test_every_loader_sees_the_same(tmp_path: Path, codec: str) -> None:
    """Or their times could not be compared."""
    written(tmp_path, codec, 3, 32)
    loaders = [LOADERS["dicom_ai_node"], LOADERS["decoding alone, on all processors"]]
    ours, limit = (loader.prepare(tmp_path)() for loader in loaders)
    assert ours.shape == (3, 32, 32)
    assert torch.equal(ours, limit)
    assert ours.mean() > -1000
