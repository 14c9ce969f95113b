"""Figures over many invoices read those that were issued in some months, or are still open."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Create the index."""
    op.execute("CREATE INDEX invoices_issued ON invoices (organization_id, issuing_date) WHERE state = 'finalized'")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP INDEX invoices_issued")
