"""The viewer is unpacked as a whole or not at all, and nothing gets beyond its folder."""

import tarfile
from pathlib import Path

import pytest

from dicom_ai_node.domain.errors import NeedsAttention, OutOfResources
from dicom_ai_node.serve.viewer.changes import BASE
from dicom_ai_node.serve.viewer.installed import Viewer
from tests.serve.viewer.releases import FILES, FIRST, tarball, unpacked


def test_a_release_is_kept_without_what_a_node_does_not_need(tmp_path: Path) -> None:
    """No models that run in the browser, no service worker, no configuration of others."""
    viewer = Viewer(tmp_path / "viewer")
    assert viewer.script() is None
    viewer.install(tarball(tmp_path / "release.tgz"))
    assert viewer.script() == FIRST
    kept = {name for name in FILES if viewer.file(name)}
    assert kept == {name for name, content in FILES.items() if not content.startswith(b"left out")}
    assert 0 < viewer.size_bytes() < 10_000


def test_it_looks_for_its_parts_below_its_own_path(tmp_path: Path) -> None:
    """Scripts, fonts and decoders: nothing is asked for at the root of the node."""
    viewer = Viewer(tmp_path / "viewer")
    viewer.install(tarball(tmp_path / "release.tgz"))
    script = unpacked(viewer.file(FIRST)).decode()
    assert '__webpack_require__.p = "/"' not in script
    assert script.count(f'__webpack_require__.p = "/viewer/{BASE}/"') == 8
    assert unpacked(viewer.file("app.bundle.css")).count(b"url(/viewer/") == 5
    assert unpacked(viewer.file("4567.wasm")) == FILES["4567.wasm"]


def test_the_same_release_is_the_same_bytes(tmp_path: Path) -> None:
    """So that a second installation changes nothing for a browser that has it already."""
    release = tarball(tmp_path / "release.tgz")
    one, other = Viewer(tmp_path / "one"), Viewer(tmp_path / "other")
    for viewer in (one, other, other):
        viewer.install(release)
    for name in FILES:
        first, second = one.file(name), other.file(name)
        assert (first and first.read_bytes()) == (second and second.read_bytes())


def test_nothing_is_written_or_read_outside_its_folder(tmp_path: Path) -> None:
    """Whatever a tarball or a request says."""
    link = tarfile.TarInfo("package/dist/99.wasm")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    evil = {**FILES, "../../../out.css": b"out", "..wasm/../../out.wasm": b"out"}
    viewer = Viewer(tmp_path / "viewer")
    viewer.install(tarball(tmp_path / "release.tgz", evil, link))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release.tgz", "viewer"]
    for name in ("99.wasm", "../release.tgz", "../../etc/passwd", "/etc/passwd", "installed.json"):
        assert viewer.file(name) is None


@pytest.mark.parametrize(
    ("change", "because"),
    [
        pytest.param({"extra.wasm": None}, "built in another way", id="a text is no longer there"),
        pytest.param({"app.bundle.ff.js": b"2"}, "another way", id="there are two first scripts"),
        pytest.param({f"{n:x}.wasm": b"" for n in range(600)}, "more than", id="too many files"),
    ],
)
def test_what_is_no_viewer_leaves_the_old_one_in_place(
    change: dict[str, bytes | None], because: str, tmp_path: Path
) -> None:
    """And says why; nothing half unpacked is left."""
    viewer = Viewer(tmp_path / "viewer")
    viewer.install(tarball(tmp_path / "release.tgz"))
    files = {**FILES, **{name: content or b"" for name, content in change.items()}}
    if None in change.values():
        files[FIRST] = b"another script"
    with pytest.raises(NeedsAttention, match=because):
        viewer.install(tarball(tmp_path / "other.tgz", files))
    assert viewer.script() == FIRST
    assert [path.name for path in (tmp_path / "viewer").iterdir()] == [BASE]


def test_a_damaged_file_and_a_full_disk_are_told_apart(tmp_path: Path) -> None:
    """The one is for a person, the other passes."""
    release = tarball(tmp_path / "release.tgz")
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(release.read_bytes()[:-100])
    with pytest.raises(NeedsAttention, match="cannot be unpacked"):
        Viewer(tmp_path / "viewer").install(cut)
    (tmp_path / "file").write_text("where a folder should be")
    with pytest.raises(OutOfResources, match="cannot write the viewer"):
        Viewer(tmp_path / "file" / "viewer").install(release)


def test_an_older_viewer_goes_when_a_new_one_has_come(tmp_path: Path) -> None:
    """And all of it when it is removed."""
    viewer = Viewer(tmp_path / "viewer")
    (tmp_path / "viewer/ohif-3.0.0-1").mkdir(parents=True)
    viewer.install(tarball(tmp_path / "release.tgz"))
    assert [path.name for path in (tmp_path / "viewer").iterdir()] == [BASE]
    viewer.remove()
    viewer.remove()
    assert not (tmp_path / "viewer").exists()
