"""Carrying the running values of recurring metrics from one billing period into the next, also over a change of plan.

A metric's own running value always goes on, and so do those of a charge's filters and groups from period to period.
After a change of plan they begin with the part of all earlier usage that falls into them: with the metric's running
value if the charge is not split, with the values of the plan before if both split in the same way. Otherwise only the
usage-event log knows this part; it is read when the period is next priced (`usage/recount.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.metric import Aggregation
from services.rating.pricing.plan import Charge
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.commands.place import Places
from services.rating.usage.counting import METRIC_TOTAL, CountedBucket, Counter
from services.rating.usage.store import carry_over as store
from services.rating.usage.store import periods
from services.rating.usage.store.carry_over import Step


def carry_into_following(
    tx: Connection, organization: OrganizationId, closed: Sequence[tuple[Agreement, Period, Period]]
) -> None:
    """Begin the periods that follow on closed ones of an organization's subscriptions: agreement, closed, following."""
    codes = store.metrics_of(tx, [_key(agreement, ended) for agreement, ended, _ in closed])
    metrics = _recurring(tx, organization, {code for of_period in codes.values() for code in of_period})
    if not metrics:
        return
    steps = [
        _next_step(agreement, ended, following, code)
        for agreement, ended, following in closed
        for code in sorted(codes[_key(agreement, ended)] & metrics.keys())
    ]
    _carry(tx, steps, metrics)


def carry_from_predecessor(tx: Connection, agreement: Agreement, first: Period) -> None:
    """Begin the first period of a subscription that continues another with the running values of that one."""
    before = agreement.subscription.previous_id
    if before is None:
        return
    organization = agreement.organization_id
    last = periods.closed_of(tx, organization, before)
    if last is None:
        return
    metrics = _recurring(tx, organization, store.metrics_of(tx, [last.key])[last.key])
    if not metrics:
        return
    old = agreements(tx, organization, [before])[before]
    unsure = _carry_over_change(tx, (old, last.period), (agreement, first), metrics)
    if unsure:
        store.need_carry(tx, [_key(agreement, first)], unsure)


def carry_late(
    tx: Connection, places: Places, agreement: Agreement, changed: Period, metric: MetricVersion
) -> list[BillingPeriod]:
    """After late events in a closed period, carry through all following ones, of later plans too; returns these."""
    metrics = {metric.definition.code: metric}
    present, known = places.held(agreement)
    before, touched = changed, [period for period in known if period.period.start >= changed.end]
    _carry_through(tx, present, before, touched, metrics)
    last = touched[-1].period if touched else changed
    is_unsure = False
    while (next_id := present.subscription.next_id) is not None:
        successor, known = places.held(agreements(tx, agreement.organization_id, [next_id])[next_id])
        if not known:
            break
        first = known[0].period
        unsure = _carry_over_change(tx, (present, last), (successor, first), metrics)
        _carry_through(tx, successor, first, known[1:], metrics)
        is_unsure = is_unsure or bool(unsure)
        if is_unsure and _own_charges(successor, metric):
            store.need_carry(tx, [period.key for period in known], metrics)
        touched += known
        present, last = successor, known[-1].period
    return touched


def _carry_through(
    tx: Connection,
    agreement: Agreement,
    before: Period,
    later: Iterable[BillingPeriod],
    metrics: Mapping[str, MetricVersion],
) -> None:
    """Carry metrics from a period through those that follow it, one after the other."""
    for period in later:
        _carry(tx, [_next_step(agreement, before, period.period, code) for code in metrics], metrics)
        before = period.period


def _carry_over_change(
    tx: Connection,
    old: tuple[Agreement, Period],
    new: tuple[Agreement, Period],
    metrics: Mapping[str, MetricVersion],
) -> set[str]:
    """Carry over a change of plan, from an agreement's last period into another's first one.

    Returns:
        The codes of metrics of which only the log knows what falls into each filter and group of a charge.
    """
    (before, last), (after, first) = old, new
    buckets = store.buckets_of_charges(tx, _key(before, last))
    steps, unsure = [], set()
    for code, metric in metrics.items():
        pairs = [(METRIC_TOTAL, METRIC_TOTAL)]
        for charge in _own_charges(after, metric):
            own = _pairs(charge, before, metric, buckets.get(code, ()))
            pairs += own or ()
            if own is None:
                unsure.add(code)
        step = Step(after.organization_id, before.subscription_id, last.start, after.subscription_id, first.start, code)
        steps += [step._replace(from_bucket=source, to_bucket=target) for source, target in pairs]
    _carry(tx, steps, metrics)
    return unsure


def _pairs(
    charge: Charge, before: Agreement, metric: MetricVersion, buckets: Iterable[CountedBucket]
) -> list[tuple[CountedBucket, CountedBucket]] | None:
    """The aggregates of the plan before with which a charge's filters and groups begin; None if only the log knows."""
    keys = charge.group_keys(metric.definition)
    if not charge.filters and not keys:
        return [(METRIC_TOTAL, CountedBucket(charge.charge_id))]
    split = [(charge_filter.key, charge_filter.conditions) for charge_filter in charge.filters]
    for known in _own_charges(before, metric):
        is_alike = [(charge_filter.key, charge_filter.conditions) for charge_filter in known.filters] == split
        if is_alike and known.group_keys(metric.definition) == keys:
            own = [bucket for bucket in buckets if bucket.charge_id == known.charge_id]
            return [(bucket, CountedBucket(charge.charge_id, bucket.bucket)) for bucket in own]
    return None


def _own_charges(agreement: Agreement, metric: MetricVersion) -> Sequence[Charge]:
    """The charges of an agreement on a metric that have buckets of their own."""
    return Counter.of(agreement, metric).charges


def _recurring(tx: Connection, organization: OrganizationId, codes: Iterable[str]) -> dict[str, MetricVersion]:
    """The recurring metrics among these."""
    wanted = set(codes)
    metrics = metrics_by_code(tx, organization, wanted) if wanted else {}
    return {code: metric for code, metric in metrics.items() if metric.definition.recurring}


def _key(agreement: Agreement, period: Period) -> PeriodKey:
    return PeriodKey(agreement.organization_id, agreement.subscription_id, period.start)


def _next_step(agreement: Agreement, ended: Period, following: Period, code: str) -> Step:
    """The step that carries one metric from a subscription's ended period into the following one."""
    subscription = agreement.subscription_id
    return Step(agreement.organization_id, subscription, ended.start, subscription, following.start, code)


def _carry(tx: Connection, steps: Sequence[Step], metrics: Mapping[str, MetricVersion]) -> None:
    """Take the steps: distinct values are carried one by one, everything else as its running total."""
    distinct = {code for code, metric in metrics.items() if metric.definition.aggregation is Aggregation.UNIQUE_COUNT}
    store.carry_sums(tx, [step for step in steps if step.metric_code not in distinct])
    store.carry_values(tx, [step for step in steps if step.metric_code in distinct])
