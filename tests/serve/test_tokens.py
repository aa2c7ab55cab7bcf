"""Programs say who they are in each request: with a token, or with a name and a password."""

import base64
import hmac
from datetime import timedelta

import pytest
from fastapi import Request

from dicom_ai_node.domain.accounts import Role
from dicom_ai_node.serve import tokens
from dicom_ai_node.serve.login import cookie_name
from tests.serve.house import ADMIN_TOKEN, PASSWORD, House


def basic(name: str, password: str) -> dict[str, str]:
    """Return what a program that knows a name and a password sends."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, bytes]:
    """Return what a program that has a token sends."""
    return {"Authorization": b"Bearer " + token.encode()}


def test_a_token_may_what_it_was_made_for(house: House) -> None:
    """And no more; what it sends needs no second token against other pages."""
    program = house.browser()
    sender = bearer(house.token(Role.SENDER))
    assert program.ask("POST", "/dicom-web/studies", content=b"12", headers=sender).json() == 2
    assert program.get("/things", headers=sender).status_code == 403
    operator = bearer(house.token(Role.OPERATOR))
    assert program.ask("POST", "/things", headers=operator).status_code == 200


def test_a_token_that_is_over_is_refused(house: House) -> None:
    """Removed or expired, at once."""
    program, good, short = (
        house.browser(),
        house.token(Role.VIEWER),
        house.token(Role.VIEWER, days=1),
    )
    for token in (good, short):
        assert program.get("/things", headers=bearer(token)).status_code == 200
    house.now += timedelta(days=1)
    assert program.get("/things", headers=bearer(short)).status_code == 401
    house.accounts.remove_token("viewerNone")
    answer = program.get("/things", headers=bearer(good))
    assert (answer.status_code, answer.json()) == (401, {"detail": "who are you?"})
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_the_configured_token_is_an_admin(house: House) -> None:
    """Whatever characters it has; not a part of it, and not more than it."""
    program = house.browser()
    assert program.get("/things", headers=bearer(ADMIN_TOKEN)).json()["who"] == "token"
    for wrong in (ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x", ADMIN_TOKEN.upper(), ""):
        assert program.get("/things", headers=bearer(wrong)).status_code == 401


def test_the_configured_token_is_compared_in_constant_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of an answer tells nobody how many characters were right."""
    compared = []

    def digest(given: bytes, right: bytes) -> bool:
        compared.append(given)
        return hmac.compare_digest(given, right)

    class Watched:
        compare_digest = staticmethod(digest)

    monkeypatch.setattr(tokens, "hmac", Watched)
    house.browser().get("/things", headers=bearer("a guess"))
    assert compared == [b"a guess"]


def test_a_token_goes_before_a_cookie(house: House) -> None:
    """A wrong one is not made good by somebody who is logged in in the same browser."""
    house.add("anna")
    browser = house.browser()
    browser.log_in()
    assert browser.get("/things").status_code == 200
    assert browser.get("/things", headers=bearer("dan_wrong")).status_code == 401


def test_a_program_may_send_a_name_and_a_password(house: House) -> None:
    """Orthanc knows nothing else."""
    house.add("orthanc", Role.VIEWER, Role.SENDER)
    program = house.browser()
    assert program.get("/things", headers=basic("Orthanc", PASSWORD)).json()["who"] == "orthanc"
    store = program.ask(
        "POST", "/dicom-web/studies", content=b"12", headers=basic("orthanc", PASSWORD)
    )
    assert store.status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(basic("orthanc", "wrong")["Authorization"], id="a wrong password"),
        pytest.param(basic("nobody", PASSWORD)["Authorization"], id="nobody"),
        pytest.param("Basic " + base64.b64encode(b"orthanc").decode(), id="no password"),
        pytest.param("Basic !!!", id="no base64"),
        pytest.param("Basic " + base64.b64encode(b"\xff:\xfe").decode(), id="no text"),
        pytest.param("Basic", id="nothing"),
    ],
)
def test_a_wrong_pair_is_refused(house: House, said: str) -> None:
    """With a challenge that says what would be taken."""
    house.add("orthanc")
    answer = house.browser().get("/things", headers={"Authorization": said})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer, Basic realm=")


def test_a_password_is_tried_once_in_a_while(house: House) -> None:
    """Argon2 takes its time on purpose; a program that fetches a study asks a thousand times."""
    tried: list[str] = []
    real = house.passwords.is_right

    def counting(password_hash: str | None, password: str) -> bool:
        tried.append(password)
        return real(password_hash, password)

    house.passwords.is_right = counting  # type: ignore[method-assign]
    house.add("orthanc")
    program = house.browser(headers=basic("orthanc", PASSWORD))
    assert [program.get("/things").status_code for _ in range(20)] == [200] * 20
    assert tried == [PASSWORD]
    house.accounts.set_roles("orthanc", frozenset({Role.SENDER}))
    assert program.get("/things").status_code == 403, "roles are not remembered"
    house.accounts.set_password("orthanc", house.passwords.hashed("another"), must_change=False)
    assert program.get("/things").status_code == 401, "nor is a password that was changed"
    assert len(tried) == 2
    house.accounts.set_disabled("orthanc", is_disabled=True)
    assert house.browser(headers=basic("orthanc", "another")).get("/things").status_code == 401


def test_a_program_that_is_wrong_too_often_waits(house: House) -> None:
    """The counts are those of the login page."""
    house.add("orthanc")
    program = house.browser()
    wrong = [
        program.get("/things", headers=basic("orthanc", f"wrong {n}")).status_code for n in range(6)
    ]
    assert wrong == [401] * 5 + [429]
    assert program.log_in("orthanc").status_code == 429


def test_a_password_does_not_go_over_a_plain_connection(house: House) -> None:
    """But on this machine itself, where nobody listens."""
    house.add("orthanc")
    here = house.browser(url="http://localhost:8042", address="127.0.0.1")
    assert here.get("/things", headers=basic("orthanc", PASSWORD)).status_code == 200
    there = house.browser(url="http://node")
    answer = there.get("/things", headers=basic("orthanc", PASSWORD))
    assert (answer.status_code, "https" in answer.json()["detail"]) == (403, True)


def test_a_browser_gets_no_challenge(house: House) -> None:
    """It would open a window of its own and send the password with everything from then on."""
    browser = house.browser(headers={"Sec-Fetch-Mode": "cors"})
    assert browser.get("/api/things").headers["WWW-Authenticate"] == "Bearer"
    part = house.browser().get("/things", headers={"HX-Request": "true"})
    assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/login")


def test_a_first_password_opens_nothing_to_a_program(house: House) -> None:
    """Somebody has to choose another one first."""
    house.add("anna", Role.ADMIN, must_change=True)
    assert house.browser().get("/things", headers=basic("anna", PASSWORD)).status_code == 403
    page = house.browser().get("/account", headers=basic("anna", PASSWORD))
    assert (page.status_code, page.json()["detail"]) == (403, "log in with a browser")


@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        *(("https", "__Host-dicom_ai_node"), ("wss", "__Host-dicom_ai_node")),
        *(("http", "dicom_ai_node_session"), ("ws", "dicom_ai_node_session")),
    ],
)
def test_a_socket_knows_the_same_cookie(scheme: str, name: str) -> None:
    """Whoever is logged in hears of worklists, too."""
    scope = {"type": "http", "scheme": scheme, "path": "/", "headers": [(b"host", b"node")]}
    assert cookie_name(Request(scope)) == name
