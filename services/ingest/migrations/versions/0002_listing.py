"""Which commits hold events of a customer, or of a metric: what lists are read by."""

from __future__ import annotations

from alembic import op

from services.chassis.schema import grant, tenant_table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = {"commits_by_customer": "external_customer_id", "commits_by_code": "code"}


def upgrade() -> None:
    for table, column in TABLES.items():
        op.execute(
            f"""
            CREATE TABLE {table} (
                organization_id uuid,
                {column} text,
                commit_id bigint,
                event_count integer NOT NULL,
                PRIMARY KEY (organization_id, {column}, commit_id)
            )
            """
        )
        tenant_table(op, table, request="SELECT", worker="SELECT, INSERT")
    # Everything up to commit_id is in both tables. Everything up to next_commit_id will be there as soon as the
    # transactions of next_holders have ended: only they may still commit a number that is not higher.
    op.execute(
        """
        CREATE TABLE commits_listed (
            singleton boolean PRIMARY KEY DEFAULT true CONSTRAINT commits_listed_is_one_row CHECK (singleton),
            commit_id bigint NOT NULL DEFAULT 0,
            next_commit_id bigint NOT NULL DEFAULT 0,
            next_holders text[] NOT NULL DEFAULT '{}'
        )
        """
    )
    op.execute("INSERT INTO commits_listed DEFAULT VALUES")
    grant(op, "commits_listed", request="SELECT", worker="SELECT, UPDATE")
    op.execute(
        "CREATE INDEX quarantined_usage_events_by_subscription ON quarantined_usage_events "
        "(organization_id, external_subscription_id, external_customer_id) WHERE released_at IS NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX quarantined_usage_events_by_subscription")
    for table in (*TABLES, "commits_listed"):
        op.execute(f"DROP TABLE {table}")
