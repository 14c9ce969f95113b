"""The projection of rating's catalog: metrics, subscriptions, organizations, and a revision that counts its changes."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.ingest.domain.billability import FOREVER_US, Metric, Needs, Subscription
from services.ingest.store.log import CATALOG_LOCK
from services.kernel.ids import OrganizationId
from services.kernel.instant import from_us, to_us

# A cache that is further behind than this forgets everything instead of catching up.
KEPT_CHANGES = 10_000

ORGANIZATION = "organization"
METRIC = "metric"
CUSTOMER = "customer"
SUBSCRIPTION = "subscription"
RETIREMENT = "retirement"
NOBODY = OrganizationId(str(uuid.UUID(int=0)))


class Change(NamedTuple):
    """One thing of the catalog that has changed.

    Attributes:
        organization: whose thing it is; NOBODY for a change that concerns all.
        kind: ORGANIZATION, METRIC, CUSTOMER, SUBSCRIPTION or RETIREMENT.
        key: the code or external id.
    """

    organization: OrganizationId
    kind: str
    key: str


class OrganizationRow(NamedTuple):
    """What the log knows of an organization."""

    are_duplicates_rejected: bool
    test_clock_us: int | None


UNKNOWN_ORGANIZATION = OrganizationRow(are_duplicates_rejected=False, test_clock_us=None)


def lock(tx: Connection) -> None:
    """Hold the catalog exclusively until the end of the transaction, so that no event is resolved meanwhile."""
    tx.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (CATALOG_LOCK,))


def note_changes(tx: Connection, changes: Collection[Change]) -> None:
    """Count changes so that caches learn of them; the caller holds `lock`."""
    revision = tx.exec_driver_sql("UPDATE catalog_head SET revision = revision + 1 RETURNING revision").scalar_one()
    tx.exec_driver_sql(
        "INSERT INTO catalog_changes SELECT %s, * FROM unnest(%s::uuid[], %s::text[], %s::text[]) "
        "ON CONFLICT DO NOTHING",
        (
            revision,
            [change.organization for change in changes],
            [change.kind for change in changes],
            [change.key for change in changes],
        ),
    )
    tx.exec_driver_sql("DELETE FROM catalog_changes WHERE revision <= %s", (revision - KEPT_CHANGES,))


def changes_since(tx: Connection, revision: int) -> list[Change] | None:
    """What changed after a revision; None if that was too long ago to tell."""
    oldest = tx.exec_driver_sql("SELECT min(revision) FROM catalog_changes").scalar_one()
    if oldest is not None and oldest > revision + 1:
        return None
    rows = tx.exec_driver_sql("SELECT organization_id, kind, key FROM catalog_changes WHERE revision > %s", (revision,))
    return [Change(OrganizationId(str(organization)), kind, key) for organization, kind, key in rows]


def save_metric(tx: Connection, organization: OrganizationId, metric: Metric) -> None:
    """Store a metric as it is now."""
    tx.exec_driver_sql(
        "INSERT INTO billable_metrics (organization_id, code, needs, field_name) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (organization_id, code) DO UPDATE SET needs = excluded.needs, field_name = excluded.field_name",
        (organization, metric.code, metric.needs.value, metric.field_name),
    )


def delete_metric(tx: Connection, organization: OrganizationId, code: str) -> None:
    """Forget a metric."""
    tx.exec_driver_sql("DELETE FROM billable_metrics WHERE organization_id = %s AND code = %s", (organization, code))


def save_subscription(tx: Connection, organization: OrganizationId, subscription: Subscription) -> None:
    """Store a subscription as it is now."""
    ends_at = None if subscription.ends_us == FOREVER_US else from_us(subscription.ends_us)
    tx.exec_driver_sql(
        "INSERT INTO subscriptions (organization_id, subscription_id, external_id, external_customer_id, starts_at, "
        "ends_at) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (organization_id, subscription_id) DO UPDATE SET "
        "external_id = excluded.external_id, external_customer_id = excluded.external_customer_id, "
        "starts_at = excluded.starts_at, ends_at = excluded.ends_at",
        (
            organization,
            subscription.subscription_id,
            subscription.external_id,
            subscription.external_customer_id,
            from_us(subscription.starts_us),
            ends_at,
        ),
    )


def save_organization(tx: Connection, organization: OrganizationId, *, are_duplicates_rejected: bool) -> None:
    """Store an organization's policy."""
    tx.exec_driver_sql(
        "INSERT INTO organizations (organization_id, rejects_duplicates) VALUES (%s, %s) "
        "ON CONFLICT (organization_id) DO UPDATE SET rejects_duplicates = excluded.rejects_duplicates",
        (organization, are_duplicates_rejected),
    )


def save_test_clock(tx: Connection, organization: OrganizationId, now: datetime, revision: int) -> None:
    """Store the time of a test clock; an older advance changes nothing."""
    tx.exec_driver_sql(
        "INSERT INTO organizations (organization_id, test_clock_now, test_clock_revision) VALUES (%s, %s, %s) "
        "ON CONFLICT (organization_id) DO UPDATE SET test_clock_now = excluded.test_clock_now, "
        "test_clock_revision = excluded.test_clock_revision "
        "WHERE organizations.test_clock_revision <= excluded.test_clock_revision",
        (organization, now, revision),
    )


def load_organization(tx: Connection, organization: OrganizationId) -> OrganizationRow:
    """An organization's policy and clock; defaults if rating has not announced it yet."""
    row = tx.exec_driver_sql(
        "SELECT rejects_duplicates, test_clock_now FROM organizations WHERE organization_id = %s", (organization,)
    ).one_or_none()
    if row is None:
        return UNKNOWN_ORGANIZATION
    return OrganizationRow(row[0], None if row[1] is None else to_us(row[1]))


def load_metrics(tx: Connection, organization: OrganizationId) -> dict[str, Metric]:
    """All metrics of an organization, by code."""
    rows = tx.exec_driver_sql(
        "SELECT code, needs, field_name FROM billable_metrics WHERE organization_id = %s", (organization,)
    )
    return {code: Metric(code, Needs(needs), field_name) for code, needs, field_name in rows}


def load_subscriptions(
    tx: Connection, organization: OrganizationId, *, customers: Sequence[str], external_ids: Sequence[str]
) -> list[Subscription]:
    """The subscriptions of these customers, and those with these external ids."""
    rows = tx.exec_driver_sql(
        "SELECT subscription_id, external_id, external_customer_id, starts_at, ends_at FROM subscriptions "
        "WHERE organization_id = %(organization)s AND external_customer_id = ANY(%(customers)s) "
        "UNION SELECT subscription_id, external_id, external_customer_id, starts_at, ends_at FROM subscriptions "
        "WHERE organization_id = %(organization)s AND external_id = ANY(%(external_ids)s)",
        {"organization": organization, "customers": list(customers), "external_ids": list(external_ids)},
    )
    return [
        Subscription(str(identity), external, customer, to_us(starts), FOREVER_US if ends is None else to_us(ends))
        for identity, external, customer, starts, ends in rows
    ]


def load_retired(tx: Connection) -> list[tuple[bytes, bytes]]:
    """The key ranges that retention removed, half-open."""
    rows = tx.exec_driver_sql("SELECT first_key, end_key FROM retired_key_ranges ORDER BY first_key")
    return [(first.bytes, end.bytes) for first, end in rows]
