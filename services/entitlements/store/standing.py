"""The standings of subscriptions with features: always one indexed query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.engine import Connection

from services.entitlements.domain.access import Question
from services.entitlements.domain.feature import FeatureType
from services.entitlements.domain.feature_terms import Right, Source
from services.entitlements.domain.standing import Consumed, Entitlement, Standing
from services.entitlements.domain.subscription import MONTHLY_PLAN, PlanPeriods
from services.entitlements.store import subscription
from services.entitlements.store.feature_terms import terms_of
from services.kernel.cadence import CadenceUnit, Interval
from services.kernel.ids import OrganizationId
from services.kernel.money import ZERO


@dataclass(frozen=True, slots=True)
class Seen:
    """What a query saw, at one instant and one revision.

    Attributes:
        at: the organization's time.
        revision: the organization's newest revision.
        standings: one list for each question; or one list of all.
        test_clock: where the organization's test clock stands; None where it has none, and its time is the machine's.
    """

    at: datetime
    revision: int
    standings: Sequence[Sequence[Standing]]
    test_clock: datetime | None = None


# A billing period that is longer than a year, and was begun by another subscription, is seen only for its last year.
LONGEST_PERIOD_DAYS = 367

# The organization's time and revision, in every row.
_NOW = """
WITH present AS MATERIALIZED (
    SELECT clock.test_clock, coalesce(clock.test_clock, %(system)s) AS at,
        coalesce((SELECT revision FROM revisions WHERE organization_id = %(organization)s), 0) AS newest
    FROM (SELECT (SELECT test_clock_now FROM organizations WHERE organization_id = %(organization)s) AS test_clock)
        AS clock)
"""
_FACTS = f"""
present.test_clock, present.at, present.newest, {subscription.COLUMNS},
e.feature_code AS feature, e.type, e.source, e.metric_code, e.enabled, e.units_limit, e.hard, e.reset, e.value,
e.consumed_units, e.consumed_since, e.revision, e.removed,
p.interval_unit, p.interval_every, p.charged_monthly,
a.announced, a.announced_until, a.consumed_before, a.past_usage, a.past_consumed, h.held, h.held_until
"""
# The days of the current window of a limit that resets by the calendar in the customer's zone.
_DAYS = """
LEFT JOIN LATERAL (
    SELECT since, CASE e.reset WHEN 'day' THEN since + 1 WHEN 'week' THEN since + 7
        WHEN 'month' THEN (since + interval '1 month')::date END AS until
    FROM (SELECT CASE WHEN e.reset IN ('day', 'week', 'month')
        THEN date_trunc(e.reset, present.at AT TIME ZONE s.timezone)::date END AS since) AS begun) w ON true
"""
# The units used and consumed in the window: by totals if those are exact, otherwise by the days on which they occurred.
# For a billing period, the past of a subscription is read day by day, since only the plan's calendar knows its window.
_USED = f"""
LEFT JOIN LATERAL (
    SELECT array_agg(p.subscription_id) AS ids FROM subscriptions p
    WHERE e.type = 'usage_limit' AND {subscription.IS_PAST}) past ON true
