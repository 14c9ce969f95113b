"""The tables of the log; migrations make them, a test compares both.

Rows of `usage_events` are never changed: what happens to an event later is told by `quarantined_usage_events` and
`voided_usage_events`. Its one unique index decides what is the same event; every further b-tree would cost 40 % of
the rate, so commits are found by BRIN and by `usage_event_commits`, one row per commit, organization and shard.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from services.chassis import follower, lease, outbox

METADATA = sa.MetaData()

_INSTANT = sa.DateTime(timezone=True)


def _column(name: str, kind: sa.types.TypeEngine[Any], *, null: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=key, autoincrement=False)


def _organization(*, key: bool = True) -> sa.Column[Any]:
    return _column("organization_id", sa.Uuid(), key=key)


sa.Sequence("usage_event_commit_ids", metadata=METADATA)

USAGE_EVENTS = sa.Table(
    "usage_events",
    METADATA,
    _column("commit_id", sa.BigInteger()),
    _column("occurred_at", _INSTANT),
    _column("received_at", _INSTANT),
    _column("event_key", sa.Uuid(), key=True),
    _organization(key=False),
    _column("content_hash", sa.Uuid()),
    _column("subscription_id", sa.Uuid(), null=True),
    _column("shard", sa.SmallInteger()),
    _column("occurred_at_given", sa.Boolean()),
    _column("transaction_id", sa.Text()),
    _column("external_customer_id", sa.Text()),
    _column("external_subscription_id", sa.Text()),
    _column("code", sa.Text()),
    _column("properties", sa.LargeBinary()),
    _column("precise_total_amount_cents", sa.Numeric(), null=True),
    sa.Index("usage_events_commit_id", "commit_id", postgresql_using="brin"),
    postgresql_partition_by="RANGE (event_key)",
)

USAGE_EVENT_COMMITS = sa.Table(
    "usage_event_commits",
    METADATA,
    _organization(),
    _column("shard", sa.SmallInteger(), key=True),
    _column("commit_id", sa.BigInteger(), key=True),
    _column("first_occurred_at", _INSTANT),
    _column("last_occurred_at", _INSTANT),
)

RETIRED_KEY_RANGES = sa.Table(
    "retired_key_ranges",
    METADATA,
    _column("first_key", sa.Uuid(), key=True),
    _column("end_key", sa.Uuid()),
    _column("event_count", sa.BigInteger()),
    sa.Column("retired_at", _INSTANT, nullable=False, server_default=sa.func.now()),
)

_UNRELEASED = sa.text("released_at IS NULL")
QUARANTINED_USAGE_EVENTS = sa.Table(
    "quarantined_usage_events",
    METADATA,
    _organization(),
    _column("event_key", sa.Uuid(), key=True),
    _column("reason", sa.Text()),
    _column("field", sa.Text()),
    _column("description", sa.Text()),
    _column("code", sa.Text()),
    _column("external_customer_id", sa.Text()),
    _column("external_subscription_id", sa.Text()),
    _column("quarantined_at", _INSTANT),
    _column("released_at", _INSTANT, null=True),
    _column("subscription_id", sa.Uuid(), null=True),
    _column("released_customer_id", sa.Text(), null=True),
    sa.Index(
        "quarantined_usage_events_listed",
        "organization_id",
        "quarantined_at",
        "event_key",
        postgresql_where=_UNRELEASED,
    ),
    sa.Index("quarantined_usage_events_by_code", "organization_id", "code", "event_key", postgresql_where=_UNRELEASED),
    sa.Index(
        "quarantined_usage_events_by_customer",
        "organization_id",
        "external_customer_id",
        "external_subscription_id",
        "event_key",
        postgresql_where=_UNRELEASED,
    ),
)

VOIDED_USAGE_EVENTS = sa.Table(
    "voided_usage_events",
    METADATA,
    _organization(),
    _column("event_key", sa.Uuid(), key=True),
    _column("reason", sa.Text()),
    _column("actor", sa.Text()),
    _column("replaced_by", sa.Text(), null=True),
    _column("voided_at", _INSTANT),
)

SHARD_HEADS = sa.Table(
    "shard_heads",
    METADATA,
    _column("shard", sa.SmallInteger(), key=True),
    _column("last_number", sa.BigInteger()),
)

SHARD_PUBLICATIONS = sa.Table(
    "shard_publications",
    METADATA,
    _column("shard", sa.SmallInteger(), key=True),
    _column("published_number", sa.BigInteger()),
)

SHARD_BATCHES = sa.Table(
    "shard_batches",
    METADATA,
    _column("shard", sa.SmallInteger(), key=True),
    _column("number", sa.BigInteger(), key=True),
    _column("event_count", sa.Integer()),
    sa.Column("created_at", _INSTANT, nullable=False, server_default=sa.func.now()),
    _column("payload", sa.LargeBinary()),
)

CATALOG_HEAD = sa.Table(
    "catalog_head",
    METADATA,
    sa.Column("singleton", sa.Boolean, primary_key=True, server_default=sa.true()),
    _column("revision", sa.BigInteger()),
    sa.CheckConstraint("singleton", name="catalog_head_is_one_row"),
)

CATALOG_CHANGES = sa.Table(
    "catalog_changes",
    METADATA,
    _column("revision", sa.BigInteger(), key=True),
    _organization(),
    _column("kind", sa.Text(), key=True),
    _column("key", sa.Text(), key=True),
)

ORGANIZATIONS = sa.Table(
    "organizations",
    METADATA,
    _organization(),
    sa.Column("rejects_duplicates", sa.Boolean, nullable=False, server_default=sa.false()),
    _column("test_clock_now", _INSTANT, null=True),
    sa.Column("test_clock_revision", sa.BigInteger, nullable=False, server_default="0"),
)

BILLABLE_METRICS = sa.Table(
    "billable_metrics",
    METADATA,
    _organization(),
    _column("code", sa.Text(), key=True),
    _column("needs", sa.Text()),
    _column("field_name", sa.Text()),
)

SUBSCRIPTIONS = sa.Table(
    "subscriptions",
    METADATA,
    _organization(),
    _column("subscription_id", sa.Uuid(), key=True),
    _column("external_id", sa.Text()),
    _column("external_customer_id", sa.Text()),
    _column("starts_at", _INSTANT),
    _column("ends_at", _INSTANT, null=True),
    sa.Index("subscriptions_external_id", "organization_id", "external_id"),
    sa.Index("subscriptions_external_customer_id", "organization_id", "external_customer_id"),
)

RELEASE_REQUESTS = sa.Table(
    "release_requests",
    METADATA,
    _organization(),
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _column("kind", sa.Text()),
    _column("key", sa.Text()),
    _column("after_key", sa.Uuid(), null=True),
)

OUTBOX = outbox.tables(METADATA)
FOLLOWER = follower.tables(METADATA)
LEASES = lease.tables(METADATA)
