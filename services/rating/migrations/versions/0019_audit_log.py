"""Every command leaves an entry in its organization's audit log (chassis.audit)."""

from __future__ import annotations

from alembic import op

from services.chassis import audit

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Create the table of entries."""
    audit.create_table(op)


def downgrade() -> None:
    """Forget who changed what."""
    op.execute("DROP TABLE audit_entries")
