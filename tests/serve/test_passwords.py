"""Passwords are kept as they should be, and guessing them takes too long."""

import pytest

from dicom_ai_node.serve.passwords import Passwords, objection
from dicom_ai_node.serve.pauses import MOST_REMEMBERED, Pauses, neighbourhood
from tests.serve.house import FAST


def test_a_password_is_kept_as_argon2id_with_the_settings_of_today() -> None:
    """64 MiB and three passes; each hash with a salt of its own."""
    passwords = Passwords()
    first, second = (passwords.hashed("correct horse battery") for _ in range(2))
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert first != second
    assert passwords.is_right(first, "correct horse battery")
    assert not passwords.is_outdated(first)
    assert passwords.is_outdated(Passwords(FAST).hashed("x"))


@pytest.mark.parametrize("kept", [None, "", "plain", "$argon2id$v=19$m=8,t=1,p=1$x$y"])
def test_without_a_hash_no_password_is_right(kept: str | None) -> None:
    """Nor with a broken one."""
    assert not Passwords(FAST).is_right(kept, "of nobody")


def test_one_password_is_one_however_it_is_typed() -> None:
    """A keyboard that composes é of two characters, or types Chinese in full width."""
    passwords = Passwords(FAST)
    kept = passwords.hashed("cafe\u0301 \uff11\uff12\uff13 密码")
    assert passwords.is_right(kept, "caf\u00e9 123 密码")


@pytest.mark.parametrize(
    ("password", "key"),
    [
        pytest.param("correct horse battery", "", id="a sentence"),
        pytest.param("我们的医院今天也很忙碌吗", "", id="a Chinese sentence"),
        pytest.param("12345678901", "too_short", id="short"),
        pytest.param("", "too_short", id="nothing"),
        pytest.param("x" * 257, "too_long", id="long"),
        pytest.param("aaaaaaaaaaaa", "too_easy", id="one character"),
        pytest.param("ANNA ANNA 2026", "too_easy", id="the name"),
    ],
)
def test_what_is_easy_to_guess_is_not_taken(password: str, key: str) -> None:
    """Long is what counts."""
    assert objection(password, "anna") == key


def test_pauses_grow_and_end() -> None:
    """Five tries are free; then one second, two, four, to a longest."""
    clock = [0.0]
    pauses = Pauses(free=5, longest_seconds=60, clock=lambda: clock[0])
    waited = []
    for _ in range(14):
        waited.append(pauses.seconds("anna"))
        clock[0] += waited[-1]
        pauses.count("anna")
    assert waited == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert pauses.seconds("ben") == 0
    clock[0] += 3601
    pauses.count("anna")
    assert pauses.seconds("anna") == 0, "after an hour it is forgotten"


def test_who_was_right_is_forgiven() -> None:
    """One try is taken back, or all of them."""
    pauses = Pauses(free=1, longest_seconds=60, clock=lambda: 0.0)
    pauses.count("a")
    pauses.count("a")
    assert pauses.seconds("a") == 2
    pauses.forgive("a")
    assert pauses.seconds("a") == 1
    pauses.forget("a")
    assert pauses.seconds("a") == 0
    pauses.forgive("never seen")


def test_the_memory_of_failures_is_bounded() -> None:
    """Whoever makes up a million names fills nothing."""
    pauses = Pauses(free=1, longest_seconds=60, clock=lambda: 0.0)
    for number in range(MOST_REMEMBERED + 50):
        pauses.count(str(number))
    assert len(pauses._records) == MOST_REMEMBERED
    assert pauses.seconds("0") == 0
    assert pauses.seconds(str(MOST_REMEMBERED)) > 0


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "", True),
    ],
)
def test_a_customer_has_one_address(one: str, other: str, is_same: bool) -> None:
    """Of IPv6 a whole network."""
    assert (neighbourhood(one) == neighbourhood(other)) is is_same
