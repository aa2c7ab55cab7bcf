"""From what the file says to what the domain talks about."""

from pathlib import Path

import pytest

from dicom_ai_node.config import NodeConfig, destinations, routes, serve_token
from dicom_ai_node.config.secret import Secret
from dicom_ai_node.config.sections import Similar
from dicom_ai_node.config.serving import Serve
from dicom_ai_node.config.translate import revision
from dicom_ai_node.domain.destination import DimsePeer, FolderPeer, PeerTls, WebPeer, proving
from dicom_ai_node.domain.proof import Proof
from dicom_ai_node.domain.rule import (
    Absent,
    Between,
    Condition,
    Contains,
    Matches,
    Not,
    Priority,
    one_of,
)
from tests.confided import confided


def config(route: dict | None = None, **wanted: dict) -> NodeConfig:
    """Return a configuration with one route and these destinations."""
    entry = {
        "name": "r", "when": {}, "run": "segment", "model": "m", "write": "segmentation", "to": [],
    }  # fmt: skip
    changed = {key: value for key, value in (entry | (route or {})).items() if value is not None}
    return NodeConfig.model_validate({
        "receive": {"ae_title": " AI_NODE ", "accept_from": ["PACS"]},
        "store": {"folder": "node"},
        "routes": [changed],
        "destinations": wanted,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        pytest.param("CT", one_of("CT"), id="a value"),
        pytest.param(["CT", "PT"], one_of("CT", "PT"), id="a list"),
        pytest.param(3, one_of("3"), id="a number"),
        pytest.param(0.5, one_of("0.5"), id="a fraction"),
        pytest.param(True, one_of("true"), id="a truth"),
        pytest.param({"min": 3}, Between(3, None), id="a range"),
        pytest.param({"min": 3, "max": 3}, Between(3, 3), id="a closed range"),
        pytest.param({"contains": "T1"}, Contains(frozenset({"T1"})), id="a part"),
        pytest.param({"contains": ["T1", "T2"]}, Contains(frozenset({"T1", "T2"})), id="parts"),
        pytest.param({"matches": "T1.*"}, Matches("T1.*"), id="a pattern"),
        pytest.param({"one_of": ["A", "B"]}, one_of("A", "B"), id="a list by name"),
        pytest.param({"absent": True}, Absent(), id="absent"),
        pytest.param({"absent": False}, Absent(is_absent=False), id="not absent"),
        pytest.param({"present": True}, Absent(is_absent=False), id="present"),
        pytest.param({"not": "CT"}, Not(one_of("CT")), id="not a value"),
        pytest.param({"not": {"not": {"max": 1}}}, Not(Not(Between(None, 1))), id="not not"),
    ],
)
def test_conditions(said: object, meant: Condition) -> None:
    """Every form that a condition can have."""
    (route,) = routes(config({"when": {"SliceThickness": said}}))
    assert route.inputs[0].when == {"SliceThickness": meant}


def test_a_route_with_one_input() -> None:
    """Its input is called image, and everything else stands as it was written."""
    said = {"when": {"Modality": "CT"}, "if": "slices > 3", "priority": "stat", "with": {"a": 1}}
    (route,) = routes(config(said))
    (only,) = route.inputs
    assert (only.name, only.expression) == ("image", "slices > 3")
    assert (route.priority, route.options, route.write) == (
        Priority.STAT,
        {"a": 1},
        ("segmentation",),
    )
    assert len(route.revision) == 64


def test_what_a_route_says_of_doubtful_inputs_is_told_to_the_worker() -> None:
    """`off` is a word here and no truth value; what is left out is no option and no new job."""
    (route,) = routes(
        config({"guard": "off", "report_declined": True, "compare_earlier": True, "with": {"a": 1}})
    )
    assert route.options == {
        "a": 1,
        "guard": "off",
        "report_declined": True,
        "compare_earlier": True,
    }
    assert routes(config({}))[0].options == {}


def test_a_route_with_several_inputs() -> None:
    """Each has its conditions and its own expression."""
    inputs = {"pet": {"Modality": "PT", "if": "slices > 3"}, "ct": {"Modality": "CT"}}
    (route,) = routes(config({"when": None, "inputs": inputs, "same": "FrameOfReferenceUID"}))
    assert [(one.name, one.expression) for one in route.inputs] == [
        ("pet", "slices > 3"),
        ("ct", None),
    ]
    assert route.inputs[0].when == {"Modality": one_of("PT")}
    assert route.same == ("FrameOfReferenceUID",)


