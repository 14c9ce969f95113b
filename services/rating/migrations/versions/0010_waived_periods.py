"""Billing periods know whether their usage is to stay unbilled: late usage of all others is adjusted."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column, and fill it for subscriptions that ended without a last invoice on request."""
    op.execute("ALTER TABLE billing_periods ADD COLUMN is_waived boolean DEFAULT false NOT NULL")
    with schema.every_row(op, "billing_periods", "subscriptions"):
        op.execute(
            """
            UPDATE billing_periods p SET is_waived = true FROM subscriptions s
            WHERE s.organization_id = p.organization_id AND s.id = p.subscription_id AND s.end_skips_invoice
                AND p.state = 'closed' AND p.invoice_id IS NULL AND p.period_end = s.ended_at
            """
        )


def downgrade() -> None:
    """Take the column away again."""
    op.execute("ALTER TABLE billing_periods DROP COLUMN is_waived")