LEFT JOIN LATERAL (SELECT
    CASE e.reset
        WHEN 'never' THEN (
            SELECT sum(units) FROM usage_totals WHERE organization_id = e.organization_id
            AND subscription_id = ANY(array_prepend(e.subscription_id, past.ids)) AND metric_code = e.metric_code)
        WHEN 'billing_period' THEN (
            SELECT units FROM (
                SELECT units, period_end FROM usage_totals WHERE organization_id = e.organization_id
                AND subscription_id = e.subscription_id AND metric_code = e.metric_code
                AND period_start <= present.at ORDER BY period_start DESC LIMIT 1) AS newest
            WHERE period_end > present.at)
        ELSE (
            SELECT sum(units) FROM usage_days WHERE organization_id = e.organization_id
            AND subscription_id = ANY(array_prepend(e.subscription_id, past.ids)) AND metric_code = e.metric_code
            AND day >= w.since AND day < w.until)
    END AS announced,
    CASE e.reset WHEN 'billing_period' THEN LEAST(
        (SELECT min(period_start) FROM usage_totals WHERE organization_id = e.organization_id
            AND subscription_id = e.subscription_id AND metric_code = e.metric_code AND period_start > present.at),
        (SELECT period_end FROM usage_totals WHERE organization_id = e.organization_id
            AND subscription_id = e.subscription_id AND metric_code = e.metric_code
            AND period_start <= present.at ORDER BY period_start DESC LIMIT 1)) END AS announced_until,
    CASE WHEN past.ids IS NOT NULL AND e.reset <> 'billing_period' THEN (
        SELECT sum(units) FROM consumed_days WHERE organization_id = e.organization_id
        AND subscription_id = ANY(past.ids) AND feature_code = e.feature_code
        AND (e.reset = 'never' OR (day >= w.since AND day < w.until))) END AS consumed_before,
    CASE WHEN past.ids IS NOT NULL AND e.reset = 'billing_period' THEN (
        SELECT jsonb_object_agg(day, units::text) FROM (
            SELECT day, sum(units) AS units FROM usage_days WHERE organization_id = e.organization_id
            AND subscription_id = ANY(past.ids) AND metric_code = e.metric_code
            AND day > present.at::date - {LONGEST_PERIOD_DAYS} GROUP BY day) AS by_day) END AS past_usage,
    CASE WHEN past.ids IS NOT NULL AND e.reset = 'billing_period' THEN (
        SELECT jsonb_object_agg(day, units::text) FROM (
            SELECT day, sum(units) AS units FROM consumed_days WHERE organization_id = e.organization_id
            AND subscription_id = ANY(past.ids) AND feature_code = e.feature_code
            AND day > present.at::date - {LONGEST_PERIOD_DAYS} GROUP BY day) AS by_day) END AS past_consumed
) a ON true
"""
# Everything besides the subscription `s` and its entitlement `e`, each by its primary key or a partial index.
_BESIDE = f"""
LEFT JOIN plans p ON p.organization_id = s.organization_id AND p.plan_id = s.plan_id
{_DAYS}
{_USED}
LEFT JOIN LATERAL (
    SELECT sum(units) AS held, min(expires_at) AS held_until FROM holds WHERE organization_id = e.organization_id
    AND subscription_id = ANY(array_prepend(e.subscription_id, past.ids)) AND feature_code = e.feature_code
    AND state = 'held' AND expires_at > present.at AND hold_id <> ALL(%(settling)s::uuid[])) h ON true
"""
_OF_QUESTIONS = f"""
{_NOW}
SELECT q.place, {_FACTS}
FROM present CROSS JOIN
unnest(%(customers)s::text[], %(selectors)s::text[], %(features)s::text[])
    WITH ORDINALITY AS q (customer, selector, feature, place)
LEFT JOIN subscriptions s ON s.organization_id = %(organization)s AND s.external_customer_id = q.customer
    AND CASE q.selector WHEN '' THEN s.state = 'active' ELSE s.external_id = q.selector END
