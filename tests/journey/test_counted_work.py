"""What one instance costs a receiver, counted: calls of the kernel, statements, bytes.

Counts do not depend on how busy the machine is. A bound that is passed says that somebody has
begun to do something twice; one that can be lowered is to be lowered.
"""

import json
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dicom_ai_node.domain.uids import derive_uid
from tests.receive.rawpeer import RawPeer, encoded, smallest

ROOT = Path(__file__).parents[2]
FEW, MANY = 20, 120
OBJECT_BYTES = 20_000
"""Of pixel data; the rest is the header."""
SENDER = "CT1"
_ENDS = 5
"""What the end of an association adds may be counted in one run and come too late in the other."""

_RECEIVER = textwrap.dedent("""
    import json, sys, threading
    from collections import Counter
    from pathlib import Path
    import structlog
    from dicom_ai_node import compose
    from dicom_ai_node.receive.server import Entrance, listening_socket
    from sqlalchemy import Engine, event

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    said = Counter()
    @event.listens_for(Engine, "connect")
    def connected(connection, _):
        connection.set_trace_callback(lambda sql: said.update([sql.split()[0]]))

    config = compose.settings(Path(sys.argv[1]))
    compose.prepare(config)
    listener = compose.listener(config)
    listening = listening_socket("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    def stop():
        sys.stdin.readline()
        io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        print(json.dumps({"said": said, "written": int(io["wchar"])}), flush=True)
        listener.close(1)
    threading.Thread(target=stop).start()
    listener.serve([Entrance(listening)])
""")


@dataclass(frozen=True)
class Cost:
    """What one run has cost: calls by name, statements by their first word, bytes written."""

    calls: dict[str, int]
    statements: dict[str, int]
    written_bytes: int


def received(folder: Path, count: int) -> Cost:
    """Send so many instances of one series to a receiver and count what it does."""
    folder.mkdir()
    config = folder / "ae_config.yaml"
    config.write_text(
        f"receive: {{ae_title: AI_NODE, port: 11112, accept_from: [{SENDER}]}}\n"
        "store: {folder: ./store, min_free_gb: 0}\n"
        "routes: [{name: none, when: {Modality: SR}, run: segment, model: ct_tissue,"
        " write: segmentation, to: []}]\n"
    )
    strace = ("strace", "-f", "-c", "-qq", "-o", str(folder / "calls"))
    with subprocess.Popen(
        [*strace, sys.executable, "-c", _RECEIVER, str(config)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:  # fmt: skip
        try:
            said = exchanged(process, count)
        finally:
            process.kill()
    table = re.findall(r"^\s*\S+\s+\S+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$",
                       (folder / "calls").read_text(), re.MULTILINE)  # fmt: skip
    return Cost(
        calls={name: int(calls) for calls, name in table if name != "total"},
        statements=said["said"],
        written_bytes=said["written"],
    )


def exchanged(process: "subprocess.Popen[str]", count: int) -> dict[str, Any]:
    """Send so many instances, and return what the receiver says in the end."""
    assert process.stdout is not None
    with RawPeer(int(process.stdout.readline())).associate() as peer:
        for number in range(count):
            uid = derive_uid("counted", str(number))
            dataset = smallest(SOPInstanceUID=uid)
            dataset.add_new(0x7FE00010, "OW", bytes(OBJECT_BYTES))
            assert peer.store(encoded(dataset), instance=uid.encode()) == 0x0000
        peer.release()
    said, _ = process.communicate("\n", timeout=60)
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def each(tmp_path_factory: pytest.TempPathFactory) -> Cost:
    """Return the cost of one more instance of a series that is open already."""
    try:
        subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("strace does not run here")
    folder = tmp_path_factory.mktemp("counted")
    few, many = (received(folder / str(count), count) for count in (FEW, MANY))

    def more(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
        return {name: count - one.get(name, 0) for name, count in other.items()}

    return Cost(
        calls=more(few.calls, many.calls),
        statements=more(few.statements, many.statements),
        written_bytes=many.written_bytes - few.written_bytes,
    )


def test_each_instance_is_synced_once_and_no_more(each: Cost) -> None:
    """Its file, the folder of that, and the log of the ledger: what success means, no more."""
    instances = MANY - FEW
    assert each.calls["fsync"] == 2 * instances
    assert instances - _ENDS <= each.calls["fdatasync"] <= instances + _ENDS


def test_an_instance_costs_few_statements(each: Cost) -> None:
    """Two to know what is there, three to write, and the transaction around them."""
    assert sum(each.statements.values()) <= 7 * (MANY - FEW) + _ENDS


def test_an_instance_costs_few_calls_of_the_kernel(each: Cost) -> None:
    """Every one of them takes its time, and so does waking another thread."""
    assert sum(each.calls.values()) <= 68 * (MANY - FEW)
    assert each.calls["openat"] <= 6 * (MANY - FEW)
    assert each.calls["futex"] <= MANY - FEW


def test_an_instance_is_written_once(each: Cost) -> None:
    """Besides it, the ledger writes some pages ahead, of 4 KB each."""
    pages = each.written_bytes / (MANY - FEW) - OBJECT_BYTES
    assert pages <= 12 * 4096
