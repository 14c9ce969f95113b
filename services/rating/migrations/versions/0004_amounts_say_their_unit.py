"""Amounts in whole minor units are called `…_amount_cents` everywhere."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

RENAMED = {
    "invoices": ("fees", "coupons", "taxes", "credit_notes", "prepaid_credits", "total", "paid"),
    "fees": ("taxes",),
    "credit_notes": ("sub_total", "taxes", "credit", "refund", "offset", "used"),
    "applied_coupons": ("used",),
}


def upgrade() -> None:
    """Rename the columns, and the one name within the documents of invoices."""
    for table, amounts in RENAMED.items():
        for amount in amounts:
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {amount}_cents TO {amount}_amount_cents")
    op.execute("ALTER TABLE fees RENAME COLUMN coupon_amount TO coupons_amount")
    _rename_in_documents("used_cents", "used_amount_cents")


def downgrade() -> None:
    """Name them as before."""
    _rename_in_documents("used_amount_cents", "used_cents")
    op.execute("ALTER TABLE fees RENAME COLUMN coupons_amount TO coupon_amount")
    for table, amounts in RENAMED.items():
        for amount in amounts:
            op.execute(f"ALTER TABLE {table} RENAME COLUMN {amount}_amount_cents TO {amount}_cents")


def _rename_in_documents(old: str, new: str) -> None:
    """The coupons of an invoice are documents with the coupon's terms in them; a migration sees every tenant's."""
    op.execute("ALTER TABLE invoices NO FORCE ROW LEVEL SECURITY")
    op.execute(
        f"""UPDATE invoices SET coupons = replace(coupons::text, '"{old}":', '"{new}":')::jsonb """
        "WHERE coupons::text <> '[]'"
    )
    op.execute("ALTER TABLE invoices FORCE ROW LEVEL SECURITY")
