"""Billing periods, and the usage counted in them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.rating.tables.base import METADATA, instant, organization_key

ID = sa.Uuid(as_uuid=False)

BILLING_PERIODS = sa.Table(
    "billing_periods",
    METADATA,
    organization_key(),
    sa.Column("subscription_id", ID, primary_key=True),
    sa.Column("period_start", sa.DateTime(timezone=True), primary_key=True),
    instant("period_end"),
    sa.Column("customer_id", ID, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="open"),
    # The invoice that billed its usage; none where there was nothing to bill.
    sa.Column("invoice_id", ID),
    # Closed, and its usage is not what was invoiced.
    sa.Column("is_dirty", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("accrual_revision", sa.BigInteger, nullable=False, server_default="0"),
    # Whether its accrued revenue is to be announced again.
    sa.Column("is_accrual_due", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.CheckConstraint("state IN ('open', 'closed')", name="billing_periods_state"),
    sa.CheckConstraint("period_start <= period_end", name="billing_periods_order"),
    sa.Index("billing_periods_due", "period_end", postgresql_where=sa.text("state = 'open'")),
    sa.Index("billing_periods_open", "organization_id", "period_end", postgresql_where=sa.text("state = 'open'")),
    sa.Index("billing_periods_dirty", "organization_id", "customer_id", postgresql_where=sa.text("is_dirty")),
    sa.Index("billing_periods_accrual", "organization_id", postgresql_where=sa.text("is_accrual_due")),
)

# One row for each metric of a subscription's period (bucket ''), and one for each filter and group of a charge that
# has any. Every column adds up in any order, so a batch of events is one upsert.
USAGE_AGGREGATES = sa.Table(
    "usage_aggregates",
    METADATA,
    organization_key(),
    sa.Column("subscription_id", ID, primary_key=True),
    sa.Column("period_start", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("metric_code", sa.Text, primary_key=True),
    sa.Column("bucket", sa.Text, primary_key=True),
    sa.Column("aggregate_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
    sa.Column("charge_id", sa.Text, nullable=False, server_default=""),
    sa.Column("filter_key", sa.Text, nullable=False, server_default=""),
    sa.Column("group_values", JSONB),
    sa.Column("event_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("total", sa.Numeric, nullable=False, server_default="0"),
    sa.Column("moment", sa.Numeric, nullable=False, server_default="0"),
    sa.Column("carried", sa.Numeric, nullable=False, server_default="0"),
    sa.Column("largest", sa.Numeric),
    instant("latest_at", nullable=True),
    sa.Column("latest_event", sa.Text),
    sa.Column("latest_value", sa.Numeric),
    sa.Column("present_count", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("precise_amount", sa.Numeric, nullable=False, server_default="0"),
    # Sum of the 16-byte hashes of the counted events' transaction ids, modulo 2^128.
    sa.Column("digest", sa.Numeric(39, 0), nullable=False, server_default="0"),
    sa.Column("shard", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="1"),
    # A voided event took away what only the event log can replace, such as the largest value.
    sa.Column("needs_recount", sa.Boolean, nullable=False, server_default=sa.false()),
    # Earliest transactions and tally of a percentage with an allowance or bounds.
    sa.Column("transactions", JSONB),
)

# The distinct values of a unique count, as 16-byte hashes.
USAGE_VALUES = sa.Table(
    "usage_values",
    METADATA,
    organization_key(),
    sa.Column("aggregate_id", sa.BigInteger, primary_key=True),
    sa.Column("value_key", ID, primary_key=True),
    sa.Column("reference_count", sa.BigInteger, nullable=False),
    instant("last_at", nullable=True),
    sa.Column("last_event", sa.Text, nullable=False),
    sa.Column("is_present", sa.Boolean, nullable=False),
    sa.Column("is_carried", sa.Boolean, nullable=False),
)

# The net change of each local day of a sum that is prorated by days held.
USAGE_DAYS = sa.Table(
    "usage_days",
    METADATA,
    organization_key(),
    sa.Column("aggregate_id", sa.BigInteger, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("units", sa.Numeric, nullable=False),
)

# Counted events whose time had not come when they were counted, until their period is closed: when their subscription
# ends before them they are taken out again. An event may be a day ahead at most, and few are at all.
USAGE_AHEAD = sa.Table(
    "usage_ahead",
    METADATA,
    organization_key(),
    sa.Column("subscription_id", ID, primary_key=True),
    sa.Column("event_key", ID, primary_key=True),
    instant("occurred_at"),
    sa.Column("metric_code", sa.Text, nullable=False),
    sa.Column("transaction_id", sa.Text, nullable=False),
    # JSON as text, so that numbers keep their digits.
    sa.Column("properties", sa.Text, nullable=False),
    sa.Column("precise_amount_cents", sa.Numeric, nullable=False),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)

# Entries that were applied after their period was closed: with them an invoice can still say what it had counted, and
# an adjustment what it was made for. Rare, so one row an entry is affordable.
USAGE_CORRECTIONS = sa.Table(
    "usage_corrections",
    METADATA,
    organization_key(),
    sa.Column("subscription_id", ID, primary_key=True),
    sa.Column("period_start", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("metric_code", sa.Text, primary_key=True),
    sa.Column("transaction_id", sa.Text, primary_key=True),
    sa.Column("is_void", sa.Boolean, primary_key=True),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
)

# Events that were refused, until the log has taken them back: what is taken back and has no row here was counted.
REFUSED_USAGE = sa.Table(
    "refused_usage",
    METADATA,
    organization_key(),
    sa.Column("subscription_id", ID, primary_key=True),
    sa.Column("event_key", ID, primary_key=True),
)
