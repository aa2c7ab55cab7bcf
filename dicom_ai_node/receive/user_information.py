"""What an association request says in its user information item, and our answer, PS3.7 Annex D.3.3.

Who sends us objects says nothing here but how long a PDU may be. Who wants a C-GET offers the role
of the provider for the storage classes, and who knows of relational queries asks for them. What
we do not know, such as asynchronous operations, is not answered, which the standard reads as a no.
So is a user identity, D.3.3.7: of it nothing is kept but its kind, for the rest is a person.
"""

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dicom_ai_node.receive.contexts import QUERY_RETRIEVE, STORAGE_COMMITMENT, storage_classes

_MAXIMUM_LENGTH, _ROLE_SELECTION, _EXTENDED, _USER_IDENTITY = 0x51, 0x54, 0x56, 0x58
IDENTITIES: Mapping[int, str] = MappingProxyType({
    1: "user name", 2: "user name and passcode", 3: "Kerberos ticket", 4: "SAML assertion",
    5: "JSON web token",
})  # fmt: skip
"""Kinds of user identity, PS3.7 Table D.3-14."""
SHORTEST_PDU_BYTES = 128
"""Nobody means less, and to somebody who says so an image would be a million PDUs."""

_RELATIONAL, _DATE_AND_TIME, _FUZZY = _KNOWN_BYTES = range(3)
"""Places in the application information of C-FIND, PS3.4 C.5.1.1; C-MOVE has the first only."""


@dataclass(slots=True, kw_only=True)
class UserInformation:
    """What the peer asks for beside its presentation contexts.

    Attributes
    ----------
    longest_pdu_bytes
        Of the P-DATA that it takes; 0 means as long as we like.
    roles
        By SOP class whether it wants to be user, and whether it wants to be provider.
    extended
        By SOP class its application information.
    identity
        Which kind of user identity it brings, `None` for none.
    """

    longest_pdu_bytes: int = 0
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)
    identity: str | None = None

    def provided(self, accepted: Collection[str]) -> frozenset[str]:
        """Return the storage classes among `accepted` that the peer takes from us in a C-GET."""
        return frozenset(
            uid
            for uid, (_, is_provider) in self.roles.items()
            if is_provider and uid in accepted and uid in storage_classes()
        )

    def wants(self, place: int) -> frozenset[str]:
        """Return the query/retrieve classes that the peer asks to extend at a place."""
        return frozenset(
            uid
            for uid, asked in self.extended.items()
            if uid in QUERY_RETRIEVE and asked[place : place + 1] == b"\1"
        )

    @property
    def relational(self) -> frozenset[str]:
        """The classes with relational queries or retrieval."""
        return self.wants(_RELATIONAL)

    @property
    def date_and_time(self) -> frozenset[str]:
        """The classes with a range of dates and one of times as one span."""
        return self.wants(_DATE_AND_TIME)

    @property
    def fuzzy(self) -> frozenset[str]:
        """The classes with fuzzy semantic matching of names."""
        return self.wants(_FUZZY)

    def answer(self, accepted: Collection[str]) -> Iterator[tuple[int, bytes]]:
        """Yield kind and body of the items that answer, for the SOP classes that we accepted.

        Whoever asks to be a user may be one. To be a provider means to take what we send, and
        that is for storage classes only, or to tell us what it commits to.
        """
        provided = self.provided(accepted) | {STORAGE_COMMITMENT}
        for uid, (is_user, is_provider) in self.roles.items():
            if uid in accepted:
                grants = is_provider and uid in provided
                yield _ROLE_SELECTION, _named(uid) + bytes((is_user, grants))
        for uid, asked in self.extended.items():
            if uid in accepted and uid in QUERY_RETRIEVE:
                agreed = bytes(
                    place in _KNOWN_BYTES and value == 1 for place, value in enumerate(asked)
                )
                yield _EXTENDED, _named(uid) + agreed


def user_information(items: Iterator[tuple[int, bytes]]) -> UserInformation:
    """Read the items in the user information of a request; one that is malformed asks nothing."""
    found = UserInformation()
    for kind, body in items:
        if kind == _MAXIMUM_LENGTH:
            length = int.from_bytes(body[:4], "big")
            found.longest_pdu_bytes = length and max(length, SHORTEST_PDU_BYTES)
        elif kind == _ROLE_SELECTION:
            uid, rest = _split(body)
            found.roles.setdefault(uid, (rest[:1] == b"\1", rest[1:2] == b"\1"))
        elif kind == _EXTENDED:
            uid, rest = _split(body)
            found.extended.setdefault(uid, rest)
        elif kind == _USER_IDENTITY:
            found.identity = IDENTITIES.get(body[0] if body else 0, "of an unknown kind")
    return found


def _split(body: bytes) -> tuple[str, bytes]:
    """Return the UID at the beginning of an item, and what follows it."""
    length = int.from_bytes(body[:2], "big")
    return body[2 : 2 + length].decode("ascii", errors="replace").strip(" \0"), body[2 + length :]


def _named(uid: str) -> bytes:
    encoded = uid.encode("ascii", errors="replace")
    return struct.pack(">H", len(encoded)) + encoded
