"""The first tables.

Revision ID: 0001
Revises: none
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make everything: this is long because it is a list."""
    op.create_table(
        "checkpoints",
        sa.Column("partition", sa.String(64), nullable=False),
        sa.Column("part", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("partition", "part", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "journal",
        sa.Column("partition", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("partition", "number", name=op.f("pk_journal")),
    )
    if op.get_bind().dialect.name == "postgresql":  # these bytes are small already; to squeeze them costs time only
        op.execute("ALTER TABLE journal ALTER COLUMN state SET STORAGE EXTERNAL")
        op.execute("ALTER TABLE checkpoints ALTER COLUMN state SET STORAGE EXTERNAL")
    op.create_table(
        "erased",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erased")),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("transition", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("trace", sa.JSON, nullable=False),
        sa.Column("ghost", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_at"), "decisions", ["at"])
    op.create_index(op.f("ix_decisions_shopper_at"), "decisions", ["shopper", "at"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("offer", sa.String(32), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("handed", sa.Double),
        sa.Column("error", sa.Text),
        sa.Column("holder", sa.String(32)),
        sa.Column("lease", sa.Double),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_offer"), "deliveries", ["offer"])
    op.create_index(op.f("ix_deliveries_state_channel_due"), "deliveries", ["state", "channel", "due"])
    op.create_table(
        "fences",
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("outline", sa.LargeBinary, nullable=False),
        sa.Column("floor", sa.Integer, nullable=False),
        sa.Column("radius", sa.Double),
        sa.Column("enter_after", sa.Double),
        sa.Column("exit_after", sa.Double),
        sa.Column("exit_margin", sa.Double),
        sa.Column("updated", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_fences")),
    )
    op.create_table(
        "gateways",
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("gateway", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("seen", sa.Double),
        sa.Column("version", sa.String(64)),
        sa.Column("health", sa.JSON(none_as_null=True)),
        sa.PrimaryKeyConstraint("site", "gateway", name=op.f("pk_gateways")),
    )
    op.create_table(
        "observations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("lump", sa.Integer, nullable=False),
        sa.Column("begins", sa.Double, nullable=False),
        sa.Column("ends", sa.Double, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_observations")),
    )
    op.create_index(op.f("ix_observations_ends"), "observations", ["ends"])
    op.create_index(op.f("ix_observations_lump_ends"), "observations", ["lump", "ends"])
    op.create_table(
        "gateway_states",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("anchor", sa.String(130), nullable=False),
        sa.Column("online", sa.Boolean, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateway_states")),
    )
    op.create_index(op.f("ix_gateway_states_anchor_at"), "gateway_states", ["anchor", "at"])
    op.create_table(
        "late_observations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("device", sa.String(160), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("anchor", sa.String(130)),
        sa.Column("rssi", sa.Double),
        sa.Column("lat", sa.Double),
        sa.Column("lon", sa.Double),
        sa.Column("accuracy", sa.Double),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_late_observations")),
    )
    op.create_index(op.f("ix_late_observations_shopper_at"), "late_observations", ["shopper", "at"])
    op.create_table(
        "offers",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("visit", sa.String(32), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("language", sa.String(35), nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("observed", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("channels", sa.JSON, nullable=False),
        sa.Column("urgency", sa.String(16), nullable=False),
        sa.Column("only_while", sa.String(16), nullable=False),
        sa.Column("on_exit", sa.String(16), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("service", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", sa.String(32)),
        sa.Column("seen", sa.Double),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offers")),
    )
    op.create_index(op.f("ix_offers_shopper_created"), "offers", ["shopper", "created"])
    withdrawn = sa.text("on_exit = 'withdraw'")
    op.create_index(op.f("ix_offers_visit"), "offers", ["visit"], sqlite_where=withdrawn, postgresql_where=withdrawn)
    op.create_table(
        "offsets",
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("gateway", sa.String(64), nullable=False),
        sa.Column("boot", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("ahead", sa.Text, nullable=False),
        sa.Column("messages", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("site", "gateway", "boot", name=op.f("pk_offsets")),
    )
    op.create_table(
        "rule_sets",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("author", sa.String(64), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("loaded", sa.Double),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_sets")),
    )
    op.create_table(
        "rule_changes",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32)),
        sa.Column("rule", sa.String(128)),
        sa.Column("note", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_rule_changes")),
    )
    op.create_table(
        "shoppers",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("languages", sa.JSON, nullable=False),
        sa.Column("timezone", sa.String(64)),
        sa.Column("attributes", sa.JSON, nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shoppers")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_shoppers_token_hash")),
    )
    op.create_table(
        "transitions",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("device", sa.String(160), nullable=False),
        sa.Column("visit", sa.String(32), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("observed", sa.Double, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("dwell", sa.Double),
        sa.Column("initial", sa.Boolean, nullable=False),
        sa.Column("jumped", sa.Boolean, nullable=False),
        sa.Column("forgive", sa.Double, nullable=False),
        sa.Column("reach", sa.String(16)),
        sa.Column("distance", sa.Double),
        sa.Column("eta", sa.Double),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transitions")),
    )
    op.create_index(op.f("ix_transitions_at"), "transitions", ["at"])
    op.create_index(op.f("ix_transitions_shopper_at"), "transitions", ["shopper", "at"])
    op.create_table(
        "visits",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("device", sa.String(160), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("last_seen", sa.Double, nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("cause", sa.String(32)),
        sa.Column("initial", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_visits")),
    )
    op.create_index(op.f("ix_visits_shopper_started"), "visits", ["shopper", "started"])
    op.create_index(op.f("ix_visits_site_zone_ended"), "visits", ["site", "zone", "ended"])
    _given()
    op.create_table(
        "consents",
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("granted", sa.Boolean, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["shopper"], ["shoppers.id"], name=op.f("fk_consents_shopper"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("shopper", "purpose", name=op.f("pk_consents")),
    )
    op.create_table(
        "devices",
        sa.Column("id", sa.String(160), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("secret", sa.Text),
        sa.Column("password", sa.Text),
        sa.ForeignKeyConstraint(["shopper"], ["shoppers.id"], name=op.f("fk_devices_shopper"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_shopper"), "devices", ["shopper"])


def _given() -> None:
    """Coupons, budgets, what is measured, and what the shop's systems tell."""
    op.create_table(
        "budgets",
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("coupons", sa.BigInteger, nullable=False),
        sa.Column("spend", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_budgets")),
    )
    op.create_table(
        "context_values",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("root", sa.String(64), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("product", sa.String(64), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("until", sa.Double),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_context_values")),
    )
    op.create_index(op.f("ix_context_values_at"), "context_values", ["at"])
    op.create_index(op.f("ix_context_values_shopper"), "context_values", ["shopper"])
    op.create_table(
        "coupons",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("code", sa.String(20), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("reserved_until", sa.Double, nullable=False),
        sa.Column("worth", sa.BigInteger, nullable=False),
        sa.Column("percent_off", sa.Double),
        sa.Column("amount_off", sa.BigInteger),
        sa.Column("at_most", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("free", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("sku", sa.String(64)),
        sa.Column("category", sa.String(64)),
        sa.Column("chain", sa.Boolean, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("redeemed", sa.Double),
        sa.Column("discount", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("code", name=op.f("uq_coupons_code")),
    )
    op.create_index(op.f("ix_coupons_created"), "coupons", ["created"])
    op.create_index(op.f("ix_coupons_shopper_rule"), "coupons", ["shopper", "rule"])
    op.create_index(op.f("ix_coupons_state_reserved_until"), "coupons", ["state", "reserved_until"])
    op.create_table(
        "exposures",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        sa.Column("holdout", sa.String(64)),
        sa.Column("experiment", sa.String(64)),
        sa.Column("arm", sa.String(64)),
        sa.Column("goal", sa.String(64)),
        sa.Column("until", sa.Double),
        sa.Column("value", sa.Text),
        sa.Column("points", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exposures")),
    )
    op.create_index(op.f("ix_exposures_at"), "exposures", ["at"])
    op.create_index(op.f("ix_exposures_rule_at"), "exposures", ["rule", "at"])
    op.create_index(op.f("ix_exposures_shopper"), "exposures", ["shopper"])
    op.create_table(
        "redemptions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("coupon", sa.String(32), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
    )
    op.create_index(op.f("ix_redemptions_at"), "redemptions", ["at"])
    op.create_index(op.f("ix_redemptions_shopper"), "redemptions", ["shopper"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.create_table(
        "shop_events",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64)),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shop_events")),
    )
    op.create_index(op.f("ix_shop_events_at"), "shop_events", ["at"])
    op.create_index(op.f("ix_shop_events_shopper_name_at"), "shop_events", ["shopper", "name", "at"])
    op.create_table(
        "rule_state",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("sort", sa.String(16), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_state")),
    )
    op.create_index(op.f("ix_rule_state_due"), "rule_state", ["due"])
    op.create_index(op.f("ix_rule_state_shopper"), "rule_state", ["shopper"])
    op.create_table(
        "schedule_ticks",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("planned", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule_ticks")),
    )
    op.create_table(
        "staff_messages",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("decision", sa.String(32), nullable=False),
        sa.Column("rule", sa.String(128), nullable=False),
        sa.Column("shopper", sa.String(64), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("desk", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("handed", sa.Double),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_messages")),
    )
    op.create_index(op.f("ix_staff_messages_created"), "staff_messages", ["created"])
    op.create_index(op.f("ix_staff_messages_shopper_created"), "staff_messages", ["shopper", "created"])
    op.create_index(op.f("ix_staff_messages_state_due"), "staff_messages", ["state", "due"])
