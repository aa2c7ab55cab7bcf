"""A hospital that sends: scanners of several kinds at once, somebody who pings, a look at the tree."""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_ai_node.selftest.judge import Sent
from tests import phantoms
from tests.receive.rawpeer import (
    EXPLICIT,
    VERIFICATION,
    RawPeer,
    command,
    encoded,
    p_data,
    pdv,
    request,
)

UID_LENGTH = 44
ROOT = "1.2.826.0.1.3680043.8.498."
KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
NO_DATA_SET = 0x0101


def _uid(*numbers: int) -> str:
    """Return a UID of a fixed length, so that it can take the place of another in encoded bytes."""
    tail = "1" + "".join(f"{number:04d}" for number in numbers)
    return ROOT + tail.ljust(UID_LENGTH - len(ROOT), "7")


@dataclass(frozen=True, slots=True)
class Kind:
    """What a scanner makes: one data set as a pattern, and how many of it a study has."""

    name: str
    dataset: Dataset
    per_study: int

    def encoded(self) -> bytes:
        """Return the pattern with UIDs that can be replaced."""
        for place, keyword in enumerate(KEYWORDS):
            setattr(self.dataset, keyword, _uid(9999, place, 9999))
        return encoded(self.dataset)


def kinds() -> Sequence[Kind]:
    """Return the mix: long series of CT, PET and MR, many small studies of everything else."""
    return (
        Kind("CT", phantoms.ct(slices=1)[0], 300),
        Kind("CT", phantoms.ct(slices=1)[0], 120),
        Kind("PT", phantoms.pet(slices=1)[0], 250),
        Kind("US", phantoms.us(), 30),
        Kind("DX", phantoms.dx(), 2),
        Kind("CR", phantoms.cr(), 2),
        Kind("XA", phantoms.xa_run(frames=2), 8),
    )


class Scanner(threading.Thread):
    """Sends study after study, one association each, until so many instances are acknowledged."""

    def __init__(self, port: int, number: int, kind: Kind, instances: int) -> None:
        super().__init__(daemon=True)
        self._port, self._number, self._kind, self._left = port, number, kind, instances
        self.acknowledged: dict[str, Sent] = {}
        self.rejected = 0
        self.refused: list[int] = []
        self.trouble: Exception | None = None

    def run(self) -> None:
        """Send."""
        try:
            self._send()
        except Exception as trouble:  # noqa: BLE001 - told by whoever waits for this thread
            self.trouble = trouble

    def _send(self) -> None:
        pattern, study = self._kind.encoded(), 0
        sop_class = str(self._kind.dataset.SOPClassUID)
        while self._left > 0:
            with RawPeer(self._port) as peer:
                peer.sock.settimeout(120)
                kind, _ = peer.send(request([(3, sop_class, (EXPLICIT,))])).pdu()
                if kind != 2:
                    self.rejected += 1
                    time.sleep(0.2)
                    continue
                for index in range(min(self._kind.per_study, self._left)):
                    self._store(peer, pattern, study, index)
                peer.release()
            study += 1

    def _store(self, peer: RawPeer, pattern: bytes, study: int, index: int) -> None:
        uids = [_uid(self._number, study, 0), _uid(self._number, study, 1)]
        uids.append(_uid(self._number, study, 2, index))
        data = pattern
        for place, uid in enumerate(uids):
            data = data.replace(_uid(9999, place, 9999).encode(), uid.encode())
        sop_class = str(self._kind.dataset.SOPClassUID).encode()
        padded = sop_class + b"\0" * (len(sop_class) % 2)
        status = peer.store(data, instance=uids[2].encode(), sop_class=padded)
        self._left -= 1
        if status == 0:
            self.acknowledged[uids[2]] = Sent(uids[0], hashlib.sha256(data).hexdigest())
        else:
            self.refused.append(status)


def finished(scanners: Sequence[Scanner], seconds: float) -> Mapping[str, Sent]:
    """Wait for all scanners and return what was acknowledged; nothing may have been refused."""
    deadline = time.monotonic() + seconds
    for scanner in scanners:
        scanner.join(max(0.0, deadline - time.monotonic()))
        assert not scanner.is_alive(), f"a scanner still sends after {seconds:.0f} s"
        if scanner.trouble is not None:
            raise scanner.trouble
        assert not scanner.refused, f"refused with {scanner.refused[0]:04X}"
    return {uid: sent for each in scanners for uid, sent in each.acknowledged.items()}


class Pings:
    """C-ECHO, association and all, several times a second, and how long each took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.failed = 0

    @contextmanager
    def going_on(self) -> Iterator["Pings"]:
        """Ping as long as this lasts."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(60)

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            began = time.monotonic()
            try:
                with RawPeer(self._port) as peer:
                    peer.associate()
                    echo = command(0x30, VERIFICATION.encode() + b"\0", data=NO_DATA_SET)
                    assert peer.send(p_data(pdv(echo, 3, context=1))).status() == 0
                    peer.release()
            except (AssertionError, OSError, KeyError):
                self.failed += 1
            else:
                self.seconds.append(time.monotonic() - began)

    def judged(self, most_seconds: float = 0.5) -> str:
        """Return how long they took; of a hundred, 95 have to be quick enough and none may fail."""
        assert not self.failed, f"{self.failed} of {len(self.seconds)} C-ECHO failed"
        each = sorted(self.seconds)
        median, most = each[len(each) // 2], each[int(len(each) * 0.95)]
        assert most < most_seconds, f"a twentieth of C-ECHO took more than {most:.2f} s"
        return f"C-ECHO {1000 * median:.0f} ms, 95 % below {1000 * most:.0f} ms"


@dataclass(frozen=True, slots=True)
class Held:
    """What a process tree holds at a moment."""

    memory_mib: float
    descriptors: int


def held(processes: Sequence[int]) -> Held:
    """Return memory, what is shared being counted once, and descriptors of some processes."""
    memory, descriptors = 0, 0
    for pid in processes:
        with suppress(OSError):
            said = Path(f"/proc/{pid}/smaps_rollup").read_text()
            memory += int(said.split("\nPss:", 1)[1].split()[0])
            descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Held(memory / 1024, descriptors)
