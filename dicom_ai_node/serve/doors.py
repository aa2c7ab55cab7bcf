"""The way in that needs no ledger: nobody has to say who they are."""

from fastapi import Request

from dicom_ai_node.serve.access import EVERYBODY, Person


class OpenDoor:
    """Asks nobody who they are; the configuration allows it on loopback only."""

    async def who(self, _request: Request) -> Person:
        """Return everybody."""
        return EVERYBODY
