"""The section `watch` of `ae_config.yaml`: whom the node tells that somebody has to look."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from dicom_ai_node.config.secret import SecretEntry
from dicom_ai_node.config.sections import LOOPBACK
from dicom_ai_node.config.values import Name, Port, Section
from dicom_ai_node.domain.notice import About

_ALL = tuple(About)
_MAIL = r"^[^@\s,;<>]+@[^@\s,;<>]+$"
_ADDRESS = Annotated[str, Field(pattern=_MAIL)]


class WebhookTarget(Section):
    """A program that is told by a signed POST."""

    webhook: str = Field(description="its address, https:// unless it is on this machine")
    secret: SecretEntry = Field(description="what both sides know, to sign with")
    about: tuple[About, ...] = Field(_ALL, min_length=1)

    @field_validator("webhook")
    @classmethod
    def _is_web(cls, said: str) -> str:
        parts = urlsplit(said)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must begin with https:// or http:// and name a host")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("goes over https:// only, unless it is on this machine")
        if parts.username or parts.password:
            raise ValueError("no password belongs into this file")
        return said


class MailTarget(Section):
    """People who are told by e-mail."""

    to: tuple[_ADDRESS, ...] = Field(min_length=1)
    sender: _ADDRESS
    host: str = Field(min_length=1, description="of the mail server")
    port: Port = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: SecretEntry | None = None
    about: tuple[About, ...] = Field(_ALL, min_length=1)

    @model_validator(mode="after")
    def _is_safe(self) -> "MailTarget":
        if bool(self.user) != (self.password is not None):
            raise ValueError("user and password belong together")
        if self.password and self.security == "none":
            raise ValueError("a password goes over starttls or tls only")
        return self


def _kind_of(said: Any) -> str:  # noqa: ANN401 - anything can stand in a YAML file
    is_webhook = isinstance(said, WebhookTarget) or (isinstance(said, dict) and "webhook" in said)
    return "(webhook)" if is_webhook else "(mail)"


AnyTarget = Annotated[
    Annotated[WebhookTarget, Tag("(webhook)")] | Annotated[MailTarget, Tag("(mail)")],
    Discriminator(_kind_of),
]
"""The kind follows from the keys: `webhook` or `to`."""


class Watch(Section):
    """What the node tells of its own accord."""

    console: str = Field(
        "", pattern=r"^(https?://.+[^/])?$", description="its address, for links in what is told"
    )
    notify: dict[Name, AnyTarget] = Field(default_factory=dict)
