"""Subscriptions know where the calendar of another time zone passed into theirs."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the local date and the instant of that boundary; none has one yet."""
    op.execute("ALTER TABLE subscriptions ADD COLUMN seam_day date, ADD COLUMN seam_at timestamptz")


def downgrade() -> None:
    """Take both away again."""
    op.execute("ALTER TABLE subscriptions DROP COLUMN seam_day, DROP COLUMN seam_at")
