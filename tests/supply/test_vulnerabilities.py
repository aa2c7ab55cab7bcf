"""A known hole stops the build, unless somebody has looked at it, and not for ever."""

import json
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.supply.__main__ import app
from deploy.supply.policy import policy
from deploy.supply.vulnerabilities import objections
from tests.supply.planted import plant, rules

TODAY, DAY = date(2026, 11, 29), timedelta(days=1)
HOLE: Mapping[str, Any] = {
    "id": "GHSA-xxxx-yyyy-zzzz",
    "aliases": ["CVE-2026-0001"],
    "summary": "a hole",
    "affected": [{
        "package": {"name": "evil", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
    }],
}  # fmt: skip


class Service(BaseHTTPRequestHandler):
    """Speaks as OSV does, and knows one hole, in version 1.0 of `evil`."""

    def do_POST(self) -> None:
        """Answer a question about one version."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_it = (asked["package"]["name"], asked["version"]) == ("evil", "1.0")
        body = json.dumps({"vulns": [HOLE]} if is_it else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Run the service."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()
        thread.join()


def _audited(folder: Path, url: str, *options: str, needs: str = "evil") -> Result:
    if not any(folder.glob("*.dist-info")):
        plant(folder, "dicom-ai-node", needs=["fine", needs])
        plant(folder, "fine")
        plant(folder, needs)
    said = rules(folder)
    where = ["--policy", str(said), "--path", str(folder), "--osv-url", url]
    return CliRunner().invoke(app, ["audit", *where, *options])


def test_a_known_hole_fails_also_where_the_gate_is_tolerant(tmp_path: Path, service: str) -> None:
    """With the package, the number and the version that mends it."""
    done = _audited(tmp_path, service, "--tolerant")
    assert done.exit_code == 1
    assert done.output == "evil 1.0: CVE-2026-0001, mended in 1.1\n"


@pytest.mark.parametrize(
    ("waived", "until", "package", "is_let_pass"),
    [
        pytest.param("CVE-2026-0001", TODAY, "evil", True, id="by another name, to its last day"),
        pytest.param("GHSA-xxxx-yyyy-zzzz", TODAY - DAY, "evil", False, id="it is over"),
        pytest.param("GHSA-xxxx-yyyy-zzzz", TODAY, "fine", False, id="for another package"),
    ],
)
def test_a_hole_is_let_pass_for_a_while(
    tmp_path: Path, waived: str, until: date, package: str, *, is_let_pass: bool
) -> None:
    """With a reason, in this package, until a day."""
    table = f'[[tool.supply.waived]]\nid = "{waived}"\npackage = "{package}"\nuntil = {until}\nreason = "never called"\n'
    hole = {
        "package": "evil", "version": "1.0", "id": HOLE["id"], "aliases": HOLE["aliases"],
        "fixed_in": [],
    }  # fmt: skip
    found = list(objections([hole], policy(rules(tmp_path, table)).waived, TODAY))
    assert (not found) is is_let_pass
    if until < TODAY:
        assert found == [
            f"evil 1.0: GHSA-xxxx-yyyy-zzzz, mended in no version yet; let pass until {until}"
        ]


def test_what_cannot_be_asked_is_said_loudly(tmp_path: Path) -> None:
    """`make check` goes on without a network, `make audit` does not."""
    nowhere = "http://127.0.0.1:1/v1/query"
    for options, status in (((), 2), (("--tolerant",), 0)):
        done = _audited(tmp_path, nowhere, *options)
        assert done.exit_code == status
        assert "VULNERABILITIES NOT CHECKED: osv: " in done.output
