"""Logs that an operator can grep and that cannot name a patient."""

import json
import os
import subprocess
import sys

import pytest
import structlog

from dicom_ai_node import log
from tests.phantoms import CANARY

COMPLAIN = """
import logging, os, warnings
from dicom_ai_node import log
from pydicom.dataset import Dataset
log.configure()
log.silence_libraries()
logging.getLogger("pydicom").warning(os.environ["CANARY"])
logging.getLogger("any.other").warning(os.environ["CANARY"])
warnings.warn(os.environ["CANARY"])
Dataset().StudyInstanceUID = os.environ["CANARY"]
print("did it")
"""
CRASH = """
import os, threading
from dicom_ai_node import log
log.configure()
log.silence_libraries()
def crash():
    raise ValueError(os.environ["CANARY"])
thread = threading.Thread(target=crash)
thread.start()
thread.join()
crash()
"""


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_key_that_is_not_on_the_list_is_withheld(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever a line of code wants to log, only what may be said is said."""
    structlog.get_logger().info("leg_done", job="abc", PatientName=CANARY)
    (line,) = _lines(capsys)
    assert line["job"] == "abc"
    assert line["withheld"] == ["PatientName"]
    assert CANARY not in json.dumps(line)


def test_an_exception_is_its_type_and_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """The message of a foreign exception may quote the data set, so it is never logged."""
    try:
        raise ValueError(CANARY)
    except ValueError:
        structlog.get_logger().exception("bug")
    (line,) = _lines(capsys)
    assert str(line["exception"]).startswith("ValueError at test_log.py:")
    assert CANARY not in json.dumps(line)


def test_every_line_has_a_time_and_a_level(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object a line, in UTC."""
    structlog.get_logger().warning("lease_expired")
    (line,) = _lines(capsys)
    assert line["level"] == "warning"
    assert str(line["timestamp"]).endswith("Z")


def test_the_operator_can_ask_for_less(capsys: pytest.CaptureFixture[str]) -> None:
    """Debug lines are silent unless they are wanted."""
    log.configure()
    structlog.get_logger().debug("instances_recorded")
    assert not _lines(capsys)


def test_libraries_are_silent_in_a_process_of_the_node() -> None:
    """pydicom quotes the value that it complains about: nothing of it reaches standard error."""
    said = subprocess.run(
        [sys.executable, "-c", COMPLAIN], capture_output=True, text=True, check=True,
        env={**os.environ, "CANARY": CANARY},
    )  # fmt: skip
    assert said.stdout == "did it\n"
    assert said.stderr == ""


def test_a_crash_of_the_node_quotes_nothing() -> None:
    """The traceback that Python prints would hold the message; ours holds type and lines."""
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH], capture_output=True, text=True, check=False,
        env={**os.environ, "CANARY": CANARY},
    )  # fmt: skip
    assert crashed.returncode == 1
    assert [json.loads(line)["event"] for line in crashed.stderr.splitlines()] == ["bug", "bug"]
    assert CANARY not in crashed.stderr


FULL = """
import os, sys
from dicom_ai_node import log
import structlog
sys.stderr = open("/dev/full", "w", buffering=1)
log.configure()
for _ in range(100):
    structlog.get_logger().warning("instance_not_taken", status="0xA700")
print("answered", flush=True)
os._exit(0)
"""


def test_a_full_disk_below_the_log_keeps_nobody_from_an_answer() -> None:
    """A line is lost then, and nothing else: the sender hears 0xA700 and not silence."""
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, check=True)
    assert done.stdout == "answered\n"
