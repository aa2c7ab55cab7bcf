"""The section `serve` of `ae_config.yaml`: what listens to HTTP, and who may ask."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from dicom_ai_node.config.secret import SecretEntry
from dicom_ai_node.config.sections import LOOPBACK
from dicom_ai_node.config.values import Address, PathHere, Port, Section

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


def _host_name(said: str) -> str:
    name = said.lower().rstrip(".")
    if _HOST_NAME.fullmatch(name) is None:
        raise ValueError(f"{said} is no name of a host such as node.example.org, without a port")
    return name


class Tls(Section):
    """The certificate that the node shows, both files in PEM."""

    certificate: PathHere = Field(description="with the chain, the node's own first")
    key: PathHere


GivenRole = Literal["viewer", "sender", "operator", "admin"]
"""What an account, a token or a group can be given."""


class Oidc(Section):
    """An identity provider whose tokens are taken: `Authorization: Bearer JWT` (OpenID Connect)."""

    issuer: str = Field(description="what a token has to say as `iss`")
    audience: str = Field(min_length=1, description="what a token has to say as `aud`")
    jwks_url: str | None = Field(None, description="where the keys of the provider are")
    jwks_file: PathHere | None = Field(None, description="or the file with them")
    roles_claim: str = Field(
        "roles", min_length=1, description="a claim with the roles; a.b for b within a"
    )
    roles: dict[str, GivenRole] | None = Field(
        None, description="which value of the claim stands for which role; without it the same name"
    )
    name_claim: str = Field("sub", min_length=1, description="a claim with who it is")

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _is_web(cls, said: str | None) -> str | None:
        parts = urlsplit(said or "https://none")
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        if not is_safe or not parts.hostname or parts.username or parts.password:
            raise ValueError("must begin with https:// and name a host")
        return said

    @model_validator(mode="after")
    def _one(self) -> "Oidc":
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("needs either jwks_url or jwks_file")
        return self


class Serve(Section):
    """Who may ask by HTTP, and where: DICOMweb, the console, the viewer."""

    host: str = Field("127.0.0.1", description="the address to listen on")
    port: Port = 8042
    login: Literal["users", "none"] = Field(
        "users", description="none: whoever reaches the port may do everything; on loopback only"
    )
    token: SecretEntry | None = Field(
        None, description="who says `Authorization: Bearer TOKEN` is an admin"
    )
    tls: Tls | None = Field(None, description="{certificate: ..., key: ...}; without it plain HTTP")
    behind_proxy: tuple[Address, ...] = Field(
        (), description="addresses of proxies with TLS, whose X-Forwarded headers are believed"
    )
    names: tuple[Annotated[str, AfterValidator(_host_name)], ...] = Field(
        (),
        description="of this node in URLs, besides those in its certificate; others are refused",
    )
    oidc: Oidc | None = Field(None, description="an identity provider whose tokens are taken")
    idle_minutes: float = Field(
        30.0, gt=0, le=1440, description="after which a browser has to log in again"
    )
    session_hours: float = Field(
        12.0, gt=0, le=168, description="after which it has to, even if it was busy"
    )

    @model_validator(mode="after")
    def _is_safe(self) -> "Serve":
        if self.login == "none" and self.behind_proxy:
            raise ValueError(
                "login: none and behind_proxy would let everybody in that the proxy does"
            )
        if self.host in LOOPBACK:
            return self
        if self.login == "none":
            raise ValueError(f"login: none is for loopback only, and {self.host} is not")
        if self.tls is None and not self.behind_proxy:
            raise ValueError(
                "passwords and patients go over https:// only: give tls, or behind_proxy with the"
                " address of a proxy that has it, or listen on 127.0.0.1"
            )
        return self
