"""The unit gives up what it can, and systemd understands every line of it and of its drop-ins."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.peers.tools import find
from tests.units import DROP_INS, FOLDER, UNIT, refused_calls, said

pytestmark = pytest.mark.peer
HIGHEST_EXPOSURE = 2.0


def _copied(folder: Path, drop_ins: Sequence[Path]) -> dict[str, str]:
    """Put a unit and drop-ins where only we look; return the environment to look there."""
    text = UNIT.read_text().replace(said("ExecStart")[0], "/bin/true")
    (folder / UNIT.name).write_text(text)
    (folder / f"{UNIT.name}.d").mkdir()
    for path in drop_ins:
        shutil.copy(path, folder / f"{UNIT.name}.d")
    return {"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin"}


def _analysed(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find("systemd-analyze"), *arguments],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "drop_ins",
    [pytest.param([], id="alone"), *([one] for one in DROP_INS), pytest.param(DROP_INS, id="all")],
    ids=lambda one: one[0].stem if one else "alone",
)
def test_the_unit_is_understood_and_little_exposed(tmp_path: Path, drop_ins: list[Path]) -> None:
    """No unknown key, and an exposure below 2.0 of 10, also with every drop-in that we ship."""
    environment = _copied(tmp_path, drop_ins)
    verified = _analysed(environment, "verify", "--man=no", str(tmp_path / UNIT.name))
    ours = [line for line in verified.stderr.splitlines() if "dicom-ai-node" in line]
    assert not ours
    told = _analysed(environment, "security", "--offline=true", "--no-pager", UNIT.name)
    found = re.search(r"Overall exposure level for dicom-ai-node.service: ([0-9.]+)", told.stdout)
    assert found, told.stderr
    assert float(found[1]) < HIGHEST_EXPOSURE


def test_the_filter_refuses_what_no_node_needs() -> None:
    """And not what torch does: it places memory and threads."""
    refused = refused_calls()
    assert {"ptrace", "mount", "reboot", "init_module", "bpf", "setuid", "keyctl"} <= refused
    assert {"execve", "clone", "fork", "mbind", "sched_setaffinity", "prctl"}.isdisjoint(refused)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_user_and_the_folders_are_understood(tmp_path: Path) -> None:
    """A user without a shell; the configuration for its eyes, the secrets for those of root."""
    (tmp_path / "etc/dicom-ai-node").mkdir(parents=True)
    made = subprocess.run(
        [find("systemd-sysusers"), f"--root={tmp_path}", FOLDER / "sysusers.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (line,) = (tmp_path / "etc/passwd").read_text().splitlines()
    assert line.startswith("dicom-ai-node:x:")
    assert line.endswith("/var/lib/dicom_ai_node:/usr/sbin/nologin")
    (tmp_path / "etc/dicom-ai-node/ae_config.yaml").touch(mode=0o666)
    made = subprocess.run(
        [find("systemd-tmpfiles"), "--create", f"--root={tmp_path}", FOLDER / "tmpfiles.conf"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    modes = {
        name: oct((tmp_path / name).stat().st_mode & 0o777)
        for name in ("etc/dicom-ai-node", "etc/dicom-ai-node/secrets", "var/lib/dicom_ai_node",
                     "etc/dicom-ai-node/ae_config.yaml")
    }  # fmt: skip
    assert list(modes.values()) == ["0o750", "0o700", "0o700", "0o640"], made.stderr
