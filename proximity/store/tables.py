"""The tables, once, for SQLite and PostgreSQL. Migrations in `migrations/` bring a database to this shape.

Times are float seconds since the epoch; JSON columns hold plain data.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

shoppers = Table(
    "shoppers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", Text),
    Column("languages", JSON, nullable=False),
    Column("timezone", String(64)),
    Column("attributes", JSON, nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),  # of the token in /me/<token>
    Column("created", Float, nullable=False),
)

consents = Table(
    "consents",
    metadata,
    Column("shopper", String(64), ForeignKey("shoppers.id", ondelete="CASCADE"), primary_key=True),
    Column("purpose", String(64), primary_key=True),
    Column("granted", Boolean, nullable=False),
    Column("at", Float, nullable=False),
    Column("source", String(32), nullable=False),  # file | api | shopper
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(160), primary_key=True),
    Column("shopper", String(64), ForeignKey("shoppers.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("secret", Text),
    Column("password", Text),
)

gateways = Table(
    "gateways",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("gateway", String(64), primary_key=True),
    Column("state", String(16), nullable=False),  # online | offline | unknown
    Column("seen", Float),
    Column("version", String(64)),
    Column("health", JSON),
)

# What the service has covered by durable state, per boot of a gateway: the other half of `…/acked`.
offsets = Table(
    "offsets",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("gateway", String(64), primary_key=True),
    Column("boot", String(64), primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("messages", Integer, nullable=False),  # covered so far, duplicates not counted
    Column("rows", Integer, nullable=False),
    Column("at", Float, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("partition", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    Column("watermark", Float, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

visits = Table(
    "visits",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("shopper", String(64), nullable=False),
    Column("device", String(160), nullable=False),
    Column("site", String(64), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("started", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("ended", Float),
    Column("cause", String(32)),
    Column("initial", Boolean, nullable=False),
    Index(None, "shopper", "started"),
    Index(None, "site", "zone", "ended"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("cause", String(32), nullable=False),
    Column("site", String(64), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("device", String(160), nullable=False),
    Column("visit", String(32), nullable=False),
    Column("at", Float, nullable=False, index=True),
    Column("observed", Float, nullable=False),
    Column("started", Float, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("dwell", Float),
    Column("initial", Boolean, nullable=False),
    Column("jumped", Boolean, nullable=False),
    Index(None, "shopper", "at"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("transition", String(32), nullable=False, index=True),
    Column("rule", String(128), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("site", String(64), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("at", Float, nullable=False, index=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(32)),
    Column("detail", Text, nullable=False),
    Column("trace", JSON, nullable=False),
    Index(None, "shopper", "at"),
    Index(None, "shopper", "outcome", "at"),
)

offers = Table(
    "offers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("rule", String(128), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("site", String(64), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("visit", String(32), nullable=False, index=True),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("language", String(35), nullable=False),
    Column("url", Text),
    Column("created", Float, nullable=False),
    Column("observed", Float, nullable=False),
    Column("expires", Float, nullable=False),
    Column("channels", JSON, nullable=False),
    Column("urgency", String(16), nullable=False),
    Column("only_while", String(16), nullable=False),
    Column("on_exit", String(16), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("service", Boolean, nullable=False),
    # queued: no delivery handed over yet; sent: at least one was; withdrawn, expired, failed: none will be
    Column("state", String(16), nullable=False),
    Column("state_reason", String(32)),
    Column("seen", Float),
    Index(None, "shopper", "created"),
)

# The outbox: one row per offer and channel. Rows are worked off by due time and never deleted by the worker.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(32), primary_key=True),  # derive_id(offer, channel, address)
    Column("offer", String(32), nullable=False, index=True),
    Column("shopper", String(64), nullable=False),
    Column("channel", String(16), nullable=False),  # inbox | mqtt | owntracks | webhook
    Column("address", Text, nullable=False),  # topic, device or URL
    # queued | sent | skipped (with reason: expired, no_consent, left_zone, withdrawn) | dead (after the last attempt)
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("attempts", Integer, nullable=False),
    Column("due", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("handed", Float),  # when the channel took it
    Column("error", Text),
    Index(None, "state", "due"),
)

late_observations = Table(
    "late_observations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("device", String(160), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("anchor", String(130)),
    Column("rssi", Float),
    Column("lat", Float),
    Column("lon", Float),
    Column("accuracy", Float),
    Index(None, "shopper", "at"),
)

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("id", String(32), primary_key=True),  # hash of the texts
    Column("loaded", Float, nullable=False),
    Column("files", JSON, nullable=False),  # name -> text
)
