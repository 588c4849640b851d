"""Webhooks: where they go, what is on its way, and what is open."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "downgrade", "revision", "upgrade"]

revision = "0003"
down_revision = "0002"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.String(32), nullable=False),
        sa.Column("app_id", sa.String(32), nullable=False),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("old_secret", sa.String(64), nullable=True),
        sa.Column("old_until", sa.Double(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("updated", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_app_id", "webhooks", ["app_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("delivery_id", _BIG, autoincrement=True, nullable=False),
        sa.Column("webhook_id", sa.String(32), nullable=False),
        sa.Column("lane", sa.String(32), nullable=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("claimed_by", sa.String(64), nullable=False),
        sa.Column("claimed_until", sa.Double(), nullable=False),
        sa.Column("dead", sa.Boolean(), nullable=False),
        sa.Column("died", sa.Double(), nullable=True),
        sa.Column("answer", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.webhook_id"],
            name="fk_webhook_deliveries_webhook_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_webhook_deliveries_due", "webhook_deliveries", ["webhook_id", "dead", "due"])
    op.create_index("ix_webhook_deliveries_lane", "webhook_deliveries", ["webhook_id", "lane", "sequence"])
    op.create_table(
        "webhook_open",
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_webhook_open"),
    )
    op.create_index("ix_webhook_open_node", "webhook_open", ["node"])
    op.create_table(
        "webhook_nodes",
        sa.Column("node", sa.String(64), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.Column("sequence", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("node", name="pk_webhook_nodes"),
    )


def downgrade() -> None:
    """Remove them, and all that is in them."""
    for table in ("webhook_nodes", "webhook_open", "webhook_deliveries", "webhooks"):
        op.drop_table(table)
