"""A backup of a node under load, restored on another machine while the first one is gone."""

import threading
from pathlib import Path

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.audit import Actor
from tests.faults.small_node import Pacs, SmallNode, series, until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]


def test_a_node_that_is_restored_goes_on(tmp_path: Path) -> None:
    """What was acknowledged before the backup is there, every job ends, and no UID is another.

    After it, the modalities send everything once more, as they do when a node was lost: what the
    first node had delivered after the backup comes out under the same UIDs.
    """
    pacs = Pacs()
    where = {"pacs": f"{{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}}}"}
    first, second = SmallNode(tmp_path / "first", where), SmallNode(tmp_path / "second", where)
    sent: list[list[Path]] = []
    stop = threading.Event()

    def modality() -> None:
        while not stop.is_set():
            # One of three takes long, so that something is always at work.
            slow = "SLOW" if len(sent) % 3 == 2 else ""
            files = series(tmp_path, f"number{len(sent)}", description=slow)
            first.send(files)
            sent.append(files)
            stop.wait(0.3)

    load = threading.Thread(target=modality)
    try:
        with pacs.up():
            first.start()
            load.start()
            until(lambda: len(sent) > 3 and pacs.came(), "series come in, results go out")
            acknowledged = dict(first.answered)
            manifest, untold = compose.backup(first.config, tmp_path / "safe", Actor(name="ann"))
            until(lambda: len(first.answered) > len(acknowledged), "it goes on meanwhile")
            stop.set()
            load.join()
            first.kill()
            assert (manifest.missing, untold) == ((), "")
            before = {each.sop_instance_uid: each.sha256 for each in pacs.came()}

            compose.restored(tmp_path / "safe", second.config, Actor(name="ann"))
            second.answered, second.was_cut = acknowledged, True
            second.start()
            second.ended(1)
            for files in sent:
                assert all(isinstance(answer, str) for answer in second.send(files))
            second.ended(len(sent))
            second.judged({"pacs": pacs}, jobs=len(sent))
            after = {each.sop_instance_uid: each.sha256 for each in pacs.came()}
            assert len(after) == len(sent), "one result each, whoever of the two has sent it"
            assert after.items() >= before.items()
    finally:
        stop.set()
        first.end()
        second.end()
