"""A usage event that was booked needs no row as a parent; those that cost events name are looked at again."""

from __future__ import annotations

from alembic import op

from services.chassis.schema import tenant_table

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE parents_to_settle (
            organization_id uuid,
            transaction_id text,
            settle_after xid8,
            PRIMARY KEY (organization_id, transaction_id)
        )
        """
    )
    tenant_table(op, "parents_to_settle", request="SELECT, INSERT")
    op.execute("CREATE INDEX usage_parents_named ON usage_parents (organization_id) WHERE has_cost_events")


def downgrade() -> None:
    op.execute("DROP INDEX usage_parents_named")
    op.execute("DROP TABLE parents_to_settle")
