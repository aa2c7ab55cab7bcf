"""The tables of those who may log in. Of passwords and tokens only digests lie here."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Table, Text

from dicom_ai_node.store.columns import MANY, Instant, Words
from dicom_ai_node.store.tables import metadata

accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("roles", JSON, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("must_change_password", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_login_at", Instant),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("start", Text, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
)

login_sessions = Table(
    "login_sessions",
    metadata,
    Column("number", MANY, primary_key=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("account", ForeignKey(accounts.c.name, ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("address", Words, nullable=False),
    Column("agent", Words, nullable=False),
)
