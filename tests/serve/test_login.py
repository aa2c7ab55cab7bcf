"""People log in, stay for a while, and nobody else gets in with them."""

import asyncio
import re
from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from fastapi import HTTPException

from dicom_ai_node.domain.accounts import Role, digest
from dicom_ai_node.serve.login_pages import safe_next
from dicom_ai_node.serve.login_words import WORDS
from tests.serve.house import PASSWORD, Browser, House

NEW = "a sentence that is long enough"


@pytest.fixture
def anna(house: House) -> Browser:
    """Return the browser of somebody who has logged in."""
    house.add("anna", Role.OPERATOR)
    browser = house.browser()
    assert browser.log_in().status_code == 303
    return browser


def session_of(browser: Browser) -> str:
    """Return what the cookie of the session says."""
    return str(browser.cookies["__Host-dicom_ai_node"])


def test_who_knows_the_password_is_let_in(house: House) -> None:
    """And led to where they wanted to go; the name may be typed with capitals."""
    house.add("anna")
    browser = house.browser()
    asked = browser.get("/things?x=1", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.headers["Location"]) == (303, "/login?next=%2Fthings%3Fx%3D1")
    form = browser.get(asked.headers["Location"])
    assert 'name="next" value="/things?x=1"' in form.text
    answer = browser.log_in(" Anna ", onward="/things?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/things?x=1")
    assert browser.get("/things").json()["who"] == "anna"
    account = house.accounts.account("anna")
    assert account is not None
    assert account.last_login_at == house.now


