"""A node that holds studies and listens: everything is real, from the port to the database."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from tests.peers.tools import free_port
from tests.phantoms import write

SENDER, VIEWER = "CT1", "VIEWER"
ACCEPT = f"[{SENDER}, {{ae_title: {VIEWER}, address: 127.0.0.0/8, may: [query]}}]"


@dataclass
class Holding:
    """A node on loopback. Its database is no `node.db`: an index of headers names patients."""

    config: NodeConfig
    port: int

    def take(self, datasets: Iterable[Dataset]) -> None:
        """Send instances to it as a scanner does, from files: they are not encoded again."""
        images = list(datasets)
        ae = AE(SENDER)
        pairs = {(it.SOPClassUID, it.file_meta.TransferSyntaxUID) for it in images}
        contexts = [build_context(*pair) for pair in pairs]
        association = ae.associate("127.0.0.1", self.port, contexts, ae_title="AI_NODE")
        assert association.is_established
        for file in write(images, self.config.store.folder / "sent"):
            assert association.send_c_store(file).Status == 0x0000
        association.release()


@contextmanager
def holding(
    folder: Path,
    *,
    accept_from: str = ACCEPT,
    destinations: Mapping[str, int] | None = None,
    receive: str = "",
    proof: str = "none",
) -> Iterator[Holding]:
    """Run a node. `destinations` are AE titles with ports of loopback; `receive` adds keys."""
    folder.mkdir(parents=True, exist_ok=True)
    path, port = folder / "ae_config.yaml", free_port()
    listed = ", ".join(
        f"{title.lower()}: {{ae_title: {title}, host: 127.0.0.1, port: {number}, proof: {proof}}}"
        for title, number in (destinations or {}).items()
    )
    path.write_text(f"""\
receive: {{ae_title: AI_NODE, host: 127.0.0.1, port: {port}, accept_from: {accept_from}{receive}}}
store: {{folder: ./store, database: "sqlite:///{folder}/held.db", min_free_gb: 0.01}}
routes:
  - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
destinations: {{{listed}}}
""")
    config = compose.settings(path)
    compose.prepare(config)
    listener, listening = compose.listener(config), compose.listening_sockets(config)
    thread = Thread(target=listener.serve, args=(compose.entrances(config, listening, None),))
    thread.start()
    try:
        yield Holding(config, port)
    finally:
        listener.close(0)
        thread.join(10)
        for one in listening:
            one.close()
        assert not thread.is_alive()
