"""Names and passwords in each request (RFC 7617), for programs that know nothing else."""

import asyncio
import base64
import binascii
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from weakref import WeakValueDictionary

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from dicom_ai_node.domain.accounts import Account, Accounts
from dicom_ai_node.serve.address import is_loopback
from dicom_ai_node.serve.password_check import PasswordCheck

REMEMBERED_SECONDS = 300.0
MOST_REMEMBERED = 100


class Basic:
    """Remembers for a while which passwords were right: trying one takes a tenth of a second."""

    def __init__(
        self,
        accounts: Accounts,
        check: PasswordCheck,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._check = check
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._trying: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def account(self, request: Request, given: str) -> Account:
        """Return whose name and password these are.

        Raises
        ------
        HTTPException
            401, if they are not right, or came where others could read them; 429, if they have
            been wrong too often.
        """
        address = address_of(request)
        if not is_safe(request) and not is_loopback(address):
            raise HTTPException(401, "passwords go over https:// only")
        name, password = _pair(given)
        seal = hmac.digest(self._key, given.encode("utf-8", "replace"), "sha256")
        # A program that sends six requests at once has its password tried once.
        lock = self._trying.setdefault(seal, asyncio.Lock())
        async with lock:
            known = await self._remembered(seal, name)
            return known or await self._tried(seal, name, password, address)

    async def _remembered(self, seal: bytes, name: str) -> Account | None:
        until, password_hash = self._right.get(seal, (0.0, ""))
        if until <= self._clock():
            return None
        account = await run_in_threadpool(self._accounts.account, name)
        if account is None or account.is_disabled or account.password_hash != password_hash:
            self._right.pop(seal, None)
            return None
        return account

    async def _tried(self, seal: bytes, name: str, password: str, address: str) -> Account:
        account = await self._check.account(name, password, address)
        self._right[seal] = (self._clock() + REMEMBERED_SECONDS, account.password_hash)
        if len(self._right) > MOST_REMEMBERED:
            self._right.popitem(last=False)
        return account


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""


def is_safe(request: Request) -> bool:
    """Return whether nobody can listen on the way; a WebSocket has names of its own for it."""
    return request.url.scheme in {"https", "wss"}


def _pair(given: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(given, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise HTTPException(401, "this is no name and password") from error
    name, _, password = text.partition(":")
    return name.strip().lower(), password
