"""Fees say what and whose they are; lists of invoices and fees by day, by what is open and by metric are indexed."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0008"
down_revision = "0007"

INDEXES = {
    "invoices_by_issue": "invoices (organization_id, issuing_date)",
    # Open invoices are queried every day, and are few compared with paid ones.
    "invoices_open": "invoices (organization_id, payment_due_date) "
    "WHERE state = 'finalized' AND total_amount_cents > paid_amount_cents",
    "fees_of_metric": "fees (organization_id, metric_code, fee_id)",
}


def upgrade() -> None:
    """Add the columns, fill what can still be found of older fees, and build the indexes."""
    op.execute(
        """
        ALTER TABLE fees
            ADD COLUMN external_subscription_id text DEFAULT '' NOT NULL,
            ADD COLUMN charge_code text DEFAULT '' NOT NULL,
            ADD COLUMN metric_name text DEFAULT '' NOT NULL,
            ADD COLUMN aggregation text,
            ADD COLUMN filter_values jsonb DEFAULT '[]' NOT NULL
        """
    )
    with schema.every_row(op, "fees", "subscriptions", "billable_metrics"):
        op.execute(
            """
            UPDATE fees f SET external_subscription_id = s.external_id FROM subscriptions s
            WHERE s.organization_id = f.organization_id AND s.id = f.subscription_id
            """
        )
        op.execute(
            """
            UPDATE fees f SET metric_name = m.name, aggregation = m.aggregation FROM billable_metrics m
            WHERE m.organization_id = f.organization_id AND m.id::text = f.metric_id AND m.version = f.metric_version
            """
        )
    for name, what in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {what}")


def downgrade() -> None:
    """Take the indexes and columns away again."""
    for name in INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute(
        """
        ALTER TABLE fees
            DROP COLUMN external_subscription_id, DROP COLUMN charge_code, DROP COLUMN metric_name,
            DROP COLUMN aggregation, DROP COLUMN filter_values
        """
    )
