"""The outbox knows whose call announced a row, so that the newest change of an organization is found at once."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Take the organization from the transaction, which names it; the transactions of jobs and consumers name none."""
    op.execute(
        """
        ALTER TABLE outbox ADD COLUMN organization_id uuid
            DEFAULT nullif(current_setting('farebox.organization_id', true), '')::uuid
        """
    )
    op.execute(
        "CREATE INDEX outbox_of_organization ON outbox (organization_id, number) WHERE organization_id IS NOT NULL"
    )


def downgrade() -> None:
    """Take both away again."""
    op.execute("DROP INDEX outbox_of_organization")
    op.execute("ALTER TABLE outbox DROP COLUMN organization_id")
