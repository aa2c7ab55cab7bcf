"""What the body of a request to store is made of, PS3.18 10.5.1, and what reads it."""

from dataclasses import dataclass

from starlette.requests import Request

from dicom_ai_node.receive.depot import Takings
from dicom_ai_node.receive.media import DICOM, DICOM_JSON, DICOM_XML, MULTIPART, media_type
from dicom_ai_node.receive.metadata import MetadataParts
from dicom_ai_node.receive.multipart import Multipart
from dicom_ai_node.receive.parts import InstanceParts, Reading, WrongType, check_encoding


@dataclass(frozen=True, slots=True)
class Form:
    """What a body is made of: parts of one type, or one without a boundary."""

    parts: str
    multipart: Multipart | None

    @property
    def holds_instances(self) -> bool:
        """Whether parts are Part 10 files, and not headers and bulk data."""
        return self.parts == DICOM

    @classmethod
    def of(cls, request: Request) -> "Form":
        """Return what the headers of a request say.

        Raises
        ------
        WrongType
            If nothing reads such a body.
        NotUnderstood
            If it has no boundary.
        """
        check_encoding(request.headers)
        kind = media_type(request.headers.get("Content-Type", ""))
        if kind.name == DICOM:
            return cls(DICOM, None)
        if kind.name != MULTIPART:
            raise WrongType(f"the body must be {MULTIPART} or {DICOM}")
        multipart = Multipart(kind.parameters.get("boundary", ""))
        parts = kind.parameters.get("type", DICOM).lower()
        if parts not in {DICOM, DICOM_JSON, DICOM_XML}:
            raise WrongType(f"parts must be {DICOM}, {DICOM_JSON} or {DICOM_XML}")
        return cls(parts, multipart)

    def reading(self, takings: Takings) -> Reading:
        """Return what reads the body."""
        if self.holds_instances:
            return Reading(InstanceParts(takings), self.multipart)
        parts = MetadataParts(takings, is_xml=self.parts == DICOM_XML)
        return Reading(parts, self.multipart)
