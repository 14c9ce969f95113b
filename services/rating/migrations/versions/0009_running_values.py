"""Aggregates store what runs on from a trial free of usage, and whether they still have to carry something over."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the columns, find successors, and let open periods after a change count again what they carry over."""
    op.execute(
        """
        ALTER TABLE usage_aggregates
            ADD COLUMN held numeric DEFAULT 0 NOT NULL,
            ADD COLUMN needs_carry boolean DEFAULT false NOT NULL
        """
    )
    op.execute("ALTER TABLE subscriptions ADD COLUMN next_id uuid")
    with schema.every_row(op, "subscriptions", "usage_aggregates", "billing_periods", "billable_metrics"):
        op.execute(
            """
            UPDATE subscriptions s SET next_id = n.id FROM subscriptions n
            WHERE n.organization_id = s.organization_id AND n.previous_id = s.id
            """
        )
        op.execute(
            """
            UPDATE usage_aggregates a SET needs_carry = true
            FROM billing_periods p, subscriptions s, billable_metrics m
            WHERE p.organization_id = a.organization_id AND p.subscription_id = a.subscription_id
                AND p.period_start = a.period_start AND p.state = 'open' AND a.bucket = ''
                AND s.organization_id = a.organization_id AND s.id = a.subscription_id AND s.previous_id IS NOT NULL
                AND m.organization_id = a.organization_id AND m.code = a.metric_code AND m.is_current
                AND m.deleted_at IS NULL AND m.recurring
            """
        )


def downgrade() -> None:
    """Remove the columns."""
    op.execute("ALTER TABLE subscriptions DROP COLUMN next_id")
    op.execute("ALTER TABLE usage_aggregates DROP COLUMN held, DROP COLUMN needs_carry")
