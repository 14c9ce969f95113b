"""Usage before and after it is invoiced: current, past, projected, and under another plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy.engine import Connection

from services.chassis.page import Page
from services.kernel.cadence import clip, period_containing
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from services.kernel.ids import ChargeId, FeeId, InvoiceId, OrganizationId
from services.kernel.money import Currency
from services.kernel.period import Period
from services.rating.commands.recounting import recount
from services.rating.deps import Deps
from services.rating.domain.agreement import Agreement
from services.rating.domain.base_price import base_fee
from services.rating.domain.bill import BilledFee
from services.rating.domain.billing_period import BillingPeriod
from services.rating.domain.catalog import MetricVersion, PlanVersion
from services.rating.domain.charges import Tally
from services.rating.domain.counting import Counter
from services.rating.domain.fee import Fee, FeeKind
from services.rating.domain.kept_usage import KeptTransactions, KeptUsage
from services.rating.domain.log_rating import kept_from_log
from services.rating.domain.metric import Aggregation
from services.rating.domain.period_rating import ProvenFee, rate_period
from services.rating.domain.usage_log import EventsWanted, listed_events
from services.rating.store import periods, usage
from services.rating.store.catalog.metrics import metrics_by_code
from services.rating.store.catalog.plans import current_plan
from services.rating.store.invoices.invoices import fees_of_usage
from services.rating.store.subscriptions import latest_agreement, list_agreements
from services.rating.store.test_clock import organization_now

_INSTANT = timedelta(microseconds=1)
DEFAULT_PERIODS = 12
MAX_PERIODS = 100
# Each simulated period is listed event by event from the log.
DEFAULT_SIMULATED = 3
MAX_SIMULATED = 24


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose usage: a customer's subscription, both by the organization's ids; one of the two may be empty."""

    external_customer_id: str = ""
    external_subscription_id: str = ""


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Usage of one period.

    Attributes:
        period: the period.
        currency: of the amounts.
        fees: one a charge, filter and group.
        invoice_id: the invoice; None while there is none.
    """

    period: Period
    currency: Currency
    fees: tuple[BilledFee, ...]
    invoice_id: InvoiceId | None = None

    @property
    def amount_cents(self) -> int:
        """Sum of the fees."""
        return sum(each.fee.amount_cents for each in self.fees)

    @property
    def taxes_cents(self) -> int:
        """Taxes on them, each fee's rounded by itself."""
        return sum(each.taxes_cents for each in self.fees)


def current_usage(deps: Deps, organization: OrganizationId, whose: Whose) -> UsageSummary:
    """Usage of the running period, priced as if it ended now, without base price and minimums.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, `SUBSCRIPTION_AMBIGUOUS`.
    """
    with deps.db.transaction(organization) as tx:
        running = _running(deps, tx, organization, whose)
    return _summary(running.agreement, running.period.period, _rate(running, running.kept, running.now))


