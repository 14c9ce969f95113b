"""Answers of REST calls are kept for those who repeat a request with the same Idempotency-Key (ADR 19)."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """One row a key; without a status while somebody is at work."""
    op.execute(
        """
        CREATE TABLE kept_answers (
            organization_id uuid,
            route text,
            key text,
            payload_digest bytea NOT NULL,
            attempt_id uuid NOT NULL,
            claimed_until timestamptz NOT NULL,
            status integer,
            media_type text,
            headers jsonb,
            content bytea,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, route, key)
        )
        """
    )
    op.execute("CREATE INDEX kept_answers_by_age ON kept_answers (created_at)")
    schema.tenant_table(op, "kept_answers")


def downgrade() -> None:
    """Forget them."""
    op.execute("DROP TABLE kept_answers")
