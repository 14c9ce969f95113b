"""Opening the periods that follow on a billing run with what their recurring metrics carry over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy.engine import Connection

from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.invoicing.billing_run import BillingRun
from services.rating.pricing.catalog import MetricVersion
from services.rating.usage.commands.carry_over import carry, next_step
from services.rating.usage.store.carry_over import Step


def carry_over(tx: Connection, runs: Iterable[BillingRun]) -> None:
    """Open the periods that follow on runs of one organization with what their metrics carry over."""
    going_on = [run for run in runs if run.usage is not None and run.following is not None]
    if not going_on:
        return
    codes = {charge.metric_code for run in going_on for charge in run.agreement.plan.charges}
    metrics = metrics_by_code(tx, going_on[0].agreement.organization_id, codes) if codes else {}
    recurring = {code: metric for code, metric in metrics.items() if metric.definition.recurring}
    if recurring:
        carry(tx, [step for run in going_on for step in _steps_of(run, recurring)], recurring)


def _steps_of(run: BillingRun, recurring: Mapping[str, MetricVersion]) -> list[Step]:
    if run.usage is None or run.following is None:
        return []
    return [
        next_step(run.agreement, run.usage.period, run.following, code)
        for code in {charge.metric_code for charge in run.agreement.plan.charges} & set(recurring)
    ]
