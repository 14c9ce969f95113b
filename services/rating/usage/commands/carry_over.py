"""Carrying the running values of recurring metrics from one billing period into the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.metric import Aggregation
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.store import periods
from services.rating.usage.store.carry_over import Step, carry_sums, carry_values


def next_step(agreement: Agreement, ended: Period, following: Period, code: str) -> Step:
    """What carries one metric from a subscription's ended period into the one that follows."""
    subscription = agreement.subscription_id
    return Step(agreement.organization_id, subscription, ended.start, subscription, following.start, code)


def carry_from_predecessor(tx: Connection, agreement: Agreement, first: Period) -> None:
    """Begin a subscription that another plan's precedes with what their common metrics carry over."""
    before = agreement.subscription.previous_id
    if before is None:
        return
    organization = agreement.organization_id
    last = periods.closed_of(tx, organization, before)
    if last is None:
        return
    codes = {charge.metric_code for charge in agreement.plan.charges}
    metrics = metrics_by_code(tx, organization, codes) if codes else {}
    recurring = {code: metric for code, metric in metrics.items() if metric.definition.recurring}
    steps = [
        Step(organization, before, last.period.start, agreement.subscription_id, first.start, code, only_total=True)
        for code in recurring
    ]
    carry(tx, steps, recurring)


def carry_on(
    tx: Connection, agreement: Agreement, changed: Period, known: Sequence[BillingPeriod], metric: MetricVersion
) -> list[BillingPeriod]:
    """After a late event: carry from the changed period through all later ones; those that it changed."""
    before = changed
    later = [each for each in known if each.period.start >= changed.end]
    for each in later:
        step = next_step(agreement, before, each.period, metric.definition.code)
        carry(tx, [step], {metric.definition.code: metric})
        before = each.period
    return later


def carry(tx: Connection, steps: Sequence[Step], metrics: Mapping[str, MetricVersion]) -> None:
    """Take the steps: distinct values are carried one by one, everything else as its running total."""
    distinct = {code for code, each in metrics.items() if each.definition.aggregation is Aggregation.UNIQUE_COUNT}
    carry_sums(tx, [step for step in steps if step.metric_code not in distinct])
    carry_values(tx, [step for step in steps if step.metric_code in distinct])
