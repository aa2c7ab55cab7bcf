"""A trail that only remembers."""

from dicom_ai_node.domain.audit import Happening
from dicom_ai_node.domain.errors import OutOfResources


class Book:
    """Keeps what it is told; a full one cannot."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.is_full = False
        self.writes = 0

    def note(self, *happenings: Happening) -> None:
        """Keep what has happened."""
        self.writes += 1
        if self.is_full:
            raise OutOfResources("full")
        self.happenings += happenings
