"""Scheduled work that failed, each piece with its next try (`shared/set_aside.py`)."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table; a request may take out what its caller has done by hand."""
    op.execute(
        """
        CREATE TABLE set_aside (
            organization_id uuid NOT NULL,
            work text NOT NULL,
            subject uuid NOT NULL,
            reason text NOT NULL,
            message text NOT NULL,
            attempts integer NOT NULL,
            since timestamptz NOT NULL,
            retry_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, work, subject),
            CONSTRAINT set_aside_work CHECK (work IN ('change', 'close', 'finalize', 'accrue'))
        )
        """
    )
    schema.tenant_table(op, "set_aside", request="SELECT, DELETE")


def downgrade() -> None:
    """Forget what is set aside; it is tried again at once."""
    op.execute("DROP TABLE set_aside")
