"""The tables, once, for SQLite and PostgreSQL. Migrations in `migrations/` bring a database to this shape.

Times are float seconds since the epoch; JSON columns hold plain data. Only `consents` and `devices` refer to their
shopper by a foreign key: the tables of history are written in bulk, and `people.erase` empties them by name.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
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
    Column("created", Double, nullable=False),
)

# Who was erased, as a hash, so that a file that still names him does not bring him back. Registering him anew does.
erased = Table(
    "erased",
    metadata,
    Column("digest", String(64), primary_key=True),  # SHA-256 of the id
    Column("at", Double, nullable=False),
)

consents = Table(
    "consents",
    metadata,
    Column("shopper", String(64), ForeignKey("shoppers.id", ondelete="CASCADE"), primary_key=True),
    Column("purpose", String(64), primary_key=True),
    Column("granted", Boolean, nullable=False),
    Column("at", Double, nullable=False),
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
    Column("seen", Double),
    Column("version", String(64)),
    Column("health", JSON(none_as_null=True)),
)

# What the service has covered by durable state, per boot of a gateway: the other half of `…/acked`.
offsets = Table(
    "offsets",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("gateway", String(64), primary_key=True),
    Column("boot", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=False),  # everything up to here is covered
    Column("ahead", Text, nullable=False),  # covered numbers beyond the first gap, "7,9,10"
    Column("messages", BigInteger, nullable=False),  # covered so far, duplicates not counted
    Column("rows", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("partition", String(64), primary_key=True),
    Column("at", Double, nullable=False),
    Column("watermark", Double, nullable=False),
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
    Column("started", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("ended", Double),
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
    Column("at", Double, nullable=False, index=True),
    Column("observed", Double, nullable=False),
    Column("started", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("dwell", Double),
    Column("initial", Boolean, nullable=False),
    Column("jumped", Boolean, nullable=False),
    Column("forgive", Double, nullable=False),
    Column("reach", String(16)),
    Column("distance", Double),
    Column("eta", Double),
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
    Column("at", Double, nullable=False, index=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(32)),
    Column("detail", Text, nullable=False),
    Column("trace", JSON, nullable=False),
    Column("ghost", Boolean, nullable=False),  # held out for comparison, and yet counted by limits
    Index(None, "shopper", "at"),
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
    Column("created", Double, nullable=False),
    Column("observed", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("channels", JSON, nullable=False),
    Column("urgency", String(16), nullable=False),
    Column("only_while", String(16), nullable=False),
    Column("on_exit", String(16), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("service", Boolean, nullable=False),
    # queued: no delivery handed over yet; sent: at least one was; withdrawn, expired, failed: none will be
    Column("state", String(16), nullable=False),
    Column("state_reason", String(32)),
    Column("seen", Double),  # first time the shopper opened it
    Index(None, "shopper", "created"),
)

# The outbox: one row per offer and address, and one more where an offer is taken back from it. Rows are worked off by
# due time and never deleted by the worker.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(32), primary_key=True),  # derive_id(offer, channel, address, kind)
    Column("kind", String(16), nullable=False),  # offer | withdraw
    Column("offer", String(32), nullable=False, index=True),
    Column("shopper", String(64), nullable=False),
    Column("channel", String(16), nullable=False),  # inbox | mqtt | owntracks | webhook
    Column("address", Text, nullable=False),  # topic, device or URL
    # queued | sent | skipped (with reason: expired, no_consent, left_zone, withdrawn) | dead (after the last attempt)
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("attempts", Integer, nullable=False),
    Column("due", Double, nullable=False),
    Column("created", Double, nullable=False),
    Column("handed", Double),  # when the channel took it
    Column("error", Text),  # of the last attempt that failed
    Index(None, "state", "channel", "due"),
)

late_observations = Table(
    "late_observations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("device", String(160), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("at", Double, nullable=False),
    Column("anchor", String(130)),
    Column("rssi", Double),
    Column("lat", Double),
    Column("lon", Double),
    Column("accuracy", Double),
    Index(None, "shopper", "at"),
)

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("id", String(32), primary_key=True),  # hash of the texts
    Column("loaded", Double, nullable=False),
    Column("files", JSON, nullable=False),  # name -> text
)
