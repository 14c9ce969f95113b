"""Customers can be deleted; their rows stay, since invoices name them."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the time of deletion."""
    op.execute("ALTER TABLE customers ADD COLUMN deleted_at timestamptz")


def downgrade() -> None:
    """Take it away again: deleted customers come back."""
    op.execute("ALTER TABLE customers DROP COLUMN deleted_at")
