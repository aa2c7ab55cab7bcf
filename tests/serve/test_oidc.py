"""Tokens of an identity provider are taken when everything in them is right, and else not."""

import base64
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from dicom_ai_node.domain.accounts import Role
from dicom_ai_node.serve.oidc import Issuer, Jwks, JwtProvider
from tests.serve.house import NOON

NOW = int(NOON.timestamp())
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ISSUER = Issuer(
    name="https://id.example.org",
    audience="node",
    roles_claim="realm_access.roles",
    roles={"radiology": Role.VIEWER, "it": Role.ADMIN},
    name_claim="sub",
)
CLAIMS: dict[str, Any] = {
    "iss": "https://id.example.org",
    "aud": "node",
    "sub": "anna",
    "exp": NOW + 300,
    "iat": NOW,
    "realm_access": {"roles": ["radiology", "uma_authorization"]},
}


def token(key: Any = EC, alg: str = "ES256", kid: str | None = None, **claims: Any) -> str:  # noqa: ANN401
    """Return a token with some claims different; `None` leaves one out."""
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    header = {"alg": alg, "kid": key.kid if kid is None else kid}
    return jwt.encode(header, said, key, algorithms=[alg])


def public(*keys: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the public parts of keys, as a provider shows them."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


@pytest.fixture
def provider(tmp_path: Path) -> JwtProvider:
    """Return what knows the tokens of one provider."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(public(RSA, EC)))
    return JwtProvider(ISSUER, Jwks(path), lambda: NOON)


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256")], ids=["RS256", "ES256"])
def test_a_right_token_says_who_and_what(provider: JwtProvider, key: Any, alg: str) -> None:  # noqa: ANN401
    """Roles that mean nothing here are left out."""
    person = provider.holder(token(key, alg))
    assert person is not None
    assert (person.name, person.roles) == ("anna", {Role.KNOWN, Role.VIEWER})


@pytest.mark.parametrize(
    ("claims", "is_taken"),
    [
        pytest.param({"iss": "https://evil.example"}, False, id="another issuer"),
        pytest.param({"iss": None}, False, id="no issuer"),
        pytest.param({"aud": "another"}, False, id="for somebody else"),
        pytest.param({"aud": ["another", "node"]}, True, id="for us, too"),
        pytest.param({"aud": ["another"]}, False, id="for others"),
        pytest.param({"aud": None}, False, id="for nobody"),
        pytest.param({"exp": NOW - 59}, True, id="expired, by a clock that is slow"),
        pytest.param({"exp": NOW - 61}, False, id="expired"),
        pytest.param({"exp": None}, False, id="good for ever"),
        pytest.param({"exp": "tomorrow"}, False, id="good until some day"),
        pytest.param({"nbf": NOW + 61}, False, id="not good yet"),
        pytest.param({"iat": NOW + 3600}, False, id="of the future"),
        pytest.param({"sub": None}, False, id="of nobody"),
        pytest.param({"sub": 7}, False, id="of a number"),
    ],
)
def test_a_claim_that_is_wrong_makes_it_worthless(
    provider: JwtProvider, claims: dict[str, Any], is_taken: bool
) -> None:
    """Issuer, audience and expiry have to be there."""
    assert (provider.holder(token(**claims)) is not None) is is_taken


@pytest.mark.parametrize(
    ("said", "roles"),
    [
        pytest.param(
            {"realm_access": {"roles": ["it", "radiology"]}}, {"admin", "viewer"}, id="two"
        ),
        pytest.param({"realm_access": {"roles": "it openid"}}, {"admin"}, id="as text"),
        pytest.param({"realm_access.roles": ["it"]}, {"admin"}, id="a name with a dot"),
        pytest.param({"realm_access": {"roles": [1, None, ["it"]]}}, set(), id="nonsense"),
        pytest.param({"realm_access": None}, set(), id="none"),
        pytest.param({"realm_access": "it"}, set(), id="elsewhere"),
        pytest.param({"realm_access": {"roles": ["admin"]}}, set(), id="a name that is not mapped"),
    ],
)
def test_roles_are_what_the_configuration_says(
    provider: JwtProvider, said: dict[str, Any], roles: set[str]
) -> None:
    """Nobody becomes an admin because a claim happens to have this word in it."""
    person = provider.holder(token(**said))
    assert person is not None
    assert person.roles == {Role.KNOWN, *roles}


def _unsigned() -> str:
    _, body, _ = token().split(".")
    return f"eyJhbGciOiJub25lIiwia2lkIjoiZWMifQ.{body}."


def _confused() -> str:
    # The public key as the secret of an HMAC: whoever checks with "the key" takes it.
    _, body, _ = token().split(".")
    head = _base64(b'{"alg": "HS256", "kid": "ec"}')
    seal = hmac.digest(EC.as_pem(private=False), f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{_base64(seal)}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _changed() -> str:
    head, body, signature = token().split(".")
    return f"{head}.{body[:-4]}AAAA.{signature}"


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(_unsigned, id="alg none"),
        pytest.param(_confused, id="HS256 with the public key"),
        pytest.param(_changed, id="changed"),
        pytest.param(lambda: token(ECKey.generate_key("P-256"), kid="ec"), id="another key"),
        pytest.param(lambda: token(EC, kid="unknown"), id="an unknown key"),
        pytest.param(lambda: token(RSA, "PS256"), id="another algorithm"),
        pytest.param(lambda: token(RSA, "RS256", kid="ec"), id="the name of another key"),
        pytest.param(lambda: "a.b.c", id="nonsense"),
        pytest.param(lambda: "..", id="nothing"),
        pytest.param(lambda: token(sub="x" * 20_000), id="too long"),
    ],
)
def test_what_the_provider_has_not_signed_is_worthless(
    provider: JwtProvider, made: Callable[[], str]
) -> None:
    """Whatever its header says about itself."""
    assert provider.holder(made()) is None


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_weak_keys_are_not_used(tmp_path: Path) -> None:
    """Nor keys that are for something else."""
    weak = RSAKey.generate_key(1024, {"kid": "weak"})
    other = ECKey.generate_key("P-256", {"kid": "enc", "use": "enc"})
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(public(weak, other, EC)))
    keys = Jwks(path)
    assert keys.key("ec") is not None
    assert keys.key("weak") is None
    assert keys.key("enc") is None


class Provider(HTTPServer):
    """An identity provider as far as we see it: a page with keys."""

    answer: bytes = b""
    asked: int = 0


class Page(BaseHTTPRequestHandler):
    """Shows the keys, or an error."""

    server: Provider

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200 if self.server.answer else 503)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[Provider]:
    """Run a provider."""
    server = Provider(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_are_fetched_seldom_and_kept_when_the_provider_is_away(page: Provider) -> None:
    """Nobody makes the node ask again and again by naming keys that are not there."""
    clock = [0.0]
    keys = Jwks(f"http://127.0.0.1:{page.server_port}/jwks", lambda: clock[0])
    page.answer = json.dumps(public(EC)).encode()
    assert keys.key("ec") is not None
    for number in range(20):
        assert keys.key(f"made up {number}") is None
    assert page.asked == 1
    clock[0], page.answer = 61.0, json.dumps(public(EC, RSA)).encode()
    assert keys.key("rsa") is not None, "a key that is new is found after a minute"
    assert page.asked == 2
    clock[0], page.answer = 700.0, b""
    assert keys.key("ec") is not None
    assert page.asked == 3
    clock[0], page.answer = 800.0, json.dumps(public(RSA)).encode()
    assert keys.key("ec") is None, "a key that was withdrawn is gone"


@pytest.mark.parametrize(
    "answer",
    [b"", b"no JSON", b"{}", b"[]", b'{"keys": 7}', b'{"keys": [{"kty": "EC"}]}', b" " * 300_000],
    ids=["an error", "no JSON", "no keys", "a list", "a number", "half a key", "a flood"],
)
def test_a_provider_that_says_nonsense_gives_no_keys(page: Provider, answer: bytes) -> None:
    """And nobody is let in."""
    page.answer = answer
    keys = Jwks(f"http://127.0.0.1:{page.server_port}/jwks")
    assert JwtProvider(ISSUER, keys, lambda: NOON).holder(token()) is None
    assert page.asked == 1
