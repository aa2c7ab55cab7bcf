"""The section `audit` of `ae_config.yaml`: how long the audit trail is kept, and where it goes."""

from typing import Literal

from pydantic import Field, model_validator

from dicom_ai_node.config.sections import LOOPBACK
from dicom_ai_node.config.values import PathHere, Port, Section


class Repository(Section):
    """An audit repository that takes syslog."""

    host: str = Field(min_length=1)
    port: Port = 6514
    transport: Literal["tls", "tcp", "udp"] = Field(
        "tls", description="tcp and udp have no encryption: on this machine only"
    )
    trusted: PathHere | None = Field(
        None, description="certificates (PEM) that vouch for it; without it those of the machine"
    )
    certificate: PathHere | None = Field(None, description="that the node shows, PEM")
    key: PathHere | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> "Repository":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        if self.transport == "tls":
            return self
        if self.host not in LOOPBACK:
            raise ValueError(f"{self.transport} is for this machine only: audit messages name"
                             " patients; use tls")  # fmt: skip
        if self.trusted or self.certificate:
            raise ValueError("certificates belong to transport: tls")
        return self


class Audit(Section):
    """The audit trail of PS3.15 A.5."""

    to: Repository | None = Field(None, description="where every record is sent")
    keep_days: float | None = Field(
        None,
        gt=0,
        le=36500,
        description="how long records stay here, and until they are sent; without it for ever",
    )
