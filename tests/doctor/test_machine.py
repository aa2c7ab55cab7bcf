"""What may be wrong with the machine below the node."""

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from dicom_ai_node.doctor import beyond, machine, store
from dicom_ai_node.doctor.finding import Finding, Level

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def one(findings: object) -> Finding:
    """Return the only finding."""
    (found,) = findings  # type: ignore[misc]
    return found


def test_other_versions_than_were_tested(tmp_path: Path) -> None:
    """A warning; what the package itself requires is a fault where it is not met."""
    tested = tmp_path / "constraints.txt"
    tested.write_text("pydicom==1.0.0\nnothing-of-this-name==1\n# a comment\n")
    *met, other = machine.packages("dicom-ai-node", [tmp_path / "none", tested])
    assert {each.level for each in met} == {Level.OK}
    assert other.level is Level.WARNING
    assert "tested 1.0.0" in other.said
    assert "pip install" in other.mend


@pytest.mark.parametrize(
    ("said", "why"),
    [("pydicom>=99", "is installed"), ("nothing-of-this-name", "is not installed")],
)
def test_a_requirement_that_is_not_met(said: str, why: str) -> None:
    """It is named with the version that is there."""
    assert why in machine._unmet(machine.Requirement(said))
    assert machine._unmet(machine.Requirement("pydicom>=3")) == ""


def test_a_clock_that_was_never_set() -> None:
    """The year of the epoch, on a machine without a battery."""
    found = one(machine.clock(lambda: datetime(1970, 1, 1, tzinfo=UTC), lambda: ""))
    assert (found.level, "set-ntp" in found.mend) == (Level.FAULT, True)


def test_a_clock_that_jumps() -> None:
    """Against the one that cannot."""
    steps = count()
    found = one(machine.clock(lambda: NOW + timedelta(hours=next(steps)), lambda: "yes"))
    assert (found.level, "jumped" in found.said) == (Level.WARNING, True)


def test_a_clock_that_nobody_sets() -> None:
    """It is right today."""
    found = one(machine.clock(lambda: datetime.now(UTC), lambda: "no"))
    assert (found.level, "nobody" in found.said) == (Level.WARNING, True)


def test_limits_of_the_machine() -> None:
    """Files and memory, against what the configuration may want."""
    files = one(machine.open_files(10**12))
    assert (files.level, "LimitNOFILE" in files.mend) == (Level.FAULT, True)
    memory = one(machine.memory(10**15))
    assert (memory.level, "max_pixels_gb" in memory.mend) == (Level.WARNING, True)


def test_a_time_zone_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node keeps UTC; people do not."""
    monkeypatch.setenv("TZ", "Europe/Nowhere")
    assert one(machine.time_zone()).level is Level.WARNING
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert one(machine.time_zone()).level is Level.OK


ENABLED = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled"}


@pytest.mark.parametrize(
    ("shown", "level", "mend"),
    [
        pytest.param({}, "ok", "", id="no systemd"),
        pytest.param(ENABLED, "ok", "", id="in force"),
        pytest.param({"LoadState": "not-found"}, "warning", "copy deploy", id="no unit"),
        pytest.param(ENABLED | {"ActiveState": "failed"}, "fault", "journalctl", id="failed"),
        pytest.param(ENABLED | {"NeedDaemonReload": "yes"}, "warning", "reload", id="changed"),
        pytest.param(ENABLED | {"UnitFileState": "disabled"}, "warning", "enable", id="disabled"),
    ],
)
def test_the_service(shown: Mapping[str, str], level: str, mend: str) -> None:
    """Whether the node comes back after a power cut."""
    found = one(machine.service(lambda: shown))
    assert (found.level, mend in found.mend) == (level, True)


SEEN = '{"torch": "2.8.0", "cuda": "12.6", "gpus": ["one", "two"]}'


@pytest.mark.parametrize(
    ("devices", "level", "mend"),
    [
        pytest.param(("cuda:0", "cuda:1"), "ok", "", id="as configured"),
        pytest.param(("cuda:2",), "fault", "nvidia-smi", id="one that is not there"),
        pytest.param(("cpu",), "warning", "faster", id="bought and not used"),
    ],
)
def test_the_gpus(devices: tuple[str, ...], level: str, mend: str) -> None:
    """What torch finds, against what the configuration names."""
    found = one(beyond.gpus(devices, lambda: SEEN))
    assert (found.level, mend in found.mend) == (level, True)


def test_a_torch_that_cannot_be_imported() -> None:
    """It may take the process down that tries; the doctor asks another."""

    def crashed() -> str:
        raise subprocess.CalledProcessError(-11, "python")

    found = one(beyond.gpus(("cpu",), crashed))
    assert (found.level, "install torch" in found.mend) == (Level.FAULT, True)


def test_a_disk_that_takes_no_file() -> None:
    """Read-only, or of another kind."""
    found = one(store.durable(Path("/proc/self")))
    assert (found.level, "cannot write" in found.said) == (Level.FAULT, True)


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """The node runs as another account, and would not start."""
    found = one(store.folder(tmp_path, tmp_path.stat().st_uid + 1))
    assert (found.level, "chown" in found.mend) == (Level.FAULT, True)


def test_a_disk_of_another_machine(tmp_path: Path) -> None:
    """The longest mount point that leads there counts."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\n")
    assert store.file_system_of(tmp_path / "store", mounts) == "nfs4"
    assert store.file_system_of(Path("/usr"), mounts) == "ext4"


def test_a_service_that_takes_no_connection() -> None:
    """Syslog, or a mail server."""
    found = one(beyond.connects("audit.to", "127.0.0.1", 9))
    assert (found.level, "firewall" in found.mend) == (Level.FAULT, True)