@pytest.mark.parametrize(
    ("said", "is_same"),
    [
        pytest.param({}, True, id="the same"),
        pytest.param({"priority": "routine"}, True, id="a default that is written out"),
        pytest.param({"write": ["segmentation"]}, True, id="a list of one"),
        pytest.param({"when": {"Modality": "CT"}}, False, id="another condition"),
        pytest.param({"with": {"threshold": 0.4}}, False, id="another option"),
        pytest.param({"to": ["pacs"]}, False, id="another destination"),
    ],
)
def test_the_revision_changes_with_the_meaning(said: dict, is_same: bool) -> None:
    """And not with the way it is written."""
    before, after = (revision(config(one).routes[0]) for one in ({}, said))
    assert (before == after) is is_same


def test_destinations(tmp_path: Path) -> None:
    """A PACS, a web service and a folder; the kind follows from the keys."""
    secret = confided(tmp_path / "token", "abc\n")
    found = destinations(
        config(
            pacs={"ae_title": "PACS", "host": "pacs", "port": 104},
            other={"ae_title": "PACS", "host": "pacs", "port": 104, "calling_ae_title": "ME"},
            web={"url": "https://x/dicom-web/", "token": {"file": str(secret)}},
            loopback={"url": "http://127.0.0.1:8042/dicom-web", "token": {"file": str(secret)}},
            folder={"folder": str(tmp_path)},
        )
    )
    peer = {"ae_title": "PACS", "host": "pacs", "port": 104}
    assert found == {
        "pacs": DimsePeer(**peer, calling_ae_title="AI_NODE"),
        "other": DimsePeer(**peer, calling_ae_title="ME"),
        "web": WebPeer(url="https://x/dicom-web", token="abc"),  # noqa: S106
        "loopback": WebPeer(url="http://127.0.0.1:8042/dicom-web", token="abc"),  # noqa: S106
        "folder": FolderPeer(folder=tmp_path),
    }


def test_what_looks_alike_is_a_route_of_the_nodes_own() -> None:
    """It takes every series that its model takes, whatever is odd about it, and writes nothing."""
    plain = config()
    assert [route.name for route in routes(plain)] == ["r"]
    own = routes(plain.model_copy(update={"similar": Similar(model="encoder")}))[-1]
    assert (own.name, own.run, own.model) == ("similar", "retrieve", "encoder")
    assert [wanted.when for wanted in own.inputs] == [{}]
    assert (own.write, own.to, own.options["allow_derived"]) == ((), (), True)
    said = Similar(model="encoder", to=("pacs",))
    telling = routes(plain.model_copy(update={"similar": said}))[-1]
    assert (telling.write, telling.to) == (("key_objects",), ("pacs",))
    assert telling.revision != own.revision


def test_the_token_of_the_window_comes_from_its_file(tmp_path: Path) -> None:
    """It never stands in the configuration; without one nobody is an admin by a token."""
    serve = Serve(token=Secret(file=confided(tmp_path / "token", "a long secret\n")))
    assert serve_token(config().model_copy(update={"serve": serve})) == "a long secret"
    assert serve_token(config()) is None


def test_a_destination_over_tls() -> None:
    """Its certificate has to name its host, unless another name or a fingerprint is given."""
    pacs = {"ae_title": "PACS", "host": "10.1.2.3", "port": 2762}
    own = {"certificate": "c", "key": "k"}
    found = destinations(
        config(
            a={**pacs, "tls": {"trusted": "ca", **own}},
            b={**pacs, "tls": {"fingerprint": "A" * 64}},
            c={**pacs, "tls": {"trusted": "ca", "name": "pacs.example.org"}},
            d=pacs,
        )
    )
    assert [peer.tls for peer in found.values() if isinstance(peer, DimsePeer)] == [
        PeerTls(
            place="destinations.a.tls", name="10.1.2.3", trusted=Path("ca"),
            certificate=Path("c"), key=Path("k"),
        ),
        PeerTls(place="destinations.b.tls", name="10.1.2.3", fingerprint="a" * 64),
        PeerTls(place="destinations.c.tls", name="pacs.example.org", trusted=Path("ca")),
        None,
    ]  # fmt: skip


def test_what_has_to_show_that_it_keeps_results() -> None:
    """Retention waits for these and for no other."""
    pacs = {"ae_title": "PACS", "host": "10.1.2.3", "port": 104}
    web = {"url": "https://x"}
    found = proving(
        destinations(
            config(
                believed=pacs,
                asked={**pacs, "proof": "commitment", "proof_seconds": 60},
                queried={**web, "proof": "query"},
                web=web,
                folder={"folder": "x"},
            )
        )
    )
    assert {name: one.proof for name, one in found.items()} == {
        "asked": Proof.COMMITMENT, "queried": Proof.QUERY,
    }  # fmt: skip
    asked = found["asked"]
    assert isinstance(asked, DimsePeer)
    assert asked.proof_seconds == 60
