"""Passwords: kept as argon2id hashes (RFC 9106), refused when they are easy to guess."""

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
LONGEST = 256
FEWEST_CHARACTERS = 5
"""So many different ones are in a password; `aaaaaaaaaaaa` is as good as none."""


def objection(password: str, name: str) -> str:
    """Return the key of a sentence that says why a password is not taken; empty if it is.

    Long is what counts (NIST SP 800-63B): no rule asks for digits or punctuation.
    """
    plain = _plain(password)
    if len(plain) < SHORTEST:
        return "too_short"
    if len(plain) > LONGEST:
        return "too_long"
    if len(set(plain.casefold())) < FEWEST_CHARACTERS or name in plain.casefold():
        return "too_easy"
    return ""


class Passwords:
    """Turns passwords into hashes and tells whether one is right."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        # 64 MiB and three passes, the second choice of RFC 9106.
        self._hasher = hasher or PasswordHasher()
        self._of_nobody = self._hasher.hash("of nobody")

    def hashed(self, password: str) -> str:
        """Return what is kept of a password."""
        return self._hasher.hash(_plain(password))

    def is_right(self, password_hash: str | None, password: str) -> bool:
        """Return whether this is the password; it takes as long where there is none."""
        if len(password) > LONGEST:
            return False
        kept = self._of_nobody if password_hash is None else password_hash
        try:
            self._hasher.verify(kept, _plain(password))
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether a hash was made with weaker settings than today's."""
        return self._hasher.check_needs_rehash(password_hash)


def _plain(password: str) -> str:
    # The same characters however a keyboard composes them.
    return unicodedata.normalize("NFKC", password)
