"""Organizations, keys, metrics, plans, taxes and coupons."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.rating.tables.base import METADATA, instant, organization_key

ID = sa.Uuid(as_uuid=False)

# One row for each tenant, with its test clock, since the time belongs to the organization like its name.
ORGANIZATIONS = sa.Table(
    "organizations",
    METADATA,
    organization_key(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("test_mode", sa.Boolean, nullable=False),
    sa.Column("default_currency", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("invoice_grace_period_days", sa.Integer, nullable=False),
    sa.Column("duplicate_events", sa.Text, nullable=False),
    sa.Column("late_events", sa.Text, nullable=False),
    sa.Column("invoice_prefix", sa.Text, nullable=False),
    sa.Column("net_payment_term_days", sa.Integer, nullable=False),
    instant("created_at"),
    instant("test_clock_now", nullable=True),
    sa.Column("test_clock_revision", sa.BigInteger, nullable=False, server_default="0"),
)

# Running numbers of an organization, such as its customers'; a row is locked while a number is assigned.
COUNTERS = sa.Table(
    "counters",
    METADATA,
    organization_key(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("last_number", sa.BigInteger, nullable=False),
)

API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    instant("created_at"),
    instant("revoked_at", nullable=True),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False, server_default="{}"),
    instant("expires_at", nullable=True),
    instant("last_used_at", nullable=True),
    sa.Column("replaces_id", ID, nullable=True),
    sa.Index("api_keys_by_digest", "digest", unique=True),
)

# Every version stays: an invoice names the version with which it was counted.
BILLABLE_METRICS = sa.Table(
    "billable_metrics",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("aggregation", sa.Text, nullable=False),
    sa.Column("field_name", sa.Text),
    sa.Column("rounding", sa.Text),
    sa.Column("rounding_precision", sa.Integer, nullable=False),
    sa.Column("filters", JSONB, nullable=False),
    sa.Column("recurring", sa.Boolean, nullable=False),
    sa.Column("is_current", sa.Boolean, nullable=False),
    instant("created_at"),
    instant("deleted_at", nullable=True),
    sa.Index(
        "billable_metrics_by_code",
        "organization_id",
        "code",
        unique=True,
        postgresql_where=sa.text("is_current AND deleted_at IS NULL"),
    ),
)

# A row is one version of a plan; its content is one document with decimals as text (store/plan_document.py).
PLANS = sa.Table(
    "plans",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("content", JSONB, nullable=False),
    sa.Column("metric_codes", ARRAY(sa.Text), nullable=False),
    sa.Column("is_current", sa.Boolean, nullable=False),
    instant("created_at"),
    instant("deleted_at", nullable=True),
    sa.Column("metadata", JSONB, nullable=False, server_default="{}"),
    sa.Index("plans_by_version", "organization_id", "code", "version", unique=True),
    sa.Index(
        "plans_by_code",
        "organization_id",
        "code",
        unique=True,
        postgresql_where=sa.text("is_current AND deleted_at IS NULL"),
    ),
)

TAXES = sa.Table(
    "taxes",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("rate_percent", sa.Numeric, nullable=False),
    sa.Column("applied_to_organization", sa.Boolean, nullable=False),
    instant("created_at"),
    sa.Index("taxes_by_code", "organization_id", "code", unique=True),
)

ADD_ONS = sa.Table(
    "add_ons",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("invoice_display_name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("amount_cents", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("tax_codes", ARRAY(sa.Text), nullable=False),
    instant("created_at"),
    sa.Index("add_ons_by_code", "organization_id", "code", unique=True),
)

COUPONS = sa.Table(
    "coupons",
    METADATA,
    organization_key(),
    sa.Column("id", ID, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("amount_cents", sa.BigInteger),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("rate_percent", sa.Numeric),
    sa.Column("frequency", sa.Text, nullable=False),
    sa.Column("frequency_duration", sa.Integer),
    sa.Column("plan_codes", ARRAY(sa.Text), nullable=False),
    sa.Column("metric_codes", ARRAY(sa.Text), nullable=False),
    instant("expires_at", nullable=True),
    instant("created_at"),
    sa.Column("description", sa.Text, nullable=False, server_default=""),
    sa.Column("is_reusable", sa.Boolean, nullable=False, server_default=sa.true()),
    # When it was withdrawn: customers who hold the coupon keep it, and its code is free again.
    instant("deleted_at", nullable=True),
    sa.Index(
        "coupons_by_code",
        "organization_id",
        "code",
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    ),
)
