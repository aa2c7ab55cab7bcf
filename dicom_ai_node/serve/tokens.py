"""Tokens in each request (RFC 6750): ours, the one of the configuration, those of a provider."""

import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from fastapi import HTTPException

from dicom_ai_node.domain.accounts import TOKEN_PREFIX, Accounts, Role, digest
from dicom_ai_node.serve.access import Person


class Provider(Protocol):
    """Knows the tokens of an identity provider."""

    def holder(self, token: str) -> Person | None:
        """Return whom a token was issued to; `None` if it is not valid here."""


class Bearer:
    """Knows who holds which token."""

    def __init__(
        self,
        accounts: Accounts,
        admin_token: str | None,
        provider: Provider | None,
        now: Callable[[], datetime],
    ) -> None:
        self._accounts = accounts
        self._admin_token = None if admin_token is None else admin_token.encode()
        self._provider = provider
        self._now = now

    def holder(self, token: str) -> Person:
        """Return who holds a token.

        Raises
        ------
        HTTPException
            401, if nobody does.
        """
        person = self._admin(token) or self._ours(token) or self._theirs(token)
        if person is None:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HTTPException(401, "who are you?", challenge)
        return person

    def _admin(self, token: str) -> Person | None:
        # The bytes as they came; the comparison takes as long whichever of them is wrong.
        given = token.encode("latin-1", "replace")
        if self._admin_token is None or not hmac.compare_digest(given, self._admin_token):
            return None
        return Person(name="token", roles=frozenset({Role.ADMIN}))

    def _ours(self, token: str) -> Person | None:
        if not token.startswith(TOKEN_PREFIX):
            return None
        # Looked up by its digest: how long that takes says nothing about the token.
        found = self._accounts.token(digest(token), self._now())
        return None if found is None else Person(name=found.name, roles=found.roles | {Role.KNOWN})

    def _theirs(self, token: str) -> Person | None:
        if self._provider is None or token.count(".") != 2:  # noqa: PLR2004 - three parts, RFC 7515
            return None
        return self._provider.holder(token)
