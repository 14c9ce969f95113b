"""Usage and consumption by day, and what a subscription continues: a limit's past follows the customer."""

from alembic import op

from services.chassis import schema

revision, down_revision = "0003", "0002"

DAYS = """
    organization_id uuid,
    subscription_id uuid,
    {of} text,
    day date,
    units numeric NOT NULL,
    PRIMARY KEY (organization_id, subscription_id, {of}, day)
"""
USAGE_COUNTS = """
    organization_id uuid,
    subscription_id uuid,
    metric_code text,
    ever_units numeric NOT NULL,
    day_start timestamptz NOT NULL,
    day_units numeric NOT NULL,
    week_start timestamptz NOT NULL,
    week_units numeric NOT NULL,
    month_start timestamptz NOT NULL,
    month_units numeric NOT NULL,
    PRIMARY KEY (organization_id, subscription_id, metric_code)
"""


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN anchored_at timestamptz, ADD COLUMN ended_at timestamptz")
    op.execute("DROP TABLE usage_counts")
    for table, of in (("usage_days", "metric_code"), ("consumed_days", "feature_code")):
        op.execute(f"CREATE TABLE {table} ({DAYS.format(of=of)})")
        schema.tenant_table(op, table)


def downgrade() -> None:
    op.execute("DROP TABLE consumed_days")
    op.execute("DROP TABLE usage_days")
    op.execute(f"CREATE TABLE usage_counts ({USAGE_COUNTS})")
    schema.tenant_table(op, "usage_counts")
    op.execute("ALTER TABLE subscriptions DROP COLUMN anchored_at, DROP COLUMN ended_at")
