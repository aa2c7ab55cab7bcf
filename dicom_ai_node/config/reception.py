"""The section `receive` of `ae_config.yaml`: who may come in."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from dicom_ai_node.config.values import (
    Address,
    AETitleText,
    CertificateText,
    PathHere,
    Port,
    Seconds,
    Section,
)


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
    certificate: CertificateText | None = Field(
        None,
        description="the sha256 fingerprint of the certificate that it has to show over TLS, or"
        " a name of a host in it (its common name, if it has none)",
    )
    may: tuple[Literal["store", "query"], ...] = Field(
        ("store",),
        min_length=1,
        description="store: send to us; query: find and fetch what we hold of any patient",
    )

    @model_validator(mode="after")
    def _is_somebody(self) -> "Sender":
        is_anybody = self.ae_title == "*" and self.address is None and self.certificate is None
        if is_anybody and "query" in self.may:
            raise ValueError(
                'whoever may query needs an ae_title other than "*", an address or a certificate'
            )
        return self


def _sender(said: Any) -> Any:  # noqa: ANN401 - anything can stand in a YAML file
    if not isinstance(said, str | dict | Sender):
        raise ValueError("must be an AE title in quotes, or {ae_title: ..., address: ...}")  # noqa: TRY004 - pydantic wants ValueError
    return {"ae_title": said} if isinstance(said, str) else said


class DicomTls(Section):
    """DICOM over TLS, PS3.15 Annex B: TLS 1.2 and 1.3; all files in PEM, looked at for changes."""

    port: Port = Field(2762, description="the registered one for DICOM over TLS")
    certificate: PathHere = Field(description="with the chain, the node's own first")
    key: PathHere
    trusted: PathHere | None = Field(
        None,
        description="CAs, or single certificates, of the peers, who then have to show one;"
        " without it anybody may connect",
    )
    revoked: PathHere | None = Field(
        None, description="lists of certificates (CRL) that these CAs have taken back, one of each"
    )
    profile: Literal["rfc8996", "rfc8996-modified"] = Field(
        "rfc8996",
        description="PS3.15 B.12 (ECDHE with AES-GCM), or B.13 (ChaCha20 and AES-CCM as well)",
    )

    @model_validator(mode="after")
    def _knows_who_revokes(self) -> "DicomTls":
        if self.revoked is not None and self.trusted is None:
            raise ValueError("revoked are certificates of CAs, and needs trusted")
        return self


class Receive(Section):
    """Who may send to us and who may query, under which name, and how much."""

    ae_title: AETitleText
    host: str = Field("0.0.0.0", description="the address to listen on")  # noqa: S104 - a DICOM node listens on the hospital network
    port: Port | None = Field(
        11112, description="in clear text; closed with null, and where only `tls` is given"
    )
    tls: DicomTls | None = Field(None, description="{certificate: ..., key: ..., trusted: ...}")
    accept_from: tuple[Annotated[Sender, BeforeValidator(_sender)], ...] = Field(
        min_length=1,
        description="AE titles, or {ae_title, address, certificate, may}; others are refused",
    )
    processes: int = Field(2, ge=1, le=64, description="receivers that share the port")
    max_associations: int = Field(64, ge=1, le=4096, description="at the same time, per process")
    max_pdu_bytes: int = Field(131_072, ge=4_096, le=4_194_304)
    max_instance_bytes: int = Field(4 * 1024**3, ge=1024**2)
    max_answers: int = Field(10_000, ge=1, le=1_000_000, description="to one C-FIND")
    deadlines: Deadlines = Deadlines()

    @model_validator(mode="before")
    @classmethod
    def _closed_by_tls(cls, said: Any) -> Any:  # noqa: ANN401
        """Whoever asks for encryption does not mean to leave the other door open."""
        if isinstance(said, dict) and said.get("tls") is not None:
            return {"port": None} | said
        return said

    @model_validator(mode="after")
    def _is_reachable(self) -> "Receive":
        if self.tls is None and self.port is None:
            raise ValueError("without a port and without tls nobody can send")
        if self.tls is not None and self.tls.port == self.port:
            raise ValueError(f"port and tls.port are both {self.port}")
        if self.tls is None or self.tls.trusted is None:
            for peer in self.accept_from:
                if peer.certificate is not None:
                    raise ValueError(
                        f"nobody can show the certificate of {peer.ae_title} without tls.trusted"
                    )
        return self

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are open, the one in clear text first."""
        secured = None if self.tls is None else self.tls.port
        return tuple(port for port in (self.port, secured) if port is not None)
