"""Behind a proxy the node knows who asks; in front of it nobody can pretend to be somebody."""

import pytest
from fastapi import APIRouter, Request

from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.doors import OpenDoor
from dicom_ai_node.serve.forwarded import Forwarded
from tests.serve.house import Browser

PROXY = "10.0.0.5"


def told(address: str, headers: list[tuple[str, str]]) -> dict[str, str]:
    """Return what a route sees of a request that comes from `address`."""
    router = APIRouter(dependencies=[needs(Role.PUBLIC)])

    @router.get("/")
    def see(request: Request) -> dict[str, str]:
        assert request.client
        left = [name for name in request.headers if name.startswith("x-forwarded")]
        assert not left
        return {"client": request.client.host, "base": str(request.base_url)}

    app = Forwarded(application(OpenDoor(), [router]), ["10.0.0.0/29", "fd00::1/128"])
    browser = Browser(app, url="http://inner:8042", address=address)
    found: dict[str, str] = browser.get("/", headers=headers).json()
    return found


def test_a_proxy_that_is_known_is_believed() -> None:
    """Addresses in answers begin as the one who asked has typed them."""
    headers = [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "node.example.org"),
    ]
    assert told(PROXY, headers) == {"client": "192.0.2.7", "base": "https://node.example.org/"}
    assert told("fd00::1", headers)["client"] == "192.0.2.7"
    assert told("::ffff:10.0.0.5", headers)["client"] == "192.0.2.7"


@pytest.mark.parametrize("address", ["192.0.2.9", "10.0.0.8", "127.0.0.1", "nonsense"])
def test_anybody_else_is_not(address: str) -> None:
    """Nobody becomes somebody else, or safe, by saying so."""
    headers = [
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
    ]
    assert told(address, headers) == {"client": address, "base": "http://inner:8042/"}


@pytest.mark.parametrize(
    ("said", "client"),
    [
        pytest.param(["127.0.0.1, 192.0.2.7"], "192.0.2.7", id="what was there before is made up"),
        pytest.param(["127.0.0.1", "192.0.2.7"], "192.0.2.7", id="in two lines"),
        pytest.param(["192.0.2.7, 10.0.0.6"], "192.0.2.7", id="two proxies of ours"),
        pytest.param(["10.0.0.6"], PROXY, id="nobody but proxies"),
        pytest.param(["192.0.2.7, nonsense"], PROXY, id="nonsense"),
        pytest.param([""], PROXY, id="nothing"),
        pytest.param(["2001:db8::1"], "2001:db8::1", id="IPv6"),
    ],
)
def test_the_last_address_that_is_no_proxy_counts(said: list[str], client: str) -> None:
    """Only what our own proxies have written is true."""
    assert told(PROXY, [("X-Forwarded-For", one) for one in said])["client"] == client


@pytest.mark.parametrize("scheme", ["gopher", "", "javascript", "https:"])
def test_an_odd_scheme_is_none(scheme: str) -> None:
    """What is not https is not safe."""
    assert told(PROXY, [("X-Forwarded-Proto", scheme)])["base"] == "http://inner:8042/"
