"""The table of how busy devices are: an hour of minutes, of every machine that works."""

from sqlalchemy import BigInteger, Column, Float, Integer, Table

from dicom_ai_node.store.columns import Instant, Words
from dicom_ai_node.store.tables import metadata

device_use = Table(
    "device_use",
    metadata,
    Column("machine", Words, primary_key=True),
    Column("device", Words, primary_key=True),
    Column("at", Instant, primary_key=True),
    Column("slots", Integer, nullable=False),
    Column("busy", Float, nullable=False),
    Column("gpu", Float),
    Column("gpu_used_bytes", BigInteger),
    Column("gpu_bytes", BigInteger),
)
