"""`ae_config.yaml` as a whole."""

from typing import Any

from pydantic import Field

from dicom_ai_node.config.auditing import Audit
from dicom_ai_node.config.reception import Receive
from dicom_ai_node.config.routes import RouteEntry
from dicom_ai_node.config.sections import (
    Complete,
    Destinations,
    Encode,
    Infer,
    Similar,
    Store,
)
from dicom_ai_node.config.serving import Serve
from dicom_ai_node.config.values import Section
from dicom_ai_node.config.watching import Watch


class NodeConfig(Section):
    """The whole file, in the order in which a study travels."""

    receive: Receive
    store: Store
    complete: Complete = Complete()
    infer: Infer = Infer()
    routes: tuple[RouteEntry, ...] = Field(min_length=1)
    similar: Similar | None = None
    encode: Encode = Encode()
    destinations: Destinations = Field(default_factory=dict)
    serve: Serve | None = None
    watch: Watch = Watch()
    audit: Audit = Audit()

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of the file, for editors and for the reference."""
        return cls.model_json_schema(by_alias=True)