def test_the_cookie_is_kept_from_scripts_and_from_plain_connections(house: House) -> None:
    """And from other hosts of the same domain, by its name (RFC 6265bis)."""
    house.add("anna")
    said = house.browser().log_in().headers["Set-Cookie"].split("; ")
    assert said[0].startswith("__Host-dicom_ai_node=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= set(said)
    assert not [part for part in said if part.startswith(("Domain", "Max-Age", "expires"))]


def test_on_loopback_a_cookie_goes_without_tls(house: House) -> None:
    """`Secure` would be a cookie that the browser never sends there."""
    house.add("anna")
    browser = house.browser(url="http://127.0.0.1:8042", address="127.0.0.1")
    said = browser.log_in().headers["Set-Cookie"]
    assert said.startswith("dicom_ai_node_session=")
    assert "HttpOnly" in said
    assert "Secure" not in said
    assert browser.is_in()


@pytest.mark.parametrize(
    ("name", "password"),
    [
        pytest.param("anna", "wrong", id="a wrong password"),
        pytest.param("anna", "", id="no password"),
        pytest.param("anna", "x" * 100_000, id="a long one"),
        pytest.param("anna", PASSWORD.upper(), id="capitals"),
        pytest.param("nobody", PASSWORD, id="a name that is not there"),
        pytest.param("", PASSWORD, id="no name"),
        pytest.param("off", PASSWORD, id="a disabled account"),
        pytest.param("' OR 1=1 --", PASSWORD, id="SQL"),
    ],
)
def test_a_refusal_does_not_say_what_was_wrong(house: House, name: str, password: str) -> None:
    """Nor does it repeat what was typed."""
    house.add("anna")
    house.add("off")
    house.accounts.set_disabled("off", is_disabled=True)
    browser = house.browser()
    answer = browser.log_in(name, password)
    assert answer.status_code == 401
    assert "Name or password are wrong." in answer.text
    assert "Set-Cookie" not in answer.headers
    assert PASSWORD not in answer.text
    assert not browser.is_in()


def test_a_name_that_is_not_there_takes_as_long_as_a_wrong_password(house: House) -> None:
    """Both are compared with a hash: the time tells nobody who has an account."""
    tried = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # noqa: A002
            tried.append(password)
            return super().verify(hash, password)  # type: ignore[arg-type]

    house.passwords._hasher = Counting(1, 8, 1)
    house.add("anna")
    for name in ("anna", "nobody"):
        house.browser().log_in(name, "wrong")
    assert tried == ["wrong", "wrong"]


def test_a_session_that_somebody_else_has_prepared_is_not_taken(house: House) -> None:
    """Session fixation: the secret is new at each login, and the old one is worth nothing."""
    house.add("anna")
    house.add("eve")
    eve = house.browser()
    eve.log_in("eve")
    prepared = session_of(eve)
    victim = house.browser(url="https://node")
    victim.cookies.set("__Host-dicom_ai_node", prepared, domain="node.local")
    victim.log_in("anna")
    assert session_of(victim) != prepared
    assert victim.get("/things").json()["who"] == "anna"
    assert not eve.is_in(), "the prepared session ended"
    made_up = house.browser()
    made_up.cookies.set("__Host-dicom_ai_node", "x" * 43, domain="node.local")
    made_up.log_in("anna")
    assert house.accounts.session(digest("x" * 43), house.now, timedelta(hours=1)) is None


def test_a_session_ends_by_rest_and_by_age(house: House, anna: Browser) -> None:
    """Then a page asks for the password again, and a program is told who it is not."""
    for _ in range(24):
        house.now += timedelta(minutes=29)
        assert anna.is_in()
    house.now += timedelta(minutes=29)
    assert anna.get("/api/things").status_code == 401
    anna.log_in()
    house.now += timedelta(minutes=31)
    assert not anna.is_in()


def test_who_logs_out_is_out(house: House, anna: Browser) -> None:
    """In the node too, so that a cookie that was copied is worth nothing."""
    copied = house.browser(cookies=anna.cookies)
    assert copied.is_in()
    answer = anna.post("/logout", {"csrf_token": anna.csrf()})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert 'dicom_ai_node=""' in answer.headers["Set-Cookie"]
    assert not anna.is_in()
    assert not copied.is_in()


@pytest.mark.parametrize("change", ["roles", "disabled", "removed", "password"])
def test_what_is_changed_of_an_account_counts_at_once(
    house: House, anna: Browser, change: str
) -> None:
    """Not at the next login."""
    assert anna.get("/things").status_code == 200
    match change:
        case "roles":
            house.accounts.set_roles("anna", frozenset({Role.SENDER}))
        case "disabled":
            house.accounts.set_disabled("anna", is_disabled=True)
        case "removed":
            house.accounts.remove_account("anna")
        case "password":
            house.accounts.set_password("anna", "h", must_change=False)
    assert anna.get("/things").status_code == (403 if change == "roles" else 401)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no token"),
        pytest.param({"X-CSRF-Token": ""}, id="an empty token"),
        pytest.param({"X-CSRF-Token": "0" * 64}, id="a token that somebody made up"),
        pytest.param({"X-CSRF-Token": "é"}, id="no token at all"),
    ],
)
def test_what_a_page_elsewhere_sends_changes_nothing(
    anna: Browser, headers: dict[str, str]
) -> None:
    """The cookie goes along with it, the token does not (CSRF)."""
    encoded = {name: value.encode() for name, value in headers.items()}
    answer = anna.ask("POST", "/things", headers=encoded)
    assert answer.status_code == 403
    assert "page of this node" in answer.json()["detail"]
    for path in ("/account", "/account/sessions/1", "/logout"):
        assert anna.post(path, {"old": PASSWORD, "new": NEW, "again": NEW}).status_code == 403
    assert anna.is_in()


def test_the_token_of_another_session_is_no_token(house: House, anna: Browser) -> None:
    """Eve cannot put her own into a form for Anna."""
    house.add("eve", Role.OPERATOR)
    eve = house.browser()
    eve.log_in("eve")
    assert anna.ask("POST", "/things", headers={"X-CSRF-Token": eve.csrf()}).status_code == 403


def test_our_own_pages_bring_the_token_along(anna: Browser) -> None:
    """As a header, with any body, or as the field of a form."""
    token = anna.csrf()
    body = b'{"a": 1}'
    answer = anna.ask("POST", "/things", content=body, headers={"X-CSRF-Token": token})
    assert (answer.status_code, answer.json()) == (200, len(body))
    assert anna.post("/things", {"csrf_token": token, "a": "1"}).status_code == 200


