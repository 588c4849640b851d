"""Ban rules and revocations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "downgrade", "revision", "upgrade"]

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    versions = op.create_table(
        "rule_versions",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("purged", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_rule_versions"),
    )
    op.bulk_insert(versions, [{"kind": kind, "version": 1, "purged": 0} for kind in ("ban", "revocation")])
    _make("bans", sa.Column("address", sa.String(64)), sa.Column("privileges", sa.JSON(), nullable=False))
    _make("revocations", sa.Column("token_id", sa.String(32)), sa.Column("issued_before", sa.Double()))


def _make(table: str, *own: sa.Column[object]) -> None:
    op.create_table(
        table,
        sa.Column("rule_id", sa.String(32), nullable=False),
        sa.Column("app_id", sa.String(32), nullable=False),
        sa.Column("channel", sa.String(64)),
        sa.Column("user", sa.String(255)),
        sa.Column("until", sa.Double()),
        sa.Column("reason", sa.String(256), nullable=False),
        sa.Column("creator", sa.String(320), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("lifted", sa.Double()),
        *own,
        sa.PrimaryKeyConstraint("rule_id", name=f"pk_{table}"),
    )
    for column in ("app_id", "version"):
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    """Remove them, and all that is in them."""
    for table in ("revocations", "bans", "rule_versions"):
        op.drop_table(table)