LEFT JOIN entitlements e ON e.organization_id = s.organization_id
    AND e.subscription_id = s.subscription_id AND e.feature_code = q.feature
{_BESIDE}
ORDER BY q.place, s.started_at DESC
"""


def of_questions(
    tx: Connection,
    organization: OrganizationId,
    questions: Sequence[Question],
    system: datetime,
    *,
    settling: Sequence[str] = (),
) -> Seen:
    """The standings that answer each question, in order: active ones, or those that carry the named id."""
    if not questions:
        return Seen(system, 0, [])
    rows = tx.exec_driver_sql(
        _OF_QUESTIONS,
        {
            "organization": organization,
            "system": system,
            "settling": list(settling),
            "customers": [question.external_customer_id for question in questions],
            "selectors": [question.external_subscription_id for question in questions],
            "features": [question.feature_code for question in questions],
        },
    ).all()
    standings: list[list[Standing]] = [[] for _ in questions]
    for row in rows:
        if row.subscription is not None:
            standings[row.place - 1].append(_standing(row))
    return Seen(rows[0].at, rows[0].newest, standings, rows[0].test_clock)


def of_keys(
    tx: Connection,
    organization: OrganizationId,
    keys: Iterable[tuple[str, str]],
    system: datetime,
    *,
    settling: Sequence[str] = (),
) -> Seen:
    """The standings of known (subscription, feature) pairs, by subscription and feature code; one list."""
    wanted = list(keys)
    source = (
        "(SELECT * FROM entitlements JOIN unnest(%(subscriptions)s::uuid[], %(features)s::text[]) "
        "AS wanted (subscription_id, feature_code) USING (subscription_id, feature_code) "
        "WHERE organization_id = %(organization)s)"
    )
    values = {
        "subscriptions": [key[0] for key in wanted],
        "features": [key[1] for key in wanted],
        "settling": list(settling),
    }
    return _of_entitlements(tx, organization, source, "ORDER BY s.subscription_id, e.feature_code", values, system)


def of_customer(
    tx: Connection, organization: OrganizationId, customer: str, external_subscription_id: str, system: datetime
) -> Seen:
    """The entitlements of a customer's active subscriptions, or of one of them, by subscription and feature; one list.

    Either of customer and subscription may be empty.
    """
    # The condition comes after the joins, because their indexes begin with the columns it compares.
    condition = (
        "WHERE NOT e.removed AND s.state = 'active' "
        + ("AND s.external_customer_id = %(customer)s " if customer else "")
        + ("AND s.external_id = %(external)s " if external_subscription_id else "")
        + "ORDER BY s.external_id, e.feature_code"
    )
    values = {"customer": customer, "external": external_subscription_id}
    source = "(SELECT * FROM entitlements WHERE organization_id = %(organization)s)"
    return _of_entitlements(tx, organization, source, condition, values, system)


def changed_after(
    tx: Connection, organization: OrganizationId, customers: Sequence[str], revision: int, count: int, system: datetime
) -> Seen:
    """What has changed after a revision, in the order of revisions, including removals; at most `count`, in one list.

    Args:
        tx: the transaction.
        organization: the organization.
        customers: only these; empty means all.
        revision: the last known revision.
        count: the most rows to return.
        system: the machine's time.
    """
    ours = (
        "AND EXISTS (SELECT 1 FROM subscriptions c WHERE c.organization_id = n.organization_id "
        "AND c.subscription_id = n.subscription_id AND c.external_customer_id = ANY(%(customers)s))"
    )
    source = (
        "(SELECT * FROM entitlements n WHERE organization_id = %(organization)s AND revision > %(after)s "
        f"{ours if customers else ''} ORDER BY revision LIMIT %(count)s)"
    )
    values = {"customers": list(customers), "after": revision, "count": count}
    return _of_entitlements(tx, organization, source, "ORDER BY e.revision", values, system)


def _of_entitlements(
    tx: Connection, organization: OrganizationId, source: str, rest: str, values: dict[str, Any], system: datetime
) -> Seen:
    text = (
        f"{_NOW} SELECT {_FACTS} FROM present CROSS JOIN {source} e JOIN subscriptions s "
        f"ON s.organization_id = e.organization_id AND s.subscription_id = e.subscription_id {_BESIDE} {rest}"
    )
    rows = tx.exec_driver_sql(text, {"organization": organization, "system": system, "settling": [], **values}).all()
    if not rows:
        return Seen(system, 0, [[]])
    return Seen(rows[0].at, rows[0].newest, [[_standing(row) for row in rows]])


def _standing(row: Any) -> Standing:
    return Standing(
        subscription=subscription.subscription_of(row),
        plan=_plan(row),
        entitlement=_entitlement(row),
        announced=row.announced or ZERO,
        announced_until=row.announced_until,
        consumed_before=row.consumed_before or ZERO,
        past_usage=_by_day(row.past_usage),
        past_consumed=_by_day(row.past_consumed),
        held=row.held or ZERO,
        held_until=row.held_until,
    )


def _plan(row: Any) -> PlanPeriods:
    if row.interval_unit is None:
        return MONTHLY_PLAN
    return PlanPeriods(Interval(CadenceUnit(row.interval_unit), row.interval_every), row.charged_monthly)


def _entitlement(row: Any) -> Entitlement | None:
    if row.feature is None:
        return None
    return Entitlement(
        feature_code=row.feature,
        right=Right(FeatureType(row.type), Source(row.source), row.metric_code, terms_of(row)),
        consumed=Consumed(row.consumed_units, row.consumed_since),
        revision=row.revision,
        is_removed=row.removed,
    )


def _by_day(days: dict[str, str] | None) -> dict[date, Decimal]:
    return {date.fromisoformat(day): Decimal(units) for day, units in (days or {}).items()}
