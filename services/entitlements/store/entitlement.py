"""The entitlement of each subscription and feature, and the locks on its row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.engine import Connection

from services.entitlements.domain.access import Question
from services.entitlements.domain.counting import Key
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import Right, Source
from services.entitlements.domain.standing import Consumed
from services.entitlements.store.feature_terms import terms_columns, terms_of
from services.kernel.ids import OrganizationId


def rights(tx: Connection, organization: OrganizationId, subscriptions: Iterable[str]) -> dict[str, dict[str, Right]]:
    """The stored rights that are not removed, by subscription and feature code; the rows are locked."""
    rows = tx.exec_driver_sql(
        "SELECT subscription_id::text AS subscription, * FROM entitlements WHERE organization_id = %s "
        "AND subscription_id = ANY(%s::uuid[]) ORDER BY subscription_id, feature_code FOR UPDATE",
        (organization, list(subscriptions)),
    )
    by_subscription: defaultdict[str, dict[str, Right]] = defaultdict(dict)
    for row in rows:
        if not row.removed:
            by_subscription[row.subscription][row.feature_code] = Right(
                FeatureType(row.type), Source(row.source), row.metric_code, terms_of(row)
            )
    return by_subscription


def save(tx: Connection, organization: OrganizationId, rights_by_key: Mapping[Key, Right]) -> None:
    """Store rights as they are now; units consumed under earlier rights still count."""
    if rights_by_key:
        tx.exec_driver_sql(
            "INSERT INTO entitlements (organization_id, subscription_id, feature_code, type, source, metric_code, "
            "enabled, units_limit, hard, reset, value) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
            "ON CONFLICT (organization_id, subscription_id, feature_code) DO UPDATE SET type = excluded.type, "
            "source = excluded.source, metric_code = excluded.metric_code, enabled = excluded.enabled, "
            "units_limit = excluded.units_limit, hard = excluded.hard, reset = excluded.reset, "
            "value = excluded.value, removed = false",
            [
                (
                    organization,
                    *key,
                    right.type,
                    right.source,
                    right.metric_code,
                    *terms_columns(right.terms),
                )
                for key, right in rights_by_key.items()
            ],
        )


def remove(tx: Connection, organization: OrganizationId, keys: Sequence[Key]) -> None:
    """Mark rights as removed; the rows stay, so that a watcher learns of it."""
    if keys:
        tx.exec_driver_sql(
            "UPDATE entitlements SET removed = true WHERE organization_id = %s "
            "AND subscription_id = %s AND feature_code = %s",
            [(organization, *key) for key in keys],
        )


def keys_of(tx: Connection, organization: OrganizationId, subscriptions: Iterable[str]) -> list[Key]:
    """The features to which subscriptions are entitled now."""
    rows = tx.exec_driver_sql(
        "SELECT subscription_id::text, feature_code FROM entitlements "
        "WHERE organization_id = %s AND subscription_id = ANY(%s::uuid[]) AND NOT removed",
        (organization, list(subscriptions)),
    )
    return [(row[0], row[1]) for row in rows]


def lock(tx: Connection, organization: OrganizationId, keys: Iterable[Key]) -> None:
    """Lock rows, in one order, until the end of the transaction."""
    wanted = sorted(set(keys))
    tx.exec_driver_sql(
        "SELECT 1 FROM entitlements e JOIN unnest(%s::uuid[], %s::text[]) AS wanted (subscription_id, feature_code) "
        "USING (subscription_id, feature_code) WHERE e.organization_id = %s "
        "ORDER BY e.subscription_id, e.feature_code FOR UPDATE OF e",
        ([key[0] for key in wanted], [key[1] for key in wanted], organization),
    )


def lock_asked(
    tx: Connection, organization: OrganizationId, questions: Sequence[Question], hold_ids: Sequence[str]
) -> set[Key]:
    """Lock, in one order, the rows that questions and holds may count against; which they are."""
    rows = tx.exec_driver_sql(
        "SELECT e.subscription_id::text, e.feature_code FROM entitlements e "
        "WHERE e.organization_id = %(organization)s AND (e.subscription_id, e.feature_code) IN ("
        "SELECT s.subscription_id, q.feature FROM unnest(%(customers)s::text[], %(selectors)s::text[], "
        "%(features)s::text[]) AS q (customer, selector, feature) JOIN subscriptions s "
        "ON s.organization_id = %(organization)s AND s.external_customer_id = q.customer AND s.state = 'active' "
        "AND q.selector IN ('', s.external_id) UNION ALL SELECT h.subscription_id, h.feature_code FROM holds h "
        "WHERE h.organization_id = %(organization)s AND h.hold_id = ANY(%(holds)s::uuid[])) "
        "ORDER BY e.subscription_id, e.feature_code FOR UPDATE OF e",
        {
            "organization": organization,
            "customers": [question.external_customer_id for question in questions],
            "selectors": [question.external_subscription_id for question in questions],
            "features": [question.feature_code for question in questions],
            "holds": list(hold_ids),
        },
    )
    return {(row[0], row[1]) for row in rows}


def save_consumed(tx: Connection, organization: OrganizationId, consumed: Mapping[Key, Consumed]) -> None:
    """Store what Consume and Commit have counted; the rows must be locked."""
    tx.exec_driver_sql(
        "UPDATE entitlements e SET consumed_units = counted.units, consumed_since = counted.since "
        "FROM unnest(%s::uuid[], %s::text[], %s::numeric[], %s::timestamptz[]) "
        "AS counted (subscription_id, feature_code, units, since) WHERE e.organization_id = %s "
        "AND e.subscription_id = counted.subscription_id AND e.feature_code = counted.feature_code",
        (
            [key[0] for key in consumed],
            [key[1] for key in consumed],
            [counted.units for counted in consumed.values()],
            [counted.since for counted in consumed.values()],
            organization,
        ),
    )


def stamp(tx: Connection, revisions: Mapping[tuple[OrganizationId, Key], int]) -> None:
    """Give changed rows their new revisions; the rows must be locked."""
    tx.exec_driver_sql(
        "UPDATE entitlements e SET revision = fresh.revision "
        "FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::bigint[]) "
        "AS fresh (organization_id, subscription_id, feature_code, revision) "
        "WHERE e.organization_id = fresh.organization_id AND e.subscription_id = fresh.subscription_id "
        "AND e.feature_code = fresh.feature_code",
        (
            [organization for organization, _ in revisions],
            [key[0] for _, key in revisions],
            [key[1] for _, key in revisions],
            list(revisions.values()),
        ),
    )
