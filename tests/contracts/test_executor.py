"""What every executor owes the ledger, tried with real processes that really die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from dicom_ai_node import log
from dicom_ai_node.domain.devices import GpuSeen
from dicom_ai_node.domain.errors import (
    Ended,
    ModelUnusable,
    NodeError,
    OutOfResources,
    Rejected,
    TaskFailed,
    TryAgain,
)
from dicom_ai_node.domain.executor import Executor
from dicom_ai_node.domain.orders import Outcome
from dicom_ai_node.domain.progress import HowFar, Phase
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.executor import LocalProcesses
from dicom_ai_node.store.bell import Bell
from tests.contracts.mischief import (
    Honest,
    attempt,
    dies_while_loading,
    loads_with_a_broken_model,
    never_loads,
    raises_while_loading,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def two() -> Iterator[LocalProcesses]:
    """Return an executor with two slots; workers that die are replaced between the tests."""
    executor = LocalProcesses(["cpu", "cuda:1"], Honest, start_seconds=60)
    yield executor
    executor.close()


def _eventually(executor: Executor, holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        executor.poll(0.2)


def _outcomes(executor: Executor, count: int, seconds: float = 60) -> Sequence[Outcome]:
    outcomes: list[Outcome] = []
    deadline = time.monotonic() + seconds
    while len(outcomes) < count:
        assert time.monotonic() < deadline, "the attempts did not end in time"
        outcomes += executor.poll(0.5)
    return outcomes


def _outcome(executor: Executor, deed: str, folder: Path, limit_seconds: float = 30) -> Outcome:
    _eventually(executor, lambda: executor.free() > 0)
    executor.start(attempt(deed, folder, limit_seconds))
    (outcome,) = _outcomes(executor, 1)
    return outcome


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _gone(pids: Sequence[int], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(_is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_is_alive, pids))


def test_an_attempt_that_returns_is_ok(two: LocalProcesses, tmp_path: Path) -> None:
    """The worker has written what it made, and the outcome carries the attempt."""
    outcome = _outcome(two, "work", tmp_path)
    assert outcome.ended is Ended.OK
    assert outcome.error is None
    assert outcome.attempt == attempt("work", tmp_path)
    assert outcome.seconds > 0
    assert (tmp_path / "done").exists()


def test_a_worker_sees_its_own_device_only(two: LocalProcesses, tmp_path: Path) -> None:
    """Two models on two GPUs do not meet: inside, each device is the first and only one."""
    _eventually(two, lambda: two.free() == 2)
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        two.start(attempt("work", folder))
    _outcomes(two, 2)
    seen = {(folder / "done").read_text() for folder in folders}
    assert seen == {"cpu sees ''", "cuda:0 sees '1'"}


@pytest.mark.parametrize(
    ("deed", "error", "message"),
    [
        pytest.param(
            "reject",
            Rejected,
            "IN_COVERAGE: slices is 3, at least 8 is required",
            id="a rejection keeps its code",
        ),
        pytest.param(
            "vendor",
            TryAgain,
            "the licence server is busy",
            id="an error that only the worker knows comes as the nearest one we know",
        ),
        pytest.param("memory", OutOfResources, "no memory left", id="no memory may pass"),
        pytest.param(
            "quote", TaskFailed, "ValueError at slot.py", id="a foreign error is type and lines"
        ),
    ],
)
def test_an_attempt_that_raises_says_what(
    two: LocalProcesses, tmp_path: Path, deed: str, error: type[NodeError], message: str
) -> None:
    """An error comes back as itself, and never with a message that could quote a patient."""
    outcome = _outcome(two, deed, tmp_path)
    assert outcome.ended is Ended.ERROR
    assert type(outcome.error) is error
    assert message in str(outcome.error)
    assert "ZZCANARY" not in str(outcome.error)
    if isinstance(outcome.error, Rejected):
        assert outcome.error.code is RejectCode.IN_COVERAGE


def test_a_worker_gets_no_more_memory_than_there_is(tmp_path: Path) -> None:
    """What decodes a lie about its size ends its attempt, and neither its worker nor the machine."""
    executor = LocalProcesses(["cpu"], Honest, start_seconds=60)
    try:
        outcome = _outcome(executor, "greedy", tmp_path)
        assert outcome.ended is Ended.ERROR
        assert isinstance(outcome.error, OutOfResources)
        pid = (tmp_path / "greedy.pid").read_text()
        assert _outcome(executor, "work", tmp_path).ended is Ended.OK
        assert (tmp_path / "work.pid").read_text() == pid
    finally:
        executor.close()


@pytest.mark.parametrize("deed", ["segfault", "exit", "vanish", "kill"])
def test_a_dead_worker_is_lost_and_replaced(two: LocalProcesses, tmp_path: Path, deed: str) -> None:
    """However a worker dies, the attempt is lost, its neighbour goes on, and a new one comes."""
    _eventually(two, lambda: two.free() == 2)
    two.start(attempt(deed, tmp_path))
    two.start(attempt("nap", tmp_path))
    ended = {outcome.attempt.order.kind: outcome.ended for outcome in _outcomes(two, 2)}
    assert ended == {deed: Ended.LOST, "nap": Ended.OK}
    assert _outcome(two, "work", tmp_path).ended is Ended.OK


def test_a_hang_ends_at_its_limit(two: LocalProcesses, tmp_path: Path) -> None:
    """A worker that hangs is ended together with everything it has started."""
    outcome = _outcome(two, "child", tmp_path, limit_seconds=1.0)
    pids = [int((tmp_path / name).read_text()) for name in ("child.pid",)]
    assert outcome.ended is Ended.TIMEOUT
    assert outcome.seconds >= 1.0
    assert _gone(pids)
    assert _outcome(two, "work", tmp_path).ended is Ended.OK


def test_never_more_runs_than_was_free(two: LocalProcesses, tmp_path: Path) -> None:
    """The executor does not queue: what does not fit is refused, and the ledger keeps it."""
    _eventually(two, lambda: two.free() == 2)
    two.start(attempt("nap", tmp_path))
    two.start(attempt("nap", tmp_path))
    assert two.free() == 0
    assert len(two.running()) == 2
    with pytest.raises(OutOfResources):
        two.start(attempt("nap", tmp_path))
    _outcomes(two, 2)
    assert two.running() == []


def test_an_attempt_says_how_far_it_is(two: LocalProcesses, tmp_path: Path) -> None:
    """It is heard while the attempt runs, and of no attempt that has ended."""
    _eventually(two, lambda: two.free() > 0)
    two.start(attempt("long", tmp_path))
    heard: list[HowFar] = []

    def is_on_its_way() -> bool:
        heard.extend(two.progress())
        return any(0 < told.progress.part <= 0.5 for told in heard)

    _eventually(two, is_on_its_way)
    (tmp_path / "seen").touch()
    assert {(told.job, told.fence, told.progress.phase) for told in heard} == {
        ("1" * 64, 1, Phase.RUNNING)
    }
    (outcome,) = _outcomes(two, 1)
    assert outcome.ended is Ended.OK
    assert two.progress() == []


def test_who_says_much_waits_for_nobody(two: LocalProcesses, tmp_path: Path) -> None:
    """A dispatcher that listens to nobody keeps no worker waiting, and still hears the end."""
    _eventually(two, lambda: two.free() > 0)
    two.start(attempt("chatter", tmp_path))
    deadline = time.monotonic() + 30
    while not (tmp_path / "done").exists():
        assert time.monotonic() < deadline, "the worker waits for somebody to listen"
        time.sleep(0.05)
    (outcome,) = _outcomes(two, 1)
    assert outcome.ended is Ended.OK


def test_what_was_said_before_a_death_hides_no_death(two: LocalProcesses, tmp_path: Path) -> None:
    """The message in the pipe is read, and then the worker is found dead all the same."""
    assert _outcome(two, "tell and vanish", tmp_path).ended is Ended.LOST
    assert _outcome(two, "work", tmp_path).ended is Ended.OK


def test_slots_say_how_much_they_have_worked(two: LocalProcesses, tmp_path: Path) -> None:
    """Every second of every attempt counts, of the one that runs, too; it never shrinks."""
    before = sum(slot.busy_seconds for slot in two.slots_seen())
    took = _outcome(two, "nap", tmp_path).seconds
    between = sum(slot.busy_seconds for slot in two.slots_seen())
    assert between - before == pytest.approx(took)
    two.start(attempt("nap", tmp_path))
    time.sleep(0.1)
    assert sum(slot.busy_seconds for slot in two.slots_seen()) >= between + 0.1
    _outcomes(two, 1)
    assert {slot.device for slot in two.slots_seen()} == {"cpu", "cuda:1"}


def test_a_worker_says_how_full_its_gpu_is(tmp_path: Path) -> None:
    """It has the GPU open already; who asks for it in another process would take memory for it."""
    executor = LocalProcesses(["cuda:0"], Honest)
    try:
        _outcome(executor, "gpu", tmp_path)
        (slot,) = executor.slots_seen()
        assert slot.gpu == GpuSeen(uuid="GPU-1", used_bytes=2**30, bytes=2**34)
    finally:
        executor.close()


def test_who_polls_is_called_away(tmp_path: Path) -> None:
    """There is something to start: a free worker does not wait until the others have ended."""
    bell = Bell(tmp_path / "infer")
    executor = LocalProcesses(["cpu", "cpu"], Honest, ear=bell)
    try:
        _eventually(executor, lambda: executor.free() == 2)
        executor.start(attempt("long", tmp_path, 60))
        bell.ring()
        began = time.monotonic()
        assert executor.poll(30) == ()
        assert executor.free() == 1
        assert time.monotonic() - began < 10
    finally:
        executor.close()
        bell.close()


def test_a_model_that_fails_its_test_is_named(two: LocalProcesses, tmp_path: Path) -> None:
    """What a worker finds unusable is known to the dispatcher after the attempt."""
    assert "liver" not in two.unusable()
    outcome = _outcome(two, "refuse", tmp_path)
    assert isinstance(outcome.error, ModelUnusable)
    assert two.unusable() == {"liver": "Dice 0.1"}


def test_a_model_that_fails_at_start_is_named() -> None:
    """A golden test that fails while loading is known before the first attempt."""
    executor = LocalProcesses(["cpu"], loads_with_a_broken_model)
    try:
        _eventually(executor, lambda: executor.free() == 1)
        assert executor.unusable() == {"liver": "Dice 0.1"}
    finally:
        executor.close()


def test_a_worker_that_dies_while_loading_is_tried_again_with_pauses(tmp_path: Path) -> None:
    """A crash loop does not spin: nothing is free meanwhile, and each pause is longer."""
    starts = tmp_path / "starts"
    factory = partial(dies_while_loading, starts)
    executor = LocalProcesses(["cpu"], factory, pause_seconds=0.5)
    try:
        _eventually(executor, lambda: starts.exists() and executor.free() == 1)
        times = [float(line) for line in starts.read_text().splitlines()]
        assert len(times) == 3
        assert times[1] - times[0] >= 0.5
        assert times[2] - times[1] >= 1.0
        assert _outcome(executor, "work", tmp_path).ended is Ended.OK
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("factory", "start_seconds"),
    [
        pytest.param(raises_while_loading, 60.0, id="it raises"),
        pytest.param(never_loads, 1.0, id="it never gets ready"),
    ],
)
def test_a_worker_that_cannot_load_takes_no_work(
    factory: Callable[[str], Honest],
    start_seconds: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The operator reads which device it was, and nothing is claimed for it."""
    log.configure()  # anew, because pytest has just put another standard error in place
    executor = LocalProcesses(["cpu"], factory, start_seconds, pause_seconds=60)
    said = ""
    try:
        deadline = time.monotonic() + 30
        while "worker_not_ready" not in said and time.monotonic() < deadline:
            assert not executor.poll(0.2)
            said += "".join(capsys.readouterr())
        assert '"device": "cpu"' in said
        assert "ZZCANARY" not in said
        assert executor.free() == 0
    finally:
        executor.close()


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", id="killed"),
        pytest.param("sys.exit(0)", id="ended without closing"),
    ],
)
def test_no_worker_outlives_its_dispatcher(tmp_path: Path, ending: str) -> None:
    """However the dispatcher ends, a busy worker, which would still hold the GPU, ends too."""
    script = tmp_path / "dispatcher.py"
    script.write_text(
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from dicom_ai_node.infer.executor import LocalProcesses\n"
        "from tests.contracts.mischief import Honest, attempt\n"
        "if __name__ == '__main__':\n"
        "    folder = Path(sys.argv[1])\n"
        "    executor = LocalProcesses(['cpu'], Honest)\n"
        "    while not executor.free():\n"
        "        executor.poll(0.2)\n"
        "    executor.start(attempt('hang', folder))\n"
        "    while not (folder / 'hang.pid').exists() or not (folder / 'hang.pid').read_text():\n"
        "        time.sleep(0.05)\n"
        f"    {ending}\n"
    )
    subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert _gone([int((tmp_path / "hang.pid").read_text())])


