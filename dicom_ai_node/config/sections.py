"""The sections of `ae_config.yaml` between reception and serving, in their order."""

from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from dicom_ai_node.config.secret import HOW, SecretEntry
from dicom_ai_node.config.values import (
    AETitleText,
    DestinationName,
    Device,
    Digest,
    Fingerprint,
    Modality,
    ModelName,
    Name,
    PathHere,
    Port,
    Seconds,
    Section,
)

_GB = 1_000_000_000
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names of this machine that nobody else can reach."""
_SECRET_KEYS = frozenset({"password", "sslpassword"})
"""Of libpq, in the query of a URL."""


class Store(Section):
    """Where things lie, and for how long."""

    folder: PathHere
    database: str | None = Field(
        None,
        pattern=r"^(sqlite|postgresql\+psycopg)://",
        description="a SQLAlchemy URL; without it a SQLite file in the folder",
    )
    database_password: SecretEntry | None = Field(
        None, description="of the user in `database`; over a socket PostgreSQL needs none"
    )
    keep_days: float = Field(7.0, ge=0, allow_inf_nan=False)
    min_free_gb: float = Field(
        5.0, ge=0, allow_inf_nan=False, description="with less room on the disk nothing is taken"
    )

    @field_validator("database")
    @classmethod
    def _without_password(cls, said: str | None) -> str | None:
        query = (said or "").partition("?")[2]
        # Up to the last @: in a password that somebody has not quoted, anything can stand.
        user = (said or "").partition("://")[2].rpartition("@")[0]
        if ":" in user or _SECRET_KEYS & parse_qs(query, keep_blank_values=True).keys():
            raise ValueError(
                "no password belongs into this file; leave it out and write database_password:"
                f" {HOW}"
            )
        return said

    @model_validator(mode="after")
    def _has_user(self) -> "Store":
        if self.database_password is None:
            return self
        if not urlsplit(self.database or "").username:
            raise ValueError("database_password needs a database of PostgreSQL with a user in it")
        return self

    @property
    def database_url(self) -> str:
        """The URL of the ledger, with the password.

        Raises
        ------
        ConfigError
            If that is not where the file says.
        """
        if self.database is None:
            return f"sqlite:///{self.folder / 'node.db'}"
        if self.database_password is None:
            return self.database
        user, _, rest = self.database.partition("@")
        return f"{user}:{quote(self.database_password.value, safe='')}@{rest}"

    @property
    def min_free_bytes(self) -> int:
        """`min_free_gb` in bytes."""
        return int(self.min_free_gb * _GB)


class Times(NamedTuple):
    """How long to wait after the last arrival, in seconds; see `complete.evidence.Patience`."""

    quiet_seconds: float
    released_quiet_seconds: float
    patience_seconds: float


class ModalityTimes(Section):
    """What is different for one modality."""

    quiet_seconds: Seconds | None = None
    released_quiet_seconds: Seconds | None = None
    patience_seconds: Seconds | None = None


class Complete(Section):
    """When a series counts as complete."""

    quiet_seconds: Seconds = Field(30.0, description="of silence, without further evidence")
    released_quiet_seconds: Seconds = Field(
        5.0, description="of silence, when every association has ended in good order"
    )
    patience_seconds: Seconds = Field(
        300.0, description="of silence, when slices or announced instances are missing"
    )
    modality: dict[Modality, ModalityTimes] = Field(
        default_factory=dict, description="other times for a modality, e.g. {US: {...}}"
    )

    def times(self, modality: str = "") -> Times:
        """Return the times for a series of `modality`."""
        other = self.modality.get(modality, ModalityTimes())
        return Times(
            other.quiet_seconds or self.quiet_seconds,
            other.released_quiet_seconds or self.released_quiet_seconds,
            other.patience_seconds or self.patience_seconds,
        )


class Infer(Section):
    """Which devices run models, how long, and how often."""

    devices: tuple[Device, ...] = Field(
        ("cpu",), min_length=1, description="one worker each; a device may be named twice"
    )
    limit_seconds: Seconds = Field(900.0, description="for one attempt")
    lease_seconds: Seconds = Field(
        60.0, description="without a sign of life after which a job goes to another worker"
    )
    attempts: int = Field(3, ge=1, le=20, description="that may take their worker down")
    models: tuple[PathHere, ...] = Field((), description="more folders with model folders in them")
    max_pixels_gb: float = Field(4.0, gt=0, allow_inf_nan=False, description="of one job, decoded")
    trust: tuple[Digest, ...] = Field(
        (), description="digests of models that may run code; `dicom-ai-node models` shows them"
    )
    trust_keys: tuple[PathHere, ...] = Field(
        (), description="public keys (PEM, Ed25519) of people whose signed models may run code"
    )

    @property
    def max_pixels_bytes(self) -> int:
        """`max_pixels_gb` in bytes."""
        return int(self.max_pixels_gb * _GB)


class Similar(Section):
    """An index of similar images: every series that its model takes is placed in it."""

    model: ModelName = Field(description="of kind retrieve")
    to: tuple[DestinationName, ...] = Field(
        (), description="where key objects go that name earlier studies of the same patient"
    )


class Encode(Section):
    """What every object that we write says about itself."""

    content_qualification: Literal["RESEARCH", "PRODUCT", "SERVICE"] = Field(
        "RESEARCH", description="(0018,9004); RESEARCH also draws a banner into secondary captures"
    )
    contributing_equipment_purpose: tuple[str, str, str] = Field(
        ("109102", "DCM", "Processing Equipment"),
        description="code value, scheme and meaning, PS3.16 CID 7005",
    )


class DestinationTls(Section):
    """TLS to a PACS: whom to take for it, and what to show it; files in PEM, read each time."""

    trusted: PathHere | None = Field(
        None, description="CAs of which one has signed its certificate, or that certificate itself"
    )
    revoked: PathHere | None = Field(
        None, description="lists of certificates (CRL) that these CAs have taken back, one of each"
    )
    fingerprint: Fingerprint | None = Field(
        None, description="the sha256 of its certificate, with `trusted` or instead of it"
    )
    name: str | None = Field(
        None, min_length=1, description="in its certificate, if that says another than `host`"
    )
    certificate: PathHere | None = Field(None, description="what the node shows, with the chain")
    key: PathHere | None = None

    @model_validator(mode="after")
    def _is_sure(self) -> "DestinationTls":
        if self.trusted is None and self.fingerprint is None:
            raise ValueError("needs trusted or fingerprint, or anybody could pose as it")
        if self.revoked is not None and self.trusted is None:
            raise ValueError("revoked are certificates of CAs, and needs trusted")
        if self.name is not None and self.fingerprint is not None:
            raise ValueError("with a fingerprint nobody looks at the name")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


_PROOF = (
    "that it keeps a result, before retention may remove the study: none, its answer when asked by"
    " storage commitment, or that it finds the object by C-FIND or QIDO-RS"
)


class DimseDestination(Section):
    """A PACS that takes C-STORE."""

    ae_title: AETitleText
    host: str = Field(min_length=1)
    port: Port
    calling_ae_title: AETitleText | None = Field(None, description="instead of receive.ae_title")
    tls: DestinationTls | None = Field(None, description="without it in clear text")
    proof: Literal["none", "commitment", "query"] = Field("none", description=_PROOF)
    proof_seconds: Seconds = Field(
        3600.0, description="without the answer to a request for commitment, then it is asked again"
    )


class WebDestination(Section):
    """A DICOMweb service that takes STOW-RS; `url` ends before `/studies`."""

    url: str
    token: SecretEntry | None = None
    proof: Literal["none", "query"] = Field("none", description=_PROOF)

    @field_validator("url")
    @classmethod
    def _is_web(cls, said: str) -> str:
        parts = urlsplit(said)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must begin with https:// or http:// and name a host")
        if parts.username or parts.password:
            raise ValueError("no password belongs into this file; use token: {file: PATH}")
        if parts.path.rstrip("/").endswith("/studies"):
            raise ValueError("must end before /studies")
        return said.rstrip("/")

    @model_validator(mode="after")
    def _token_is_safe(self) -> "WebDestination":
        parts = urlsplit(self.url)
        if self.token and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("a token goes over https:// only")
        return self


class FolderDestination(Section):
    """A folder on this machine."""

    folder: PathHere


def _kind_of(said: Any) -> str:  # noqa: ANN401
    if isinstance(said, WebDestination) or (isinstance(said, dict) and "url" in said):
        return "(dicomweb)"
    if isinstance(said, FolderDestination) or (isinstance(said, dict) and "folder" in said):
        return "(folder)"
    return "(dimse)"


AnyDestination = Annotated[
    Annotated[DimseDestination, Tag("(dimse)")]
    | Annotated[WebDestination, Tag("(dicomweb)")]
    | Annotated[FolderDestination, Tag("(folder)")],
    Discriminator(_kind_of),
]
"""The kind follows from the keys: `ae_title`, `url` or `folder`."""

Destinations = dict[Name, AnyDestination]
