"""Coupons that may be withdrawn, coupons in customers' hands with terms of their own, payment terms of customers."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns; what customers hold gets the terms that its coupon has now."""
    op.execute(
        """
        ALTER TABLE coupons
            ADD COLUMN description text DEFAULT '' NOT NULL,
            ADD COLUMN is_reusable boolean DEFAULT true NOT NULL,
            ADD COLUMN deleted_at timestamptz
        """
    )
    op.execute("DROP INDEX coupons_by_code")
    op.execute("CREATE UNIQUE INDEX coupons_by_code ON coupons (organization_id, code) WHERE deleted_at IS NULL")
    op.execute(
        """
        ALTER TABLE applied_coupons
            ADD COLUMN currency text DEFAULT '' NOT NULL,
            ADD COLUMN rate_percent numeric,
            ADD COLUMN frequency text DEFAULT 'once' NOT NULL,
            ADD COLUMN frequency_duration integer,
            ADD COLUMN plan_codes text[] DEFAULT '{}' NOT NULL,
            ADD COLUMN metric_codes text[] DEFAULT '{}' NOT NULL,
            ADD COLUMN expires_at timestamptz
        """
    )
    with schema.every_row(op, "applied_coupons", "coupons"):
        op.execute(
            """
            UPDATE applied_coupons a
            SET (currency, rate_percent, frequency, frequency_duration, plan_codes, metric_codes, expires_at) = (
                SELECT c.currency, c.rate_percent, c.frequency, c.frequency_duration, c.plan_codes, c.metric_codes,
                    c.expires_at
                FROM coupons c WHERE c.organization_id = a.organization_id AND c.id = a.coupon_id
            )
            """
        )
    for column in ("currency", "frequency", "plan_codes", "metric_codes"):
        op.execute(f"ALTER TABLE applied_coupons ALTER COLUMN {column} DROP DEFAULT")
    op.execute("CREATE INDEX applied_coupons_of_coupon ON applied_coupons (organization_id, coupon_id)")
    op.execute("ALTER TABLE customers ADD COLUMN net_payment_term_days integer")


def downgrade() -> None:
    """Take the columns away again; a withdrawn coupon whose code another has keeps its id in place of its code."""
    op.execute("ALTER TABLE customers DROP COLUMN net_payment_term_days")
    op.execute("DROP INDEX applied_coupons_of_coupon")
    op.execute(
        """
        ALTER TABLE applied_coupons
            DROP COLUMN currency, DROP COLUMN rate_percent, DROP COLUMN frequency, DROP COLUMN frequency_duration,
            DROP COLUMN plan_codes, DROP COLUMN metric_codes, DROP COLUMN expires_at
        """
    )
    with schema.every_row(op, "coupons"):
        op.execute("UPDATE coupons SET code = id::text WHERE deleted_at IS NOT NULL")
    op.execute("DROP INDEX coupons_by_code")
    op.execute("CREATE UNIQUE INDEX coupons_by_code ON coupons (organization_id, code)")
    op.execute("ALTER TABLE coupons DROP COLUMN description, DROP COLUMN is_reusable, DROP COLUMN deleted_at")
