"""Customers, their coupons, their subscriptions, and which services have reached a test clock's time."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.rating.tables.base import METADATA, instant, organization_key

ID = sa.Uuid(as_uuid=False)

CUSTOMERS = sa.Table(
    "customers",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("sequential_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("address_lines", ARRAY(sa.Text), nullable=False),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("tax_identification_number", sa.Text, nullable=False),
    sa.Column("invoice_grace_period_days", sa.Integer),
    sa.Column("tax_codes", ARRAY(sa.Text), nullable=False),
    sa.Column("metadata", JSONB, nullable=False),
    instant("created_at"),
    instant("updated_at"),
    sa.Column("net_payment_term_days", sa.Integer),
    instant("deleted_at", nullable=True),
    sa.Index("customers_by_external_id", "organization_id", "external_id", unique=True),
)

APPLIED_COUPONS = sa.Table(
    "applied_coupons",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("coupon_id", ID, nullable=False),
    sa.Column("customer_id", ID, nullable=False),
    sa.Column("amount_cents", sa.BigInteger),
    sa.Column("used_amount_cents", sa.BigInteger, nullable=False),
    sa.Column("invoices_left", sa.Integer),
    instant("created_at"),
    instant("terminated_at", nullable=True),
    # The terms as they were given: later changes of the coupon do not affect them.
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("rate_percent", sa.Numeric),
    sa.Column("frequency", sa.Text, nullable=False),
    sa.Column("frequency_duration", sa.Integer),
    sa.Column("plan_codes", ARRAY(sa.Text), nullable=False),
    sa.Column("metric_codes", ARRAY(sa.Text), nullable=False),
    instant("expires_at", nullable=True),
    sa.ForeignKeyConstraint(["organization_id", "coupon_id"], ["coupons.organization_id", "coupons.id"]),
    sa.ForeignKeyConstraint(["organization_id", "customer_id"], ["customers.organization_id", "customers.id"]),
    # If a customer held the same coupon twice, it would reduce twice. It can be given again once it is used up or taken
    # away.
    sa.Index(
        "applied_coupons_in_hand",
        "organization_id",
        "customer_id",
        "coupon_id",
        unique=True,
        postgresql_where=sa.text("terminated_at IS NULL"),
    ),
    sa.Index("applied_coupons_of_coupon", "organization_id", "coupon_id"),
)

SUBSCRIPTIONS = sa.Table(
    "subscriptions",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("customer_id", ID, nullable=False),
    sa.Column("plan_id", ID, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("alignment", sa.Text, nullable=False),
    # The zone in which its days are counted. When the customer moves, another subscription continues this one at the
    # end of its period, so that periods have neither gap nor overlap.
    sa.Column("timezone", sa.Text, nullable=False),
    instant("anchor"),
    instant("starts_at"),
    instant("first_started_at"),
    instant("ended_at", nullable=True),
    instant("base_ends_at", nullable=True),
    instant("ending_at", nullable=True),
    instant("trial_end_due_at", nullable=True),
    instant("change_at", nullable=True),
    sa.Column("change_plan_code", sa.Text),
    sa.Column("change_plan_version", sa.Integer),
    sa.Column("end_resolution", sa.Text, nullable=False),
    sa.Column("end_skips_invoice", sa.Boolean, nullable=False),
    # The first instant at which something scheduled is due: its start, change, trial's end or own end.
    instant("due_at", nullable=True),
    sa.Column("previous_id", ID),
    sa.Column("previous_plan_code", sa.Text),
    sa.Column("next_id", ID),
    # The boundary at which the calendar of another zone passed into this one's, if there was another.
    sa.Column("seam_day", sa.Date),
    instant("seam_at", nullable=True),
    instant("created_at"),
    sa.ForeignKeyConstraint(["organization_id", "customer_id"], ["customers.organization_id", "customers.id"]),
    sa.ForeignKeyConstraint(["organization_id", "plan_id"], ["plans.organization_id", "plans.id"]),
    sa.Index(
        "subscriptions_by_external_id",
        "organization_id",
        "external_id",
        unique=True,
        postgresql_where=sa.text("state IN ('pending', 'active')"),
    ),
    sa.Index("subscriptions_history", "organization_id", "external_id", "created_at"),
    sa.Index("subscriptions_of_customer", "organization_id", "customer_id"),
    sa.Index("subscriptions_of_plan", "organization_id", "plan_id", "state"),
    sa.Index("subscriptions_due", "due_at", postgresql_where=sa.text("due_at IS NOT NULL")),
)

# Which services have done everything due up to a test clock's revision.
TEST_CLOCK_ACKNOWLEDGEMENTS = sa.Table(
    "test_clock_acknowledgements",
    METADATA,
    organization_key(),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    instant("reached_at"),
)
