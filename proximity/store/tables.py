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
    text,
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

# Presence's state in parts, all as of one moment: one row a site, and one with part "" for the rest.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("partition", String(64), primary_key=True),
    Column("part", String(64), primary_key=True),
    Column("number", BigInteger, nullable=False),  # of the journal's last entry that is in it
    Column("at", Double, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

# What presence was told since its checkpoint, one row a commit; see presence/journal.py.
journal = Table(
    "journal",
    metadata,
    Column("partition", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
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
    Column("transition", String(32), nullable=False),
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
    Column("visit", String(32), nullable=False),
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
    # Of the offers that the end of their visit takes back; the others are not looked for by visit.
    Index(None, "visit", sqlite_where=text("on_exit = 'withdraw'"), postgresql_where=text("on_exit = 'withdraw'")),
)

# The outbox: one row per offer and address, and one more where an offer is taken back from it. Rows are worked off by
# due time and never deleted by the worker.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(32), primary_key=True),  # child_id(offer, channel, address, kind)
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
    Column("holder", String(32)),  # the worker that has it in hand, where several share the outbox
    Column("lease", Double),  # by the database's clock: until when nobody else may take it up
    Index(None, "state", "channel", "due"),
)

# What a rule's budget has given away. The caps stand in the rules; a row is made with the first coupon.
budgets = Table(
    "budgets",
    metadata,
    Column("rule", String(128), primary_key=True),
    Column("coupons", BigInteger, nullable=False),  # that hold a place: reserved, issued or redeemed
    Column("spend", BigInteger, nullable=False),  # hundredths: what those can cost at most, or have cost
)

coupons = Table(
    "coupons",
    metadata,
    Column("id", String(32), primary_key=True),  # of the decision and its offer
    Column("code", String(20), nullable=False, unique=True),
    Column("rule", String(128), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("site", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("reserved_until", Double, nullable=False),
    Column("worth", BigInteger, nullable=False),  # hundredths, as all amounts here
    Column("percent_off", Double),
    Column("amount_off", BigInteger),
    Column("at_most", BigInteger),
    Column("currency", String(3)),
    Column("free", Text),
    Column("text", Text),
    Column("sku", String(64)),
    Column("category", String(64)),
    Column("chain", Boolean, nullable=False),
    # reserved -> issued (a channel took the offer) -> redeemed | expired; released: the offer reached nobody
    Column("state", String(16), nullable=False),
    Column("redeemed", Double),  # when
    Column("discount", BigInteger),  # what it came to at the till
    Index(None, "shopper", "rule"),
    Index(None, "state", "reserved_until"),
    Index(None, "created"),
)

# Every answer given to a till, under the till's own key, so that asking again gets the same answer.
redemptions = Table(
    "redemptions",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of the key
    Column("request", String(64), nullable=False),  # SHA-256 of what was asked
    Column("coupon", String(32), nullable=False),
    Column("shopper", String(64), nullable=False, index=True),
    Column("site", String(64), nullable=False),
    Column("at", Double, nullable=False, index=True),
    Column("answer", JSON, nullable=False),
)

# A shopper met a rule that would send: the log that results are counted from.
exposures = Table(
    "exposures",
    metadata,
    Column("id", String(32), primary_key=True),  # of the decision
    Column("rule", String(128), nullable=False),
    Column("shopper", String(64), nullable=False, index=True),
    Column("site", String(64), nullable=False),
    Column("at", Double, nullable=False, index=True),
    Column("held", Boolean, nullable=False),  # a ghost: would have been sent, and was not, for comparison
    Column("holdout", String(64)),
    Column("experiment", String(64)),
    Column("arm", String(64)),
    Column("goal", String(64)),
    Column("until", Double),  # the goal counts before this
    Column("value", Text),  # path in the goal's event
    Column("points", Integer, nullable=False),
    Index(None, "rule", "at"),
)

# What the shop's systems told: a purchase, a redeemed coupon, a basket.
shop_events = Table(
    "shop_events",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("site", String(64)),
    Column("at", Double, nullable=False, index=True),
    Column("data", JSON, nullable=False),
    Index(None, "shopper", "name", "at"),
)

# What rules remember of a shopper: sequences begun, absences, what quiet hours hold. See rules/stateful.py.
rule_state = Table(
    "rule_state",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("sort", String(16), nullable=False),  # sequence | absence | hold
    Column("rule", String(128), nullable=False),
    Column("shopper", String(64), nullable=False, index=True),
    Column("due", Double, nullable=False, index=True),
    Column("state", Text, nullable=False),  # JSON
)

# The last time that each schedule came, by one clock, and was worked off.
schedule_ticks = Table(
    "schedule_ticks",
    metadata,
    Column("id", String(200), primary_key=True),  # rule and clock
    Column("planned", Double, nullable=False),
)

# Words to the people at a desk: one row per message and channel, an outbox of its own.
staff_messages = Table(
    "staff_messages",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("decision", String(32), nullable=False),
    Column("rule", String(128), nullable=False),
    Column("shopper", String(64), nullable=False),
    Column("site", String(64), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("desk", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("created", Double, nullable=False, index=True),
    Column("expires", Double, nullable=False),
    Column("channel", String(16), nullable=False),  # mqtt | webhook
    Column("state", String(16), nullable=False),  # queued | sent | expired | dead
    Column("attempts", Integer, nullable=False),
    Column("due", Double, nullable=False),
    Column("handed", Double),
    Column("error", Text),
    Index(None, "state", "due"),
    Index(None, "shopper", "created"),
)

# Values that rules read, as the shop's systems told them: the weather, stock, a basket.
context_values = Table(
    "context_values",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 over the next six
    Column("root", String(64), nullable=False),
    Column("key", String(128), nullable=False),
    Column("site", String(64), nullable=False),  # empty where the scope has none
    Column("shopper", String(64), nullable=False, index=True),
    Column("product", String(64), nullable=False),
    Column("rule", String(128), nullable=False),
    Column("value", JSON, nullable=False),
    Column("until", Double),  # None: until told otherwise
    Column("at", Double, nullable=False),
    Column("source", String(16), nullable=False),  # file | api | mqtt
    Index(None, "at"),
)

# Keys that all processes of a service share.
secrets = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# What was observed lately, one row for the devices of some shoppers and some seconds, for hours: see store/packing.py.
# Who they are stands in the data: `people.erase` has them taken out.
observations = Table(
    "observations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("lump", Integer, nullable=False),
    Column("begins", Double, nullable=False),
    Column("ends", Double, nullable=False, index=True),
    Column("data", LargeBinary, nullable=False),
    Index(None, "lump", "ends"),
)

# When gateways went and came, for as long.
gateway_states = Table(
    "gateway_states",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("anchor", String(130), nullable=False),  # "<site>/<gateway>"
    Column("online", Boolean, nullable=False),
    Column("at", Double, nullable=False),
    Index(None, "anchor", "at"),
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

# Outdoor zones that were put by the API, beside those of the files.
fences = Table(
    "fences",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("outline", LargeBinary, nullable=False),  # well-known binary, degrees; of a circle its centre
    Column("floor", Integer, nullable=False),
    Column("radius", Double),  # m
    Column("enter_after", Double),
    Column("exit_after", Double),
    Column("exit_margin", Double),
    Column("updated", Double, nullable=False),
)

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("id", String(32), primary_key=True),  # hash of the texts
    Column("files", JSON, nullable=False),  # name -> text
    Column("author", String(64), nullable=False),  # folder: the configuration folder was read
    Column("created", Double, nullable=False),
    Column("note", Text, nullable=False),
    Column("state", String(16), nullable=False),  # review | live | past
    Column("loaded", Double),  # when it last came into force; None: never
)

# Who did what to the rules, in order. What is in force follows from it: see store/rulesets.py.
rule_changes = Table(
    "rule_changes",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Double, nullable=False),
    Column("action", String(16), nullable=False),  # load | submit | publish | approve | rollback | follow | pause | …
    Column("actor", String(64), nullable=False),
    Column("version", String(32)),
    Column("rule", String(128)),
    Column("note", Text, nullable=False),
)
