"""Who may look and who may act, where people log in."""

from pathlib import Path

import pytest
from argon2 import PasswordHasher, profiles

from dicom_ai_node import compose
from dicom_ai_node.domain.accounts import Account, Role
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.serve.passwords import Passwords
from dicom_ai_node.web import guarded
from tests.serve.console.node import HTML, ConsoleNode, ct
from tests.serve.house import PASSWORD, Browser

PASSWORDS = Passwords(PasswordHasher.from_parameters(profiles.CHEAPEST))


@pytest.fixture
def node(tmp_path: Path) -> ConsoleNode:
    """Return a node where people log in."""
    return ConsoleNode(tmp_path, login="users")


def _somebody(node: ConsoleNode, role: Role, *, must_change: bool = False) -> Browser:
    """Return the browser of somebody who has logged in."""
    compose.accounts(node.config).add_account(
        Account(
            name=role.value,
            roles=frozenset({role}),
            password_hash=PASSWORDS.hashed(PASSWORD),
            created_at=compose.now(),
            must_change_password=must_change,
        )
    )
    browser = Browser(
        guarded(node.config, compose.notebook(node.config)),
        url="http://127.0.0.1",
        address="127.0.0.1",
        headers={"Accept": HTML},
    )
    assert browser.log_in(role.value).status_code == 303
    return browser


def test_nobody_sees_anything_without_logging_in(node: ConsoleNode) -> None:
    """A browser is led to the login and back; style and script come before."""
    browser = Browser(
        guarded(node.config, compose.notebook(node.config)),
        url="http://127.0.0.1",
        address="127.0.0.1",
    )
    browser.headers = {"Accept": HTML}
    asked = browser.get("/studies?q=larch")
    assert (asked.status_code, asked.headers["location"]) == (
        303, "/login?next=%2Fstudies%3Fq%3Dlarch",
    )  # fmt: skip
    assert browser.get("/static/console.css").status_code == 200
    assert browser.get("/events", headers={"Accept": "text/event-stream"}).status_code == 401


def test_a_viewer_looks_and_does_not_act(node: ConsoleNode) -> None:
    """The buttons are not there, and a form made up elsewhere is refused."""
    job = node.routed(ct())
    node.parked(job)
    browser = _somebody(node, Role.VIEWER)
    text = browser.get(f"/jobs/{job.name}").text
    assert "the model fell over" in text
    assert "/retry" not in text
    assert 'id="drop"' not in browser.get("/routes").text
    answer = browser.post(f"/jobs/{job.name}/retry", {"csrf_token": browser.csrf()})
    assert (answer.status_code, "You may not do this" in answer.text) == (403, True)


def test_an_operator_acts_with_the_token_of_the_page(node: ConsoleNode) -> None:
    """Without it nothing happens: the cookie alone may have been sent by any page."""
    job = node.routed(ct())
    node.parked(job)
    browser = _somebody(node, Role.OPERATOR)
    text = browser.get(f"/jobs/{job.name}").text
    token = text.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert len(token) == 64
    assert browser.post(f"/jobs/{job.name}/retry", {}).status_code == 403
    assert browser.post(f"/jobs/{job.name}/retry", {"csrf_token": token}).status_code == 303
    found = node.ledger.job(job.key)
    assert found is not None
    assert found.stage is Stage.READY
    # A dropped file brings it in a header, and may be larger than a form.
    dropped = b"\0" * (2 * 1024**2)
    refused = browser.ask("POST", "/routes/explain", content=dropped)
    assert refused.status_code == 403
    read = browser.ask("POST", "/routes/explain", content=dropped, headers={"X-CSRF-Token": token})
    assert (read.status_code, "no DICM" in read.text) == (400, True)


def test_the_choice_of_language_needs_no_login(node: ConsoleNode) -> None:
    """But the token, once somebody has logged in."""
    browser = _somebody(node, Role.VIEWER)
    token = browser.csrf()
    assert browser.post("/preferences?language=zh", {"csrf_token": token}).status_code == 303
    assert 'lang="zh-Hans"' in browser.get("/").text


def test_a_first_password_is_replaced_before_anything_is_seen(node: ConsoleNode) -> None:
    """Every page leads there until it is."""
    browser = _somebody(node, Role.VIEWER, must_change=True)
    answer = browser.get("/studies")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
