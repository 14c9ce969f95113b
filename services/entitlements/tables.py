"""The tables of this service. Migrations are written by hand; a test compares them with this file."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.chassis import follower, idempotency, lease, outbox

METADATA = sa.MetaData()


def _organization() -> sa.Column[Any]:
    return sa.Column("organization_id", sa.Uuid(as_uuid=False), primary_key=True)


def _text(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def _instant(name: str, *, nullable: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), primary_key=key, nullable=nullable)


def _units(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Numeric, nullable=nullable)


def _whole(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _id(name: str, *, key: bool = False, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Uuid(as_uuid=False), primary_key=key, nullable=nullable and not key)


def _terms() -> list[sa.Column[Any]]:
    """What is given of a feature; as domain.feature_terms.FeatureTerms."""
    return [_flag("enabled"), _units("units_limit", nullable=True), _flag("hard"), _text("reset"), _text("value")]


# Locked first by whatever changes what a customer has, so that rights are resolved one change after another.
ORGANIZATIONS = sa.Table(
    "organizations",
    METADATA,
    _organization(),
    _instant("test_clock_now", nullable=True),
    _whole("test_clock_revision"),
)
# Locked last, right before the commit, so that revisions appear in their order.
REVISIONS = sa.Table("revisions", METADATA, _organization(), _whole("revision"))

FEATURES = sa.Table(
    "features",
    METADATA,
    _organization(),
    _text("code", key=True),
    _id("feature_id"),
    _text("name"),
    _text("description"),
    _text("type"),
    _text("metric_code"),
    _instant("created_at"),
    _instant("deleted_at", nullable=True),
)
PLANS = sa.Table(
    "plans",
    METADATA,
    _organization(),
    _id("plan_id", key=True),
    _text("code"),
    sa.Column("version", sa.Integer, nullable=False),
    _text("interval_unit"),
    sa.Column("interval_every", sa.Integer, nullable=False),
    _flag("charged_monthly"),
)
PLAN_TERMS = sa.Table(
    "plan_terms",
    METADATA,
    _organization(),
    _id("plan_id", key=True),
    _text("feature_code", key=True),
    _text("type"),
    _text("metric_code"),
    *_terms(),
    sa.Index("plan_terms_by_feature", "organization_id", "feature_code"),
)
SUBSCRIPTIONS = sa.Table(
    "subscriptions",
    METADATA,
    _organization(),
    _id("subscription_id", key=True),
    _text("external_id"),
    _text("external_customer_id"),
    _id("plan_id"),
    _text("state"),
    _text("timezone"),
    _text("alignment"),
    _instant("started_at"),
    _instant("ending_at", nullable=True),
    _instant("period_start", nullable=True),
    _instant("period_end", nullable=True),
    sa.Index("subscriptions_by_customer", "organization_id", "external_customer_id"),
    sa.Index("subscriptions_by_external_id", "organization_id", "external_id"),
    sa.Index("subscriptions_by_plan", "organization_id", "plan_id"),
)
OVERRIDES = sa.Table(
    "overrides",
    METADATA,
    _organization(),
    _text("external_customer_id", key=True),
    _text("external_subscription_id", key=True),
    _text("feature_code", key=True),
    *_terms(),
    _instant("set_at"),
    sa.Index("overrides_by_feature", "organization_id", "feature_code"),
)
# What results for each subscription and feature; its rows are never deleted, so that a watcher learns of removals.
ENTITLEMENTS = sa.Table(
    "entitlements",
    METADATA,
    _organization(),
    _id("subscription_id", key=True),
    _text("feature_code", key=True),
    _text("type"),
    _text("source"),
    _text("metric_code"),
    *_terms(),
    _units("consumed_units"),
    _instant("consumed_since", nullable=True),
    _whole("revision"),
    _flag("removed"),
    sa.Index("entitlements_by_revision", "organization_id", "revision"),
)
USAGE_TOTALS = sa.Table(
    "usage_totals",
    METADATA,
    _organization(),
    _id("subscription_id", key=True),
    _text("metric_code", key=True),
    _instant("period_start", key=True),
    _instant("period_end"),
    _units("units"),
    _whole("revision"),
)
USAGE_COUNTS = sa.Table(
    "usage_counts",
    METADATA,
    _organization(),
    _id("subscription_id", key=True),
    _text("metric_code", key=True),
    _units("ever_units"),
    _instant("day_start"),
    _units("day_units"),
    _instant("week_start"),
    _units("week_units"),
    _instant("month_start"),
    _units("month_units"),
)
HOLDS = sa.Table(
    "holds",
    METADATA,
    _organization(),
    _id("hold_id", key=True),
    _id("subscription_id"),
    _text("feature_code"),
    _units("units"),
    _text("state"),
    _instant("created_at"),
    _instant("expires_at"),
    _instant("settled_at", nullable=True),
    sa.Index(
        "holds_alive",
        "organization_id",
        "subscription_id",
        "feature_code",
        "expires_at",
        postgresql_where=sa.text("state = 'held'"),
    ),
)
# The ledger: every unit counted by Consume and Commit; rows are only added.
CONSUMPTIONS = sa.Table(
    "consumptions",
    METADATA,
    _organization(),
    _id("consumption_id", key=True),
    _id("subscription_id"),
    _text("feature_code"),
    _units("units"),
    _text("request_id"),
    _id("hold_id", nullable=True),
    _instant("consumed_at"),
    sa.Index("consumptions_by_feature", "organization_id", "subscription_id", "feature_code", "consumed_at"),
)

outbox.tables(METADATA)
follower.tables(METADATA)
lease.tables(METADATA)
idempotency.table(METADATA)
