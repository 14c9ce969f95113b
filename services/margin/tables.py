"""The tables, as the migrations make them; a test finds any difference."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from services.chassis import follower, idempotency, lease, outbox

METADATA = sa.MetaData()

outbox.tables(METADATA)
follower.tables(METADATA)
lease.tables(METADATA)
idempotency.table(METADATA)


def _id(name: str, *, key: bool = False, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Uuid(as_uuid=False), primary_key=key, nullable=null)


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def _at(name: str, *, null: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def _number(name: str, *, null: bool = False) -> sa.Column[Decimal]:
    return sa.Column(name, sa.Numeric, nullable=null)


CATALOG_IMPORTS = sa.Table(
    "catalog_imports",
    METADATA,
    _text("source", key=True),
    sa.Column("content_hash", sa.LargeBinary, primary_key=True),
    sa.Column("row_count", sa.Integer, nullable=False),
    sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)

_PRICE = ("provider", "model", "token_type", "service_tier")

CATALOG_PRICES = sa.Table(
    "catalog_prices",
    METADATA,
    _id("id", key=True),
    *(_text(name) for name in _PRICE),
    _number("amount_per_million"),
    _text("currency"),
    _at("effective_from", null=True),
    _at("effective_to", null=True),
    sa.Column("above_input_tokens", sa.BigInteger, nullable=False),
    sa.Column("daily_start", sa.Time, nullable=True),
    sa.Column("daily_end", sa.Time, nullable=True),
    _text("source"),
    sa.Index("catalog_prices_by_model", "model", "provider"),
)

PRICE_OVERRIDES = sa.Table(
    "price_overrides",
    METADATA,
    _id("organization_id", key=True),
    _id("id", key=True),
    *(_text(name) for name in _PRICE),
    _number("amount_per_million"),
    _text("currency"),
    _at("effective_from", null=True),
    _at("effective_to", null=True),
    sa.Column("above_input_tokens", sa.BigInteger, nullable=False),
    _at("created_at"),
)

COST_MODELS = sa.Table(
    "cost_models",
    METADATA,
    _id("organization_id", key=True),
    _id("id", key=True),
    _text("name"),
    _text("metric_code"),
    sa.Column("rule", postgresql.JSONB, nullable=False),
    _text("currency"),
    _at("effective_from", null=True),
    _at("created_at"),
    _at("deleted_at", null=True),
    sa.Index("cost_models_by_metric", "organization_id", "metric_code"),
)

COST_EVENTS = sa.Table(
    "cost_events",
    METADATA,
    _id("organization_id", key=True),
    _text("cost_event_id", key=True),
    sa.Column("natural_key", sa.LargeBinary, nullable=True),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),
    *(_text(name) for name in ("external_customer_id", "parent_transaction_id", "request_id")),
    *(_text(name) for name in ("cost_meter_code", "operation_key", "provider", "model", "token_type", "service_tier")),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    _number("amount", null=True),
    _text("currency"),
    _at("occurred_at"),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index(
        "cost_events_by_natural_key",
        "organization_id",
        "natural_key",
        unique=True,
        postgresql_where=sa.text("natural_key IS NOT NULL"),
    ),
    sa.Index("cost_events_by_request", "organization_id", "parent_transaction_id", "request_id"),
)

COST_ENTRIES = sa.Table(
    "cost_entries",
    METADATA,
    _id("organization_id", key=True),
    _id("id", key=True),
    _text("kind"),
    _text("source"),
    _text("source_id"),
    _id("reverses_id", null=True),
    _text("external_customer_id"),
    _id("subscription_id", null=True),
    _text("code"),
    _text("provider"),
    _text("model"),
    _text("token_type"),
    _number("units"),
    _number("unit_amount", null=True),
    _number("amount", null=True),
    _text("currency"),
    _id("price_id", null=True),
    sa.Column("entry_count", sa.SmallInteger, nullable=False),
    _at("occurred_at"),
    _text("parent_transaction_id"),
    _text("request_id"),
    _text("operation_key"),
    sa.Index("cost_entries_by_source", "organization_id", "source_id"),
    sa.Index("cost_entries_by_time", "organization_id", "occurred_at"),
    sa.Index(
        "cost_entries_reversed_once",
        "organization_id",
        "reverses_id",
        unique=True,
        postgresql_where=sa.text("reverses_id IS NOT NULL"),
    ),
)

COST_HOURS = sa.Table(
    "cost_hours",
    METADATA,
    _id("organization_id", key=True),
    sa.Column("hour", sa.DateTime(timezone=True), primary_key=True),
    _text("external_customer_id", key=True),
    _id("subscription_id", key=True),
    *(_text(name, key=True) for name in ("source", "code", "provider", "model", "token_type", "currency")),
    _number("units"),
    _number("amount"),
    sa.Column("entry_count", sa.BigInteger, nullable=False),
    sa.Column("unpriced_count", sa.BigInteger, nullable=False),
)

# Locked by whoever records a part of the request, so that its parts are priced one after another.
COST_REQUESTS = sa.Table(
    "cost_requests",
    METADATA,
    _id("organization_id", key=True),
    _text("parent_transaction_id", key=True),
    _text("request_id", key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# Locked by whoever costs the usage event and by whoever records what it cost, so that one of them sees the other.
USAGE_PARENTS = sa.Table(
    "usage_parents",
    METADATA,
    _id("organization_id", key=True),
    _text("transaction_id", key=True),
    _text("external_customer_id"),
    _id("subscription_id", null=True),
    sa.Column("has_cost_events", sa.Boolean, nullable=False),
)

# Usage whose cost depends on a metric that rating has not announced yet.
WAITING_USAGE = sa.Table(
    "waiting_usage",
    METADATA,
    _id("organization_id", key=True),
    _text("transaction_id", key=True),
    _text("code"),
    _text("external_customer_id"),
    _id("subscription_id", null=True),
    _at("occurred_at"),
    sa.Column("properties", sa.LargeBinary, nullable=False),
    sa.Index("waiting_usage_by_metric", "organization_id", "code"),
)

ACCRUALS = sa.Table(
    "accruals",
    METADATA,
    _id("organization_id", key=True),
    _id("subscription_id", key=True),
    sa.Column("period_start", sa.DateTime(timezone=True), primary_key=True),
    _at("period_end"),
    sa.Column("revision", sa.BigInteger, nullable=False),
    _text("external_customer_id"),
    _text("plan_code"),
    _text("currency"),
)

ACCRUAL_ENTRIES = sa.Table(
    "accrual_entries",
    METADATA,
    _id("organization_id", key=True),
    _id("subscription_id", key=True),
    sa.Column("period_start", sa.DateTime(timezone=True), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    _text("kind"),
    _text("metric_code"),
    _at("span_start"),
    _at("span_end"),
    _number("amount"),
    _text("provider"),
    _text("model"),
)

METRICS = sa.Table(
    "metrics",
    METADATA,
    _id("organization_id", key=True),
    _text("code", key=True),
    sa.Column("sums", sa.Boolean, nullable=False),
    _text("field_name"),
)

SUBSCRIPTIONS = sa.Table(
    "subscriptions",
    METADATA,
    _id("organization_id", key=True),
    _id("id", key=True),
    _text("external_customer_id"),
    _text("plan_code"),
    _at("started_at", null=True),
    _at("ended_at", null=True),
    sa.Index("subscriptions_by_customer", "organization_id", "external_customer_id"),
)

ORGANIZATIONS = sa.Table(
    "organizations",
    METADATA,
    _id("organization_id", key=True),
    _text("default_currency"),
)

TEST_CLOCKS = sa.Table(
    "test_clocks",
    METADATA,
    _id("organization_id", key=True),
    _at("clock_now"),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# Test clocks that moved while usage from before was still to be costed.
WAITING_CLOCKS = sa.Table(
    "waiting_clocks",
    METADATA,
    _id("organization_id", key=True),
    _at("clock_now"),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("positions", postgresql.JSONB, nullable=False),
)

ALERTS = sa.Table(
    "alerts",
    METADATA,
    _id("organization_id", key=True),
    _id("id", key=True),
    _text("code"),
    _text("name"),
    _text("metric"),
    _text("external_customer_id"),
    _number("warning_threshold"),
    _number("critical_threshold", null=True),
    _number("recovery_threshold", null=True),
    sa.Column("raise_after", sa.Interval, nullable=False),
    sa.Column("clear_after", sa.Interval, nullable=False),
    _at("created_at"),
    sa.UniqueConstraint("organization_id", "code", name="alerts_code"),
)
