"""Tokens of an identity provider: JWT (RFC 7519), signed with RS256 or ES256, and nothing else."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, GuestProtocol, KeySet, RSAKey

from dicom_ai_node.domain.accounts import Role
from dicom_ai_node.serve.access import Person

log = structlog.get_logger()

ALGORITHMS = ("RS256", "ES256")
SKEW_SECONDS = 60
"""By how much the clock of the provider may be wrong."""
LONGEST_TOKEN = 16_384
FRESH_SECONDS = 600.0
"""After which the keys are fetched anew."""
ASK_AGAIN_SECONDS = 60.0
"""Before which they are not, whatever key a token names."""
MOST_KEYS_BYTES = 256 * 1024
_PATIENCE_SECONDS = 5.0
_SMALLEST_RSA_BITS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """What a token has to say, and what it means here."""

    name: str
    audience: str
    roles_claim: str
    roles: Mapping[str, Role]
    name_claim: str


class Jwks:
    """The keys of a provider (RFC 7517), from a file or a URL; kept for a while."""

    def __init__(self, source: str | Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: dict[str, RSAKey | ECKey] = {}
        self._fetched = self._asked = float("-inf")
        self._turn = threading.Lock()

    def key(self, kid: str) -> RSAKey | ECKey | None:
        """Return the key of this name."""
        with self._turn:
            now = self._clock()
            is_stale = now - self._fetched > FRESH_SECONDS
            if (is_stale or kid not in self._keys) and now - self._asked > ASK_AGAIN_SECONDS:
                self._asked = now
                self._fetch(now)
            return self._keys.get(kid)

    def _fetch(self, now: float) -> None:
        try:
            found = KeySet.import_key_set(_json(self._source))
        except (OSError, httpx.HTTPError, JoseError, ValueError, TypeError, KeyError):
            # The keys that are known stay good: their provider is away, not another one.
            log.warning("keys_not_fetched", reason="the provider of serve.oidc gives no keys")
            return
        self._fetched = now
        self._keys = {key.kid: key for key in found.keys if key.kid and _is_fit(key)}  # type: ignore[misc]


class JwtProvider:
    """Knows whom a token was issued to; implements `serve.tokens.Provider`."""

    def __init__(self, issuer: Issuer, keys: Jwks, now: Callable[[], datetime]) -> None:
        self._issuer = issuer
        self._keys = keys
        self._now = now

    def holder(self, token: str) -> Person | None:
        """Return whom a token was issued to; `None` if it is not valid here."""
        if len(token) > LONGEST_TOKEN:
            return None
        try:
            return self._holder(token)
        except (JoseError, ValueError, TypeError, KeyError):
            return None

    def _holder(self, token: str) -> Person:
        claims = jwt.decode(token, self._key, algorithms=list(ALGORITHMS)).claims
        self._rules().validate(claims)
        issuer = self._issuer
        said = _claim(claims, issuer.roles_claim)
        named = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        roles = {issuer.roles[one] for one in named if isinstance(one, str) and one in issuer.roles}
        name = _claim(claims, issuer.name_claim)
        if not isinstance(name, str) or not name:
            raise ValueError("the token does not say whose it is")
        return Person(name=name, roles=frozenset({*roles, Role.KNOWN}))

    def _key(self, guest: GuestProtocol) -> RSAKey | ECKey:
        key = self._keys.key(str(guest.headers().get("kid", "")))
        if key is None:
            raise ValueError("nobody knows this key")
        return key

    def _rules(self) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self._now().timestamp()),
            leeway=SKEW_SECONDS,
            iss={"essential": True, "value": self._issuer.name},
            aud={"essential": True, "value": self._issuer.audience},
            exp={"essential": True},
        )


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """Return a claim, or one within another: Keycloak has its roles in `realm_access.roles`."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _is_fit(key: object) -> bool:
    """Return whether a key is one for signatures, and long enough."""
    match key:
        case RSAKey():
            return key.get("use") in {None, "sig"} and key.raw_value.key_size >= _SMALLEST_RSA_BITS
        case ECKey():
            return key.get("use") in {None, "sig"} and key.get("crv") == "P-256"
    return False


def _json(source: str | Path) -> Any:  # noqa: ANN401 - whatever JSON it is
    if isinstance(source, Path):
        return json.loads(source.read_bytes())
    found = b""
    with httpx.stream("GET", source, timeout=_PATIENCE_SECONDS) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            found += part
            if len(found) > MOST_KEYS_BYTES:
                raise ValueError("more than keys need")
    return json.loads(found)
