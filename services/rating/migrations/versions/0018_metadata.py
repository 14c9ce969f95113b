"""Plans and credit notes have free text by key."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"

TABLES = ("plans", "credit_notes")


def upgrade() -> None:
    """Add the column; what exists has none."""
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN metadata jsonb DEFAULT '{{}}' NOT NULL")


def downgrade() -> None:
    """Take it away again."""
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN metadata")