def projected_usage(deps: Deps, organization: OrganizationId, whose: Whose) -> tuple[UsageSummary, UsageSummary]:
    """The running period as it is, and as it will be if usage goes on like this.

    Counts and sums are stretched by the time that has passed; a largest, latest or distinct value, and what was carried
    over, stay as they are; a weighted sum is held to the period's end.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, `SUBSCRIPTION_AMBIGUOUS`.
    """
    with deps.db.transaction(organization) as tx:
        running = _running(deps, tx, organization, whose)
    span = running.period.period
    elapsed = max(running.now, span.start) - span.start
    factor = Decimal(span.length // _INSTANT) / max(1, elapsed // _INSTANT)
    stretched = [_stretch(each, running.metrics[each.metric_code], max(factor, Decimal(1))) for each in running.kept]
    now = _summary(running.agreement, span, _rate(running, running.kept, running.now))
    return now, _summary(running.agreement, span, _rate(running, stretched, span.end))


def past_usage(deps: Deps, organization: OrganizationId, whose: Whose, period_count: int) -> list[UsageSummary]:
    """Usage of closed periods as it was invoiced, adjustments included, newest first.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        InvalidArgumentError: the number of periods.
    """
    limit = _count("period_count", period_count, DEFAULT_PERIODS, MAX_PERIODS)
    with deps.db.transaction(organization) as tx:
        agreement = _agreement(tx, organization, whose)
        closed = periods.closed_of_external(tx, organization, agreement.subscription.external_id, limit=limit)
        fees = fees_of_usage(tx, organization, [(each.subscription_id, each.period.start) for each in closed])
    return [
        UsageSummary(
            each.period,
            agreement.plan.plan.currency,
            tuple(fees[(each.subscription_id, each.period.start)]),
            each.invoice_id,
        )
        for each in closed
    ]


@dataclass(frozen=True, slots=True)
class _Running:
    """The running period of a subscription, as it is now."""

    agreement: Agreement
    period: BillingPeriod
    kept: Sequence[KeptUsage]
    metrics: Mapping[str, MetricVersion]
    now: datetime


def _running(deps: Deps, tx: Connection, organization: OrganizationId, whose: Whose) -> _Running:
    agreement = _agreement(tx, organization, whose)
    now = organization_now(tx, organization, deps.clock.now())
    period = periods.holding(tx, organization, agreement.subscription_id, now)
    if not agreement.is_active or period is None:
        raise FailedPreconditionError("SUBSCRIPTION_NOT_ACTIVE", "the subscription is in no billing period now")
    codes = {charge.metric_code for charge in agreement.plan.plan.charges}
    metrics = metrics_by_code(tx, organization, codes) if codes else {}
    kept = [each for each in usage.of_periods(tx, [period.key])[period.key] if each.metric_code in metrics]
    if any(each.needs_recount for each in kept):
        kept = recount(deps, tx, agreement, period.period, kept, metrics)
    return _Running(agreement, period, kept, metrics, now)


def _agreement(tx: Connection, organization: OrganizationId, whose: Whose) -> Agreement:
    """The subscription that is meant: by its own id, or as the customer's only active one."""
    customer = whose.external_customer_id
    if whose.external_subscription_id:
        found = latest_agreement(tx, organization, whose.external_subscription_id)
        if customer and found.external_customer_id != customer:
            raise NotFoundError("SUBSCRIPTION_UNKNOWN", "the customer has no such subscription")
        return found
    if not customer:
        raise InvalidArgumentError.of_field("external_customer_id", "value_is_mandatory", "or a subscription is given")
    active = list_agreements(tx, organization, Page(size=2), external_customer_id=customer).entries
    if not active:
        raise FailedPreconditionError("SUBSCRIPTION_NOT_ACTIVE", "the customer has no active subscription")
    if len(active) > 1:
        raise FailedPreconditionError("SUBSCRIPTION_AMBIGUOUS", "the customer has several active subscriptions")
    return active[0]


def _rate(running: _Running, kept: Iterable[KeptUsage], at: datetime) -> list[ProvenFee]:
    """The usage of the running period priced as if it ended at `at`."""
    span = running.period.period
    until = Period(span.start, min(max(at, span.start), span.end))
    fees = rate_period(running.agreement, until, kept, running.metrics, {})
    return [ProvenFee(replace(each.fee, period=span), each.proof) for each in fees if each.fee.kind is FeeKind.CHARGE]


def _summary(agreement: Agreement, period: Period, fees: Iterable[ProvenFee]) -> UsageSummary:
    currency = agreement.plan.plan.currency
    return UsageSummary(period, currency, tuple(taxed(each, currency) for each in fees))


def taxed(proven: ProvenFee, currency: Currency) -> BilledFee:
    """A fee that is on no invoice, with its taxes."""
    base = currency.to_major(proven.fee.amount_cents)
    taxes_cents = sum(currency.to_minor(tax.of(base)) for tax in proven.fee.taxes)
    return BilledFee(FeeId(""), proven.fee, proven.proof, taxes_cents=taxes_cents)


def _stretch(kept: KeptUsage, metric: MetricVersion, factor: Decimal) -> KeptUsage:
    if metric.metric.aggregation not in {Aggregation.COUNT, Aggregation.SUM} or metric.metric.recurring:
        return kept
    transactions = kept.transactions
    if transactions is not None:
        transactions = KeptTransactions(transactions.earliest, _times_all(transactions.later, factor))
    return replace(
        kept,
        event_count=_times(kept.event_count, factor),
        total=kept.total * factor,
        precise_amount=kept.precise_amount * factor,
        transactions=transactions,
    )


def _times_all(tally: Tally, factor: Decimal) -> Tally:
    return Tally(
        _times(tally.minimum_count, factor),
        _times(tally.maximum_count, factor),
        _times(tally.regular_count, factor),
        tally.regular_value * factor,
    )


def _times(count: int, factor: Decimal) -> int:
    return int((count * factor).to_integral_value(ROUND_HALF_UP))


def _count(field: str, asked: int, default: int, most: int) -> int:
    if not 0 <= asked <= most:
        raise InvalidArgumentError.of_field(field, "value_is_out_of_range", f"is 1 to {most}")
    return asked or default


@dataclass(frozen=True, slots=True)
class Simulation:
    """What closed periods would have cost, and what they did cost, newest first; base price included."""

    simulated: tuple[UsageSummary, ...]
    actual: tuple[UsageSummary, ...]


def simulate_plan(
    deps: Deps, organization: OrganizationId, whose: Whose, plan: PlanVersion | str, period_count: int
) -> Simulation:
    """Price a plan, or the current version of the one with a code, over a customer's real past usage.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, `PLAN_UNKNOWN`, `BILLABLE_METRIC_UNKNOWN`.
        InvalidArgumentError: the number of periods.
        UnavailableError: the log cannot be asked now.
    """
    limit = _count("period_count", period_count, DEFAULT_SIMULATED, MAX_SIMULATED)
    with deps.db.transaction(organization) as tx:
        agreement = _agreement(tx, organization, whose)
        draft = current_plan(tx, organization, plan) if isinstance(plan, str) else plan
        closed = periods.closed_of_external(tx, organization, agreement.subscription.external_id, limit=limit)
        fees = fees_of_usage(tx, organization, [(each.subscription_id, each.period.start) for each in closed])
        codes = {charge.metric_code for charge in draft.plan.charges}
        metrics = metrics_by_code(tx, organization, codes) if codes else {}
    for code in sorted(codes - set(metrics)):
        raise NotFoundError("BILLABLE_METRIC_UNKNOWN", f"no billable metric has the code {code!r}", code=code)
    other = replace(agreement, plan=_with_charge_ids(draft))
    simulated = [_simulate(deps, other, each, metrics) for each in closed]
    actual = [
        _with_base(agreement, each.period, [ProvenFee(billed.fee, billed.proof) for billed in own])
        for each in closed
        for own in (fees[(each.subscription_id, each.period.start)],)
    ]
    return Simulation(tuple(simulated), tuple(actual))


def _with_charge_ids(draft: PlanVersion) -> PlanVersion:
    """The plan with an identity for every charge; those of a draft have none, and aggregates are told apart by it."""
    charges = tuple(
        charge if charge.charge_id else replace(charge, charge_id=ChargeId(str(number)))
        for number, charge in enumerate(draft.plan.charges)
    )
    return replace(draft, plan=replace(draft.plan, charges=charges))


def _simulate(
    deps: Deps, agreement: Agreement, period: BillingPeriod, metrics: Mapping[str, MetricVersion]
) -> UsageSummary:
    kept: list[KeptUsage] = []
    for code, metric in metrics.items():
        wanted = EventsWanted(period.organization_id, period.subscription_id, code, period.period)
        events = (each for each in listed_events(deps.usage_log, wanted) if not each.is_voided)
        kept += kept_from_log(period.key, Counter.of(agreement, metric), events)
    return _with_base(agreement, period.period, rate_period(agreement, period.period, kept, metrics, {}))


def _with_base(agreement: Agreement, period: Period, fees: Iterable[ProvenFee]) -> UsageSummary:
    """Fees with the share of the base price that the days of the period bear, whatever the plan's own interval."""
    return _summary(agreement, period, [*map(ProvenFee, _base_shares(agreement, period)), *fees])


def _base_shares(agreement: Agreement, period: Period) -> Iterator[Fee]:
    nominal = period_containing(agreement.cadence, period.start)
    while nominal.start < period.end:
        part = clip(nominal, start=period.start, end=period.end)
        fee = base_fee(agreement.plan.plan, agreement.subscription_id, nominal, part, agreement.timezone)
        if fee is not None:
            yield fee
        nominal = period_containing(agreement.cadence, nominal.end)
