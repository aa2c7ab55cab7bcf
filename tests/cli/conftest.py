"""The command line as a person uses it, on a node that has a past."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from dicom_ai_node import compose
from dicom_ai_node.cli import main
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.store.ledger import SqlLedger
from tests import phantoms
from tests.peers.tools import free_port
from tests.store.made import HOUR, LEASE, MINUTE, NOON, QUIET, SECOND, encoding, job_for, results_of

CANARY = phantoms.CANARY.split("^", maxsplit=1)[0]


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever JSON it printed
        """What it printed, which must be JSON and nothing else."""
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the program; whatever it is asked, it never names a patient and never crashes."""

    def program(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["dicom-ai-node", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert CANARY not in said.out + said.err
        assert "Traceback" not in said.err
        return Ended(int(ended.value.code or 0), said.out, said.err)

    return program


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of a node that has never run."""
    path = tmp_path / "ae_config.yaml"
    path.write_text(
        dedent(f"""\
        receive: {{ae_title: AI_NODE, host: 127.0.0.1, port: {free_port()}, accept_from: [CT1]}}
        store: {{folder: ./node, min_free_gb: 0}}
        routes:
          - name: tissue
            when: {{Modality: CT, slices: {{min: 3}}}}
            run: segment
            model: ct_tissue
            write: [segmentation]
            to: [results]
        destinations:
          results: {{folder: ./results}}
        """)
    )
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder with four slices of the patient who must not be named."""
    phantoms.write(phantoms.ct(slices=4), tmp_path / "images")
    return tmp_path / "images"


@dataclass(frozen=True)
class Past:
    """What a node has in its ledger: names of jobs by what became of them."""

    config: Path
    ledger: SqlLedger
    jobs: dict[str, str]


@pytest.fixture
def past(config: Path, images: Path) -> Past:
    """Return a node with one job delivered, one parked, one rejected, one waiting, one ready."""
    settings = compose.settings(config)
    compose.prepare(settings)
    ledger = compose.ledger(settings)
    instances = [instance_of(path) for path in sorted(images.iterdir())]
    arrivals = [
        Arrival(
            instance=one,
            calling_ae_title=AETitle("CT1"),
            called_ae_title=AETitle("AI_NODE"),
            address="192.0.2.1",
        )
        for one in instances
    ]
    ledger.record(arrivals, NOON, QUIET)
    (series,) = ledger.due_series(NOON + HOUR)
    names = ("delivered", "parked", "rejected", "waiting", "ready")
    made = [job_for(series, route=name, created_at=NOON) for name in names]
    ledger.complete(series, "nothing has arrived for 30 seconds", made, ["tissue took it"], NOON)
    for name in names[:2]:
        held = encoding(ledger)
        ledger.commit_results(held, results_of(held, ["segmentation"]), ["results"], NOON + MINUTE)
        (delivery,) = ledger.claim_deliveries("results", NOON + MINUTE, LEASE)
        if name == "delivered":
            ledger.delivered(delivery, NOON + MINUTE + SECOND)
        else:
            ledger.not_delivered(delivery, NOON + MINUTE, "PACS answered 0xC000", None)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    note = "GEO_MISSING_SLICE: 1 missing at 12.5 mm along the normal"
    ledger.move(held, Stage.REJECTED, NOON + SECOND, note=note, who=Who.SENDER)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    later = compose.now() + HOUR
    note = "ct_tissue: models/model.safetensors has changed"
    ledger.move(held, Stage.READY, NOON, note=note, who=Who.OPERATOR, due_at=later)
    digest = compose.blobs(settings).keep(_spooled(settings))
    ledger.quarantine(digest, "the data set is cut off", "CT1", NOON)
    jobs = {job.route: job.name for job in ledger.jobs()}
    return Past(config, ledger, jobs)


def _spooled(settings: Any) -> Path:  # noqa: ANN401 - the configuration
    path = compose.blobs(settings).spool()
    path.write_bytes(b"half an instance")
    return path