def test_a_first_password_has_to_be_replaced(house: House) -> None:
    """Until then its owner may do nothing else; whoever gave it to them knows it, too."""
    house.add("anna", Role.ADMIN, must_change=True)
    browser = house.browser()
    assert browser.log_in(onward="/things").headers["Location"] == "/account"
    assert browser.get("/things").status_code == 403
    page = browser.get("/things", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Location"]) == (303, "/account")
    assert "Choose a password of your own" in browser.get("/account").text
    change = {"old": PASSWORD, "new": NEW, "again": NEW, "csrf_token": browser.csrf()}
    assert browser.post("/account", change).status_code == 303
    assert browser.get("/things").status_code == 200


def test_a_new_password_throws_everybody_else_out(house: House, anna: Browser) -> None:
    """One of them may be the reason for it; whoever changes it stays, with a new secret."""
    elsewhere = house.browser()
    elsewhere.log_in()
    before = session_of(anna)
    change = {"old": PASSWORD, "new": NEW, "again": NEW, "csrf_token": anna.csrf()}
    answer = anna.post("/account", change)
    assert answer.status_code == 303
    assert "The password is changed." in anna.get(answer.headers["Location"]).text
    assert session_of(anna) != before
    assert not elsewhere.is_in()
    assert elsewhere.log_in().status_code == 401
    assert elsewhere.log_in(password=NEW).status_code == 303


@pytest.mark.parametrize(
    ("old", "new", "again", "why"),
    [
        pytest.param("wrong", NEW, NEW, "The present password is wrong.", id="not the old one"),
        pytest.param(PASSWORD, NEW, NEW + "!", "The two new passwords differ.", id="a slip"),
        pytest.param(PASSWORD, "short", "short", "less than 12 characters", id="short"),
        pytest.param(PASSWORD, "x" * 257, "x" * 257, "too long", id="long"),
        pytest.param(PASSWORD, "abababababab", "abababababab", "too easy", id="monotonous"),
        pytest.param(PASSWORD, "Anna-and-2026", "Anna-and-2026", "too easy", id="the name"),
        pytest.param(PASSWORD, PASSWORD, PASSWORD, "is the old one", id="the same"),
    ],
)
def test_a_password_that_is_not_taken_changes_nothing(
    anna: Browser, house: House, old: str, new: str, again: str, why: str
) -> None:
    """The page says why and shows no password."""
    form = {"old": old, "new": new, "again": again, "csrf_token": anna.csrf()}
    answer = anna.post("/account", form)
    assert answer.status_code in {400, 401}
    assert why in answer.text
    assert f'value="{new}"' not in answer.text
    assert house.browser().log_in().status_code == 303


def test_one_sees_and_ends_ones_own_sessions(house: House, anna: Browser) -> None:
    """Where a browser was left open; nobody ends those of others."""
    house.add("eve")
    eve, left = house.browser(), house.browser(headers={"User-Agent": "<b>Left & open</b>"})
    eve.log_in("eve")
    left.log_in()
    page = anna.get("/account").text
    assert "&lt;b&gt;Left &amp; open&lt;/b&gt;" in page
    assert "<b>" not in page
    (number,) = re.findall(r'action="/account/sessions/([0-9]+)', page)
    assert eve.post(f"/account/sessions/{number}", {"csrf_token": eve.csrf()}).status_code == 303
    assert left.is_in()
    assert anna.post(f"/account/sessions/{number}", {"csrf_token": anna.csrf()}).status_code == 303
    assert not left.is_in()
    assert anna.is_in()


def test_who_is_wrong_too_often_waits(house: House) -> None:
    """Even with the right password; somebody else at another address does not."""
    house.add("anna")
    guesser = house.browser()
    for _ in range(5):
        assert guesser.log_in(password="wrong").status_code == 401  # noqa: S106
    answer = guesser.log_in()
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert f"Try again in {answer.headers['Retry-After']} seconds." in answer.text
    assert house.browser(address="192.0.2.8").log_in().status_code == 303


def test_one_address_cannot_try_every_account(house: House) -> None:
    """One password for a thousand names is guessing, too; IPv6 counts by network."""
    house.add("anna")
    for number in range(30):
        guesser = house.browser(address=f"2001:db8::{number:x}")
        assert guesser.log_in(f"name{number}", "wrong").status_code == 401
    assert house.browser(address="2001:db8::ffff").log_in().status_code == 429
    assert house.browser(address="2001:db9::1").log_in().status_code == 303


def test_many_tries_at_once_do_not_slip_through(house: House) -> None:
    """A try counts before it is known to be wrong."""
    house.add("anna")

    async def burst() -> list[int]:
        tries = [house.check.account("anna", f"wrong {n}", "192.0.2.7") for n in range(40)]
        ends = await asyncio.gather(*tries, return_exceptions=True)
        return [end.status_code for end in ends if isinstance(end, HTTPException)]

    statuses = asyncio.run(burst())
    assert (statuses.count(401), statuses.count(429)) == (5, 35)


def test_an_old_hash_is_made_anew_at_the_login(house: House) -> None:
    """When the settings of argon2 become stronger, nobody has to choose another password."""
    house.add("anna")
    house.passwords._hasher = PasswordHasher(2, 16, 1)
    house.browser().log_in()
    account = house.accounts.account("anna")
    assert account is not None
    assert account.password_hash.startswith("$argon2id$v=19$m=16,t=2,p=1$")
    assert house.browser().log_in().status_code == 303


@pytest.mark.parametrize(
    "onward",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example"),
        *("javascript:alert(1)", "evil", "/a\r\nSet-Cookie: x=1", "/a\tb", "/\tevil", "/ü", ""),
    ],
)
def test_the_login_leads_nowhere_else(house: House, onward: str) -> None:
    """A link to the login cannot send somebody to a page that looks like it (open redirect)."""
    house.add("anna")
    answer = house.browser().log_in(onward=onward)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert answer.headers.get_list("Set-Cookie") == [answer.headers["Set-Cookie"]]
    assert safe_next(onward) == "/"


