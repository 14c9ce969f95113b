"""Carrying the running values of recurring metrics from one billing period into the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.engine import Connection

from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.invoicing.billing_run import BillingRun
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.metric import Aggregation
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.store import carry_over as carrying
from services.rating.usage.store import periods


def carry_over(tx: Connection, runs: Iterable[BillingRun]) -> None:
    """Open the periods that follow on runs of one organization with what their metrics carry over."""
    going_on = [run for run in runs if run.usage is not None and run.following is not None]
    if not going_on:
        return
    codes = {charge.metric_code for run in going_on for charge in run.agreement.plan.plan.charges}
    metrics = metrics_by_code(tx, going_on[0].agreement.organization_id, codes) if codes else {}
    recurring = {code: metric for code, metric in metrics.items() if metric.metric.recurring}
    if recurring:
        _carry(tx, [step for run in going_on for step in _steps_of(run, recurring)], recurring)


def _steps_of(run: BillingRun, recurring: Mapping[str, MetricVersion]) -> list[carrying.Step]:
    if run.usage is None or run.following is None:
        return []
    return [
        _step(run.agreement, run.usage.period, run.following, code)
        for code in {charge.metric_code for charge in run.agreement.plan.plan.charges} & set(recurring)
    ]


def _step(agreement: Agreement, ended: Period, following: Period, code: str) -> carrying.Step:
    subscription = agreement.subscription_id
    return carrying.Step(agreement.organization_id, subscription, ended.start, subscription, following.start, code)


def carry_from_predecessor(tx: Connection, agreement: Agreement, first: Period) -> None:
    """Begin a subscription that another plan's precedes with what their common metrics carry over."""
    before = agreement.subscription.previous_id
    if before is None:
        return
    organization = agreement.organization_id
    last = periods.closed_of(tx, organization, before)
    if last is None:
        return
    codes = {charge.metric_code for charge in agreement.plan.plan.charges}
    metrics = metrics_by_code(tx, organization, codes) if codes else {}
    recurring = {code: metric for code, metric in metrics.items() if metric.metric.recurring}
    steps = [
        carrying.Step(
            organization, before, last.period.start, agreement.subscription_id, first.start, code, only_total=True
        )
        for code in recurring
    ]
    _carry(tx, steps, recurring)


def carry_on(
    tx: Connection, agreement: Agreement, changed: Period, known: Sequence[BillingPeriod], metric: MetricVersion
) -> list[BillingPeriod]:
    """After a late event: carry from the changed period through all later ones; those that it changed."""
    before = changed
    later = [each for each in known if each.period.start >= changed.end]
    for each in later:
        step = _step(agreement, before, each.period, metric.metric.code)
        _carry(tx, [step], {metric.metric.code: metric})
        before = each.period
    return later


def _carry(tx: Connection, steps: Sequence[carrying.Step], metrics: Mapping[str, MetricVersion]) -> None:
    distinct = {code for code, each in metrics.items() if each.metric.aggregation is Aggregation.UNIQUE_COUNT}
    carrying.carry_sums(tx, [step for step in steps if step.metric_code not in distinct])
    carrying.carry_values(tx, [step for step in steps if step.metric_code in distinct])
