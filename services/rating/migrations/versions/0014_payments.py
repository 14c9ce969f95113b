"""Payments: what was paid on each invoice, one by one, with the reference under which it was reported."""

from __future__ import annotations

from alembic import op

from services.chassis import schema

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Create the table, with one payment for what was reported before; set-off credit notes paid the rest.

    It has its invoice's id, which puts it where it belongs in the order of ids.
    """
    op.execute(
        """
        CREATE TABLE payments (
            organization_id uuid NOT NULL,
            payment_id uuid NOT NULL,
            invoice_id uuid NOT NULL,
            customer_id uuid NOT NULL,
            sequence integer NOT NULL,
            amount_cents bigint NOT NULL,
            reference text NOT NULL,
            paid_at timestamptz NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (organization_id, payment_id),
            CONSTRAINT payments_amount CHECK (amount_cents > 0),
            CONSTRAINT payments_sequence UNIQUE (organization_id, invoice_id, sequence)
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX payments_reference ON payments (organization_id, invoice_id, reference) "
        "WHERE reference <> ''"
    )
    op.execute("CREATE INDEX payments_of_customer ON payments (organization_id, customer_id, payment_id)")
    schema.tenant_table(op, "payments")
    with schema.every_row(op, "payments", "invoices", "credit_notes"):
        op.execute(
            """
            INSERT INTO payments
            SELECT organization_id, invoice_id, invoice_id, customer_id, 1, paid, '', since, since FROM (
                SELECT i.organization_id, i.invoice_id, i.customer_id, coalesce(i.finalized_at, i.created_at) AS since,
                    i.paid_amount_cents - coalesce((
                        SELECT sum(c.offset_amount_cents) FROM credit_notes c
                        WHERE c.organization_id = i.organization_id AND c.invoice_id = i.invoice_id
                    ), 0) AS paid
                FROM invoices i WHERE i.paid_amount_cents > 0
            ) AS reported WHERE paid > 0
            """
        )


def downgrade() -> None:
    """Drop the table; the invoices still say how much was paid."""
    op.execute("DROP TABLE payments")
