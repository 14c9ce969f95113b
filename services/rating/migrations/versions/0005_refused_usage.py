"""Events that were refused and not yet voided by the log."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table."""
    op.execute(
        """
        CREATE TABLE refused_usage (
            organization_id uuid NOT NULL,
            subscription_id uuid NOT NULL,
            event_key uuid NOT NULL,
            PRIMARY KEY (organization_id, subscription_id, event_key)
        )
        """
    )
    schema.tenant_table(op, "refused_usage")


def downgrade() -> None:
    """Remove the table; events that the log voids afterwards are then assumed to be counted."""
    op.execute("DROP TABLE refused_usage")
