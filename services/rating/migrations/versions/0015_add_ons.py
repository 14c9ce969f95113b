"""Add-ons: items with a price that one-off invoices name by their code."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table; codes are unique in an organization."""
    op.execute(
        """
        CREATE TABLE add_ons (
            organization_id uuid NOT NULL,
            id uuid NOT NULL,
            code text NOT NULL,
            name text NOT NULL,
            invoice_display_name text NOT NULL,
            description text NOT NULL,
            amount_cents bigint NOT NULL,
            currency text NOT NULL,
            tax_codes text[] NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, id)
        )
        """
    )
    op.execute("CREATE UNIQUE INDEX add_ons_by_code ON add_ons (organization_id, code)")
    schema.tenant_table(op, "add_ons")


def downgrade() -> None:
    """Drop the table; what was invoiced stays."""
    op.execute("DROP TABLE add_ons")
