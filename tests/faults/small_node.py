"""The runner's end of the small node of `entry`, a modality that remembers answers, and a PACS."""

import contextlib
import hashlib
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dicom_ai_node import compose
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.job import ENDED, Job, Stage
from dicom_ai_node.domain.uids import AETitle, StudyInstanceUID, derive_uid
from dicom_ai_node.selftest.judge import MARK, Came, Evidence, Sent, as_sent, objections, processes
from dicom_ai_node.store.ledger import SqlLedger
from tests.peers.archive import Archive, archive
from tests.peers.tools import free_port
from tests.phantoms import CANARY, ct, write
from tests.receive.webdesk import TYPE, body, values

ROOT = Path(__file__).parents[2]
REFERENCED, INSTANCE = "00081199", "00081155"
NAME = CANARY.split("^", maxsplit=1)[0].encode()
PATIENCE_SECONDS = 300.0
"""How long a busy machine may take for what an idle one does in a second or two."""

PACS_TAKES = [(SecondaryCaptureImageStorage, [ExplicitVRLittleEndian])]


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:  # noqa: ANN401 - what it returns
    """Wait for something to become true and return it; say what did not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}")


class Pacs:
    """An archive and the statuses that it has answered."""

    def __init__(self) -> None:
        self.port = free_port()
        self.answer: Callable[[int], int] = lambda _: 0x0000
        self._seen: list[tuple[Archive, dict[int, int]]] = []

    @contextmanager
    def up(self, **behaviour: Any) -> Iterator[Archive]:  # noqa: ANN401 - see `archive`
        """Run it, always on the same port; it remembers what it has taken before."""
        statuses: dict[int, int] = {}

        def answer(number: int) -> int:
            statuses[number] = self.answer(number)
            return statuses[number]

        with archive(PACS_TAKES, answer, port=self.port, **behaviour) as seen:
            self._seen.append((seen, statuses))
            yield seen

    def asked(self) -> int:
        """Return how many C-STORE requests have come."""
        return sum(len(seen.uids) for seen, _ in self._seen)

    def came(self) -> list[Came]:
        """Return what it has taken: what it answered with success or a warning."""
        return [
            Came(uid, hashlib.sha256(data).hexdigest())
            for seen, statuses in self._seen
            for number, (uid, data) in enumerate(zip(seen.uids, seen.data, strict=True))
            if statuses.get(number, 0) == 0x0000 or statuses.get(number, 0) >> 12 == 0xB
        ]


class SmallNode:
    """A node of one process, its log, its modality."""

    def __init__(
        self,
        folder: Path,
        destinations: Mapping[str, str],
        *,
        store: str = "",
        receive: str = "",
        infer: str = "",
        min_free_gb: float = 0,
        store_folder: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port, self.http_port = free_port(), free_port()
        self.config, self.log, self.clock = (
            folder / "ae_config.yaml",
            folder / "node.log",
            folder / "clock",
        )
        self.clock.write_text("0")
        self.mark = secrets.token_hex(8)
        self.answered: dict[str, Sent] = {}
        self.was_cut = False
        self.process: subprocess.Popen[bytes] | None = None
        self._open_files: tuple[int, int] | None = None
        names = ", ".join(destinations)
        where = "".join(f"  {name}: {said}\n" for name, said in destinations.items())
        self.config.write_text(
            f"receive: {{ae_title: AI_NODE, host: 127.0.0.1, port: {self.port}, "
            f"accept_from: [SENDER, CT1]{receive}}}\n"
            f"store: {{folder: {store_folder or folder / 'store'}, min_free_gb: {min_free_gb}{store}}}\n"
            "complete: {quiet_seconds: 30, released_quiet_seconds: 0.3}\n"
            f"infer: {{devices: [cpu], lease_seconds: 3{infer}}}\n"
            f"serve: {{port: {self.http_port}, login: none}}\n"
            "routes:\n  - {name: route, when: {Modality: CT}, run: segment, model: ct_tissue, "
            f"write: segmentation, to: [{names}]}}\n"
            f"destinations:\n{where}"
        )

    def start(self, *, crash: str = "", power: bool = False, plant: str = "") -> "SmallNode":
        """Start it and wait until it listens."""
        offset = self.log.stat().st_size if self.log.exists() else 0
        environment = {
            **os.environ, MARK: self.mark, "DAN_CRASH": crash, "DAN_POWER": "1" if power else "",
            "DAN_PLANT": plant, "DAN_CLOCK": str(self.clock), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.entry", str(self.config)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env=environment,
            )  # fmt: skip

        def is_ready() -> bool:
            assert self.is_running, self.log.read_text()[offset:][-2000:]
            return b"node_ready" in self.log.read_bytes()[offset:]

        until(is_ready, "the node listens")
        return self

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        assert self.process is not None
        return self.process.pid

    def died(self) -> None:
        """Wait until it has been killed, by itself or by somebody."""
        self.was_cut = True
        assert self.process is not None
        until(lambda: not self.is_running, "the node dies where it should")
        assert self.process.returncode == -signal.SIGKILL, self.process.returncode

    def kill(self) -> None:
        """Kill -9, now."""
        assert self.process is not None
        self.process.kill()
        self.died()

    def stop(self) -> int:
        """Stop it in good order and return the exit status."""
        assert self.process is not None
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """End whatever is left, in any case."""
        if self.is_running:
            assert self.process is not None
            self.process.kill()
            self.process.wait(10)
        for pid in processes(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ahead(self, seconds: float) -> None:
        """Let the clock of the node be ahead of ours by so many seconds."""
        other = self.clock.with_suffix(".new")
        other.write_text(str(seconds))
        other.replace(self.clock)

    @property
    def ledger(self) -> SqlLedger:
        """The ledger, as another process sees it."""
        return compose.ledger(compose.settings(self.config))

    @contextmanager
    def looking(self) -> Iterator[SqlLedger]:
        """Open the ledger and close it again."""
        ledger = self.ledger
        try:
            yield ledger
        finally:
            ledger.database.close()

    def jobs(self) -> Sequence[Job]:
        """Return the jobs of the node."""
        with self.looking() as ledger:
            return ledger.jobs((), 10_000)

    def count(self, what: str) -> int:
        """Return how many there are of what; see the ledger."""
        with self.looking() as ledger:
            return ledger.counts().get(what, 0)

    def listed(self, study: str) -> list[str]:
        """Return the SOP Instance UIDs that the ledger lists of a study."""
        with self.looking() as ledger:
            found = ledger.study(StudyInstanceUID(study)).series
            return [str(each.sop_instance_uid) for one in found for each in one.instances]

    def ended(self, count: int) -> Sequence[Job]:
        """Wait until there are `count` jobs and all have ended, and return them."""

        def all_ended() -> Sequence[Job]:
            jobs = self.jobs()
            return jobs if len(jobs) >= count and all(j.stage in ENDED for j in jobs) else ()

        try:
            return until(all_ended, f"{count} job(s) have ended")  # type: ignore[no-any-return]
        except AssertionError as late:
            told = [f"{job.name} {job.stage} {job.note}" for job in self.jobs()]
            raise AssertionError(f"{late}; {told}") from None

    def open_files(self) -> int:
        """Return how many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names do

    def resident_mib(self) -> float:
        """Return the memory that is in use."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096 / 2**20

    @contextmanager
    def leaking_nothing(self) -> Iterator[None]:
        """Count the descriptors before and, when it has settled, after."""
        from dicom_ai_node.selftest.judge import SLACK  # noqa: PLC0415 - only here

        before = self.open_files()
        yield
        with contextlib.suppress(AssertionError):
            until(lambda: self.open_files() <= before + SLACK, "descriptors are closed", 20)
        self._open_files = (before, self.open_files())

    def sender(self, *, seconds: float = 30.0) -> DimseSender:
        """Return a way for a modality to send to it."""
        peer = DimsePeer(
            ae_title=AETitle("AI_NODE"), host="127.0.0.1", port=self.port,
            calling_ae_title=AETitle("SENDER"),
        )  # fmt: skip
        return DimseSender(peer, connect_seconds=10, dimse_seconds=seconds)

    def send(self, paths: Sequence[Path]) -> Sequence[NodeError | str]:
        """Send as a modality does, by DIMSE, and remember what was answered with success."""
        answers = self.sender().send(paths)
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, str):
                self.answered.setdefault(*as_sent(path))
        return answers

    def stow(self, paths: Sequence[Path]) -> httpx.Response | None:
        """Send by STOW-RS and remember what was answered with success; `None` is no answer."""
        by_uid = {
            str(dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths
        }
        url = f"http://127.0.0.1:{self.http_port}/dicom-web/studies"
        content = body(*(path.read_bytes() for path in paths))
        try:
            answer = httpx.post(
                url, content=content, headers={"Content-Type": TYPE}, trust_env=False, timeout=60
            )
        except httpx.HTTPError:
            return None
        if answer.status_code in {200, 202}:
            for uid in values(answer, REFERENCED, INSTANCE):
                self.answered.setdefault(*as_sent(by_uid[uid]))
        return answer

    def evidence(self, pacs: Mapping[str, Pacs], **more: Any) -> Evidence:  # noqa: ANN401
        """Return what has been seen, for the checker."""
        return Evidence(
            config=self.config, mark=self.mark, logs=[self.log], name=NAME, answered=self.answered,
            destinations={name: each.came() for name, each in pacs.items()},
            **{"was_cut": self.was_cut, "open_files": self._open_files, **more},
        )  # fmt: skip

    def judged(self, pacs: Mapping[str, Pacs], **more: Any) -> None:  # noqa: ANN401
        """Stop the node, if it runs, and let the checker decide."""
        if self.is_running:
            assert self.stop() == 0, "it did not stop in good order"
        found = objections(self.evidence(pacs, **more))
        assert not found, "; ".join(found[:5])


def series(
    folder: Path, name: str, slices: int = 4, description: str = "", **changes: object
) -> list[Path]:
    """Write a CT series of a study of its own, named after `name`, and return its files."""
    images = ct(
        slices=slices, rows=16, columns=16,
        StudyInstanceUID=derive_uid("faults", name, "study"),
        SeriesInstanceUID=derive_uid("faults", name),
        SeriesDescription=description or None, **changes,
    )  # fmt: skip
    return write(images, folder / "sent" / name)


def study_of(path: Path) -> str:
    """Return the Study Instance UID of a file."""
    return str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def chance(seed: int, row: int) -> random.Random:
    """Return the dice of a row: the same seed, the same throws."""
    return random.Random(f"{seed} {row}")


__all__ = ["Pacs", "SmallNode", "Stage", "chance", "series", "study_of", "until"]
