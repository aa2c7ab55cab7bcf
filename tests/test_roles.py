"""What a role does when something in it breaks: it says so and ends, to be started again."""

import threading
import time
from datetime import UTC

import pytest
from apscheduler.events import EVENT_JOB_ERROR
from apscheduler.schedulers.background import BackgroundScheduler

from dicom_ai_node import roles
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.supervise import Heart
from tests.phantoms import CANARY


def _watched(chore: object) -> tuple[int, threading.Event]:
    stop = threading.Event()
    threading.Timer(4, stop.set).start()
    loop = roles.Loop(chore, stop)  # type: ignore[arg-type]
    return roles._watch([loop], Heart(None), stop), stop


def test_a_loop_goes_on_while_the_database_is_busy() -> None:
    """What may pass by itself ends nothing."""

    def busy() -> None:
        raise OutOfResources("locked")

    status, _ = _watched(busy)
    assert status == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_loop_ends_the_role() -> None:
    """Half a role that looks alive would be worse than one that is started again."""

    def broken() -> None:
        raise ZeroDivisionError

    began = time.monotonic()
    status, _ = _watched(broken)
    assert status == 1
    assert time.monotonic() - began < 3


def test_a_bug_in_a_timer_ends_the_role_and_quotes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A settling that fails for ever would otherwise leave every study waiting, unseen."""

    def trip() -> None:
        raise ValueError(CANARY)

    stop, broken = threading.Event(), threading.Event()
    clockwork = BackgroundScheduler(timezone=UTC)
    clockwork.add_listener(lambda event: roles._bug_in_timer(event, broken), EVENT_JOB_ERROR)
    clockwork.add_job(trip, "interval", seconds=0.2)
    clockwork.start()
    status = roles._watch([roles.Loop(lambda: 0, stop)], Heart(None), stop, broken)
    clockwork.shutdown()
    assert status == 1
    said = capsys.readouterr().err
    assert '"exception": "ValueError at' in said
    assert CANARY not in said