def test_a_worker_survives_the_thread_that_made_the_executor(tmp_path: Path) -> None:
    """The kernel ties a death signal to a thread; ours must not be a thread that comes and goes."""
    script = tmp_path / "dispatcher.py"
    script.write_text(
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from dicom_ai_node.infer.executor import LocalProcesses\n"
        "from tests.contracts.mischief import Honest, attempt\n"
        "if __name__ == '__main__':\n"
        "    made = []\n"
        "    maker = threading.Thread(target=lambda: made.append(LocalProcesses(['cpu'], Honest)))\n"
        "    maker.start()\n"
        "    maker.join()\n"
        "    executor = made[0]\n"
        "    while not executor.free():\n"
        "        executor.poll(0.2)\n"
        "    time.sleep(0.3)\n"
        "    executor.start(attempt('nap', Path(sys.argv[1])))\n"
        "    ended = []\n"
        "    while not ended:\n"
        "        ended = executor.poll(1)\n"
        "    executor.close()\n"
        "    print(ended[0].ended)\n"
    )
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == Ended.OK


def test_much_output_does_not_block_and_does_not_speak(tmp_path: Path) -> None:
    """A library that prints ten megabytes, patients included, neither stops nor is heard."""
    script = tmp_path / "dispatcher.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from dicom_ai_node.infer.executor import LocalProcesses\n"
        "from tests.contracts.mischief import Honest, attempt\n"
        "if __name__ == '__main__':\n"
        "    executor = LocalProcesses(['cpu'], Honest)\n"
        "    while not executor.free():\n"
        "        executor.poll(0.2)\n"
        "    executor.start(attempt('flood', Path(sys.argv[1])))\n"
        "    ended = []\n"
        "    while not ended:\n"
        "        ended = executor.poll(1)\n"
        "    executor.close()\n"
        "    (Path(sys.argv[1]) / 'ended').write_text(ended[0].ended)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,  # a pipe that nobody empties until the end
        stderr=subprocess.PIPE,
    ) as dispatcher:
        assert dispatcher.wait(60) == 0
        heard = b"".join(pipe.read() for pipe in (dispatcher.stdout, dispatcher.stderr) if pipe)
    assert (tmp_path / "ended").read_text() == Ended.OK
    assert b"ZZCANARY" not in heard


def test_closing_ends_all(tmp_path: Path) -> None:
    """After `close` nothing of ours runs, not even an attempt that would take for ever."""
    executor = LocalProcesses(["cpu", "cpu"], Honest)
    _eventually(executor, lambda: executor.free() == 2)
    executor.start(attempt("child", tmp_path))
    _eventually(executor, (tmp_path / "child.pid").exists)
    time.sleep(0.2)
    pids = [int((tmp_path / name).read_text()) for name in ("child.pid",)]
    executor.close()
    assert _gone(pids)
    assert executor.free() == 0
    assert not executor.poll(0)


def test_a_worker_does_not_heed_a_termination_meant_for_the_node(tmp_path: Path) -> None:
    """A service manager signals the whole group; the dispatcher decides whether an attempt may finish."""
    executor = LocalProcesses(["cpu"], Honest)
    try:
        _eventually(executor, lambda: executor.free() == 1)
        executor.start(attempt("nap", tmp_path))
        _eventually(executor, (tmp_path / "nap.pid").exists)
        time.sleep(0.05)
        os.kill(int((tmp_path / "nap.pid").read_text()), signal.SIGTERM)
        (outcome,) = _outcomes(executor, 1)
        assert outcome.ended is Ended.OK
    finally:
        executor.close()
