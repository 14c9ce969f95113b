"""An invoice knows when a dispute about its payment was lost."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the time."""
    op.execute("ALTER TABLE invoices ADD COLUMN dispute_lost_at timestamptz")


def downgrade() -> None:
    """Take it away again."""
    op.execute("ALTER TABLE invoices DROP COLUMN dispute_lost_at")
