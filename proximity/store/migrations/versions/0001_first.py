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
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("watermark", sa.Double, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_checkpoints")),
    )
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
    op.create_index(op.f("ix_decisions_transition"), "decisions", ["transition"])
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_offer"), "deliveries", ["offer"])
    op.create_index(op.f("ix_deliveries_state_channel_due"), "deliveries", ["state", "channel", "due"])
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
    op.create_index(op.f("ix_offers_visit"), "offers", ["visit"])
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
        sa.Column("loaded", sa.Double, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_sets")),
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
