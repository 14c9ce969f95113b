"""Subscriptions know the plan they came from."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column and fill it for those that took over from another."""
    op.execute("ALTER TABLE subscriptions ADD COLUMN previous_plan_code text")
    with schema.every_row(op, "subscriptions", "plans"):
        op.execute(
            """
            UPDATE subscriptions s SET previous_plan_code = p.code
            FROM subscriptions b JOIN plans p ON p.organization_id = b.organization_id AND p.id = b.plan_id
            WHERE b.organization_id = s.organization_id AND b.id = s.previous_id
            """
        )


def downgrade() -> None:
    """Take the column away again."""
    op.execute("ALTER TABLE subscriptions DROP COLUMN previous_plan_code")
