"""Whose answers were altered, so that every replica knows what it remembers in vain."""

from alembic import op

from services.chassis import schema

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE access_changes (
            organization_id uuid NOT NULL,
            external_customer_id text NOT NULL,
            revision bigint NOT NULL,
            xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
            changed_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute("CREATE INDEX access_changes_by_transaction ON access_changes (xid)")
    schema.tenant_table(op, "access_changes", request="INSERT", worker="SELECT, INSERT, DELETE")


def downgrade() -> None:
    op.execute("DROP TABLE access_changes")
