"""Whether a name and a password belong together: slowly, one after another, not too often."""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime

import structlog
from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool

from dicom_ai_node.domain.accounts import Account, Accounts
from dicom_ai_node.serve.passwords import Passwords
from dicom_ai_node.serve.pauses import Pauses, neighbourhood

log = structlog.get_logger()

AT_ONCE = 2
"""So many passwords are tried at the same time: each takes 64 MiB."""


class PasswordCheck:
    """Knows whose password it is.

    Three counts make guessing slow: of one address for one account, of one address for all, and,
    with a short pause, of all addresses for one account; so nobody can lock out somebody else for
    long.
    """

    def __init__(
        self,
        accounts: Accounts,
        passwords: Passwords,
        now: Callable[[], datetime],
        refused: Callable[[str, str], None] = lambda _name, _address: None,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._now = now
        self.refused = refused
        """Is told the name, if there is such an account, and the address of who was kept out."""
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._pair = Pauses(free=5, longest_seconds=900)
        self._address = Pauses(free=30, longest_seconds=900)
        self._name = Pauses(free=50, longest_seconds=30)

    async def account(self, name: str, password: str, address: str) -> Account:
        """Return the account.

        Raises
        ------
        HTTPException
            401, if the password is wrong or the account disabled or not there; 429, with
            `Retry-After`, if that has been so too often.
        """
        here = neighbourhood(address)
        counts = [(self._pair, f"{name} {here}"), (self._address, here), (self._name, name)]
        pause = math.ceil(max(pauses.seconds(key) for pauses, key in counts))
        if pause:
            log.warning("login_paused", address=address, seconds=pause)
            self.refused("", address)
            raise HTTPException(429, "too many wrong passwords", {"Retry-After": str(pause)})
        # Counted before it is known to be wrong, or many tries at once would slip through.
        for pauses, key in counts:
            pauses.count(key)
        account = await run_in_threadpool(self._accounts.account, name)
        if not await self._is_right(account, password) or account is None or account.is_disabled:
            # What was typed as a name may be a password: only where it came from is logged.
            log.warning("login_refused", address=address)
            self.refused("" if account is None else account.name, address)
            raise HTTPException(401, "wrong name or password")
        self._pair.forget(f"{name} {here}")
        self._address.forgive(here)
        self._name.forget(name)
        return account

    async def hashed(self, password: str) -> str:
        """Return what is kept of a new password."""
        async with self._turn:
            return await run_in_threadpool(self._passwords.hashed, password)

    async def _is_right(self, account: Account | None, password: str) -> bool:
        kept = None if account is None else account.password_hash
        async with self._turn:
            is_right = await run_in_threadpool(self._passwords.is_right, kept, password)
        if is_right and account is not None and self._passwords.is_outdated(account.password_hash):
            await run_in_threadpool(self._accounts.rehash, account, await self.hashed(password))
        return is_right
