"""API keys have scopes, an end, a last use and a predecessor; existing keys may do everything for ever, as before."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Four columns; a key without scopes is not restricted."""
    op.execute(
        """
        ALTER TABLE api_keys
            ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',
            ADD COLUMN expires_at timestamptz,
            ADD COLUMN last_used_at timestamptz,
            ADD COLUMN replaces_id uuid
        """
    )


def downgrade() -> None:
    """Take them away; a restricted or expired key would then open every door, so such keys go with them."""
    op.execute("ALTER TABLE api_keys NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM api_keys WHERE scopes <> '{}' OR expires_at IS NOT NULL")
    op.execute("ALTER TABLE api_keys FORCE ROW LEVEL SECURITY")
    op.execute(
        """
        ALTER TABLE api_keys
            DROP COLUMN scopes, DROP COLUMN expires_at, DROP COLUMN last_used_at, DROP COLUMN replaces_id
        """
    )
