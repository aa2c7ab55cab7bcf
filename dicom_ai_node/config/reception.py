"""The section `receive` of `ae_config.yaml`: who may come in."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from dicom_ai_node.config.values import Address, AETitleText, Port, Seconds, Section


class Deadlines(Section):
    """How long a peer may take."""

    association_seconds: Seconds = Field(
        10.0, description="from the TCP connection to the end of the association request"
    )
    pdu_seconds: Seconds = Field(60.0, description="from the first to the last byte of one PDU")
    idle_seconds: Seconds = Field(120.0, description="between two messages of an association")


class Sender(Section):
    """An application entity that may open an association, to send to us unless `may` says more."""

    ae_title: AETitleText
    address: Address | None = Field(
        None,
        description="an IP address or a network; without it the AE title may come from anywhere",
    )
    may: tuple[Literal["store", "query"], ...] = Field(
        ("store",),
        min_length=1,
        description="store: send to us; query: find and fetch what we hold of any patient",
    )

    @model_validator(mode="after")
    def _is_somebody(self) -> "Sender":
        if self.ae_title == "*" and self.address is None and "query" in self.may:
            raise ValueError('whoever may query needs an ae_title other than "*", or an address')
        return self


def _sender(said: Any) -> Any:  # noqa: ANN401 - anything can stand in a YAML file
    if not isinstance(said, str | dict | Sender):
        raise ValueError("must be an AE title in quotes, or {ae_title: ..., address: ...}")  # noqa: TRY004 - pydantic wants ValueError
    return {"ae_title": said} if isinstance(said, str) else said


class Receive(Section):
    """Who may send to us and who may query, under which name, and how much."""

    ae_title: AETitleText
    host: str = Field("0.0.0.0", description="the address to listen on")  # noqa: S104 - a DICOM node listens on the hospital network
    port: Port = 11112
    accept_from: tuple[Annotated[Sender, BeforeValidator(_sender)], ...] = Field(
        min_length=1,
        description="AE titles, or {ae_title, address, may}; everybody else is refused",
    )
    processes: int = Field(2, ge=1, le=64, description="receivers that share the port")
    max_associations: int = Field(64, ge=1, le=4096, description="at the same time, per process")
    max_pdu_bytes: int = Field(131_072, ge=4_096, le=4_194_304)
    max_instance_bytes: int = Field(4 * 1024**3, ge=1024**2)
    max_answers: int = Field(10_000, ge=1, le=1_000_000, description="to one C-FIND")
    deadlines: Deadlines = Deadlines()