def test_what_is_in_the_address_is_text_in_the_page(house: House) -> None:
    """Nobody writes into our pages with a link (XSS)."""
    page = house.browser().get('/login?next=/"><script>alert(1)</script>&lang="><script>').text
    assert "<script" not in page


def test_a_page_has_no_script_and_no_style_of_its_own(anna: Browser) -> None:
    """The policy in its headers would not run them either."""
    for path in ("/login", "/account"):
        page = anna.get(path, headers={"Cookie": ""} if path == "/login" else {}).text
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|https?://", page)
    style = anna.get("/login/login.css")
    assert style.headers["Content-Type"].startswith("text/css")


@pytest.mark.parametrize(
    ("asked", "query", "title"),
    [
        pytest.param("zh-CN,zh;q=0.9,en;q=0.8", "", "登录", id="Chinese"),
        pytest.param("de-DE,de;q=0.9,zh-TW;q=0.5,en;q=0.3", "", "登录", id="rather Chinese"),
        pytest.param("de, en;q=0.1, zh;q=0", "", "Log in", id="no Chinese"),
        pytest.param("zh;q=much", "", "Log in", id="nonsense"),
        pytest.param("", "", "Log in", id="nothing"),
        pytest.param("zh", "?lang=en", "Log in", id="a link goes before"),
    ],
)
def test_the_page_speaks_as_the_browser_asks(
    house: House, asked: str, query: str, title: str
) -> None:
    """English or Chinese."""
    page = house.browser().get(f"/login{query}", headers={"Accept-Language": asked}).text
    assert f"<h1>{title}</h1>" in page
    chosen = {"Accept-Language": asked, "Cookie": "language=zh"}
    assert "<h1>登录</h1>" in house.browser().get("/login", headers=chosen).text


def test_both_languages_say_the_same() -> None:
    """No sentence is missing in one of them, none lacks its number."""
    english, chinese = WORDS["en"], WORDS["zh"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", chinese[key])), key


def test_before_the_first_account_the_page_says_how_to_add_one(house: House) -> None:
    """And no longer when there is one."""
    assert "dicom-ai-node users add NAME" in house.browser().get("/login").text
    house.add("anna")
    assert "dicom-ai-node users add" not in house.browser().get("/login").text


def test_who_is_in_is_not_asked_again(anna: Browser) -> None:
    """A bookmark of the login leads on."""
    assert anna.get("/login?next=/things").headers["Location"] == "/things"


def test_a_form_is_a_form(house: House) -> None:
    """JSON, files and floods are refused."""
    browser = house.browser()
    assert browser.ask("POST", "/login", json={"name": "anna"}).status_code == 415
    assert browser.ask("POST", "/login", files={"name": b"anna"}).status_code == 415
    many = "&".join(f"a{n}=1" for n in range(200))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.ask("POST", "/login", content=many, headers=kind).status_code == 400
    assert browser.post("/login", {"name": "x" * 1024**2}).status_code == 413


def test_no_secret_and_no_typed_name_reaches_the_log(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is typed into the field of the name may be the password."""
    house.add("anna")
    browser = house.browser()
    browser.log_in(PASSWORD, "anna")
    browser.log_in()
    browser.get("/things", headers={"Authorization": "Bearer dan_secret"})
    said = capsys.readouterr().err
    assert "login_refused" in said
    assert "logged_in" in said
    for secret in (PASSWORD, session_of(browser), "dan_secret"):
        assert secret not in said
