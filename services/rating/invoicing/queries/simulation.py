"""What a customer's past usage would have cost under another plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from services.kernel.cadence import clip, period_containing
from services.kernel.errors import NotFoundError
from services.kernel.ids import ChargeId, OrganizationId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements, lineage
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.catalog.store.plans import current_plan
from services.rating.deps import Deps
from services.rating.invoicing.invoice_fee import ProvenFee
from services.rating.invoicing.period_rating import rate_period
from services.rating.invoicing.queries.priced_usage import (
    UsageSummary,
    Whose,
    agreement_of,
    period_count_of,
    summary_of,
)
from services.rating.invoicing.store.invoices import fees_of_usage
from services.rating.pricing.base_price import base_fee
from services.rating.pricing.catalog import MetricVersion, PlanVersion
from services.rating.pricing.fee import Fee
from services.rating.shared.usage_log import ListedUsageEvent, UsageEventsWanted
from services.rating.usage.aggregate import UsageAggregate
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.counting import Counter
from services.rating.usage.recount import aggregates_from_log, listed_events, wanted_before
from services.rating.usage.store import periods

# The log lists each simulated period event by event.
DEFAULT_SIMULATED = 3
MAX_SIMULATED = 24


@dataclass(frozen=True, slots=True)
class Simulation:
    """What closed periods would have cost, and what was really billed, newest first; including the base price."""

    simulated: tuple[UsageSummary, ...]
    actual: tuple[UsageSummary, ...]


def simulate_plan(
    deps: Deps, organization: OrganizationId, whose: Whose, plan: PlanVersion | str, period_count: int
) -> Simulation:
    """Price a plan, given as a draft or by the code of its current version, with a customer's real past usage.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, `PLAN_UNKNOWN`, `BILLABLE_METRIC_UNKNOWN`.
        InvalidArgumentError: the number of periods is wrong.
        UnavailableError: the log is unavailable.
    """
    limit = period_count_of("period_count", period_count, DEFAULT_SIMULATED, MAX_SIMULATED)
    with deps.db.transaction(organization) as tx:
        agreement = agreement_of(tx, organization, whose)
        draft = current_plan(tx, organization, plan) if isinstance(plan, str) else plan
        closed = periods.closed_of_external(tx, organization, agreement.subscription.external_id, limit=limit)
        fees = fees_of_usage(tx, organization, [(period.subscription_id, period.period.start) for period in closed])
        codes = {charge.metric_code for charge in draft.plan.charges}
        metrics = metrics_by_code(tx, organization, codes) if codes else {}
        lives = agreements(tx, organization, {period.subscription_id for period in closed})
        chains = {agreement.subscription_id: lineage(tx, agreement) for agreement in lives.values()}
    for code in sorted(codes - set(metrics)):
        raise NotFoundError("BILLABLE_METRIC_UNKNOWN", f"no billable metric has the code {code!r}", code=code)
    other = _with_charge_ids(draft)
    simulated = [_simulate(deps, other, chains[period.subscription_id], period, metrics) for period in closed]
    actual = [
        _with_base(
            lives[period.subscription_id], period.period, [ProvenFee(billed.fee, billed.proof) for billed in own]
        )
        for period in closed
        for own in (fees[(period.subscription_id, period.period.start)],)
    ]
    return Simulation(tuple(simulated), tuple(actual))


def _with_charge_ids(draft: PlanVersion) -> PlanVersion:
    """The plan with an identity for every charge: a draft's have none, and aggregates are distinguished by it."""
    charges = tuple(
        charge if charge.charge_id else replace(charge, charge_id=ChargeId(str(number)))
        for number, charge in enumerate(draft.plan.charges)
    )
    return replace(draft, plan=replace(draft.plan, charges=charges))


def _simulate(
    deps: Deps,
    other: PlanVersion,
    chain: Sequence[Agreement],
    period: BillingPeriod,
    metrics: Mapping[str, MetricVersion],
) -> UsageSummary:
    """A closed period under another plan; `chain` is its subscription and those it continues, newest first."""
    agreement = replace(chain[0], plan_version=other)
    kept: list[UsageAggregate] = []
    for code, metric in metrics.items():
        wanted = UsageEventsWanted(period.organization_id, period.subscription_id, code, period.period)
        before = wanted_before(chain, code, period.period.start) if metric.definition.recurring else ()
        earlier = [event for query in before for event in _living(deps, query)]
        kept += aggregates_from_log(period.key, Counter.of(agreement, metric), _living(deps, wanted), earlier)
    return _with_base(agreement, period.period, rate_period(agreement, period.period, kept, metrics, {}))


def _living(deps: Deps, wanted: UsageEventsWanted) -> Iterator[ListedUsageEvent]:
    """The events that are not voided."""
    return (event for event in listed_events(deps.usage_log, wanted) if not event.is_voided)


def _with_base(agreement: Agreement, period: Period, fees: Iterable[ProvenFee]) -> UsageSummary:
    """Fees with the share of the base price for the days of the period, whatever the plan's own interval is."""
    return summary_of(agreement, period, [*map(ProvenFee, _base_shares(agreement, period)), *fees])


def _base_shares(agreement: Agreement, period: Period) -> Iterator[Fee]:
    nominal = period_containing(agreement.cadence, period.start)
    while nominal.start < period.end:
        part = clip(nominal, start=period.start, end=period.end)
        fee = base_fee(agreement.plan, agreement.subscription_id, nominal, part, agreement.timezone)
        if fee is not None:
            yield fee
        nominal = period_containing(agreement.cadence, nominal.end)
