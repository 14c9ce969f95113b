"""Invoices with their fees, and credit notes."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.rating.tables.base import METADATA, instant, organization_key

ID = sa.Uuid(as_uuid=False)

INVOICES = sa.Table(
    "invoices",
    METADATA,
    organization_key(),
    sa.Column("invoice_id", ID, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("payment_state", sa.Text, nullable=False),
    sa.Column("sequential_id", sa.BigInteger),
    sa.Column("number", sa.Text),
    sa.Column("customer_id", ID, nullable=False),
    # As it was when the invoice was made or finalized: an old bill does not change its address.
    sa.Column("customer", JSONB, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("subscription_ids", ARRAY(ID), nullable=False),
    instant("period_start", nullable=True),
    instant("period_end", nullable=True),
    sa.Column("fees_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("coupons_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("taxes_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("credit_notes_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("prepaid_credits_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("total_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("paid_amount_cents", sa.BigInteger, nullable=False),
    # What each coupon took off, each tax, what was used of each credit note.
    sa.Column("coupons", JSONB, nullable=False),
    sa.Column("taxes", JSONB, nullable=False),
    sa.Column("credit_notes", JSONB, nullable=False),
    # What is needed to compute a draft again: the span of base price on it, see domain/bill.py.
    sa.Column("terms", JSONB, nullable=False),
    sa.Column("issuing_date", sa.Date, nullable=False),
    sa.Column("payment_due_date", sa.Date, nullable=False),
    instant("created_at"),
    instant("grace_ends_at"),
    instant("finalized_at", nullable=True),
    instant("voided_at", nullable=True),
    sa.UniqueConstraint("organization_id", "sequential_id", name="invoices_number"),
    sa.CheckConstraint("state IN ('draft', 'finalized', 'voided')", name="invoices_state"),
    # A number is given at finalization, never earlier and never again.
    sa.CheckConstraint("(state = 'draft') = (sequential_id IS NULL)", name="invoices_numbered_when_final"),
    sa.Index("invoices_of_customer", "organization_id", "customer_id", "invoice_id"),
    sa.Index("invoices_grace", "grace_ends_at", postgresql_where=sa.text("state = 'draft'")),
)

FEES = sa.Table(
    "fees",
    METADATA,
    organization_key(),
    sa.Column("fee_id", ID, primary_key=True),
    sa.Column("invoice_id", ID, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("subscription_id", ID),
    sa.Column("plan_code", sa.Text, nullable=False),
    sa.Column("charge_id", sa.Text),
    sa.Column("charge_model", sa.Text, nullable=False),
    sa.Column("metric_id", sa.Text, nullable=False),
    sa.Column("metric_code", sa.Text),
    sa.Column("metric_version", sa.Integer, nullable=False),
    sa.Column("filter_key", sa.Text, nullable=False),
    sa.Column("filter_name", sa.Text, nullable=False),
    sa.Column("group_values", JSONB, nullable=False),
    sa.Column("adjusts", sa.Text),
    instant("period_start"),
    instant("period_end"),
    # Start of the billing period whose usage was counted; absent for a fee without usage.
    instant("counted_period_start", nullable=True),
    sa.Column("units", sa.Numeric, nullable=False),
    sa.Column("event_count", sa.BigInteger, nullable=False),
    sa.Column("precise_amount", sa.Numeric, nullable=False),
    sa.Column("amount_cents", sa.BigInteger, nullable=False),
    sa.Column("full_period_amount", sa.Numeric),
    sa.Column("lines", JSONB, nullable=False),
    sa.Column("taxes", JSONB, nullable=False),
    sa.Column("taxes_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("coupons_amount", sa.Numeric, nullable=False),
    # The frozen predicate of what was counted, and its proof.
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("watermark", sa.BigInteger, nullable=False),
    sa.Column("counted_events", sa.BigInteger, nullable=False),
    sa.Column("counted_units", sa.Numeric, nullable=False),
    sa.Column("digest", sa.Numeric(39, 0), nullable=False),
    sa.Index("fees_of_invoice", "organization_id", "invoice_id"),
    sa.Index("fees_of_subscription", "organization_id", "subscription_id", "counted_period_start"),
)

CREDIT_NOTES = sa.Table(
    "credit_notes",
    METADATA,
    organization_key(),
    sa.Column("credit_note_id", ID, primary_key=True),
    sa.Column("invoice_id", ID, nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("customer_id", ID, nullable=False),
    sa.Column("external_customer_id", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("items", JSONB, nullable=False),
    sa.Column("sub_total_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("taxes_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("credit_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("refund_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("offset_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("used_amount_cents", sa.BigInteger, nullable=False),
    instant("created_at"),
    instant("voided_at", nullable=True),
    sa.UniqueConstraint("organization_id", "invoice_id", "sequence", name="credit_notes_sequence"),
    sa.CheckConstraint("used_amount_cents BETWEEN 0 AND credit_amount_cents", name="credit_notes_not_overused"),
    sa.Index("credit_notes_of_customer", "organization_id", "customer_id", "credit_note_id"),
)
