"""Usage before and after it is invoiced: current, past, projected, and under another plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy.engine import Connection

from services.chassis.page import Page
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import FeeId, InvoiceId, OrganizationId
from services.kernel.money import ZERO, Currency
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import SubscriptionsWanted, latest_agreement, list_agreements
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.deps import Deps
from services.rating.invoicing.invoice_fee import InvoiceFee, ProvenFee, new_fee
from services.rating.invoicing.period_rating import rate_period
from services.rating.invoicing.store.invoices import fees_of_usage
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charges import PaidTransactions
from services.rating.pricing.fee import FeeKind
from services.rating.pricing.metric import Aggregation
from services.rating.usage.aggregate import StoredTransactions, UsageAggregate
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.recount import preview_recount
from services.rating.usage.store import aggregates, periods

# A fee that is on no invoice has no identity.
_NO_ID = FeeId("")
_INSTANT = timedelta(microseconds=1)
DEFAULT_PERIODS = 12
MAX_PERIODS = 100


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose usage: a customer's subscription, by the organization's ids; one of the two may be empty."""

    external_customer_id: str = ""
    external_subscription_id: str = ""


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Usage of one period.

    Attributes:
        period: the period.
        currency: the currency of the amounts.
        fees: one for each charge, filter and group.
        invoice_id: the invoice; None as long as there is none.
        customer_id, external_customer_id: whose usage, by Farebox id and by the organization's.
    """

    period: Period
    currency: Currency
    fees: tuple[InvoiceFee, ...]
    invoice_id: InvoiceId | None = None
    customer_id: str = ""
    external_customer_id: str = ""

    @property
    def amount_cents(self) -> int:
        """Sum of the fees."""
        return sum(invoice_fee.fee.amount_cents for invoice_fee in self.fees)

    @property
    def taxes_amount_cents(self) -> int:
        """The taxes on them; each fee's taxes are rounded on their own."""
        return sum(invoice_fee.taxes_amount_cents for invoice_fee in self.fees)


def current_usage(
    deps: Deps, organization: OrganizationId, whose: Whose, *, without_taxes: bool = False
) -> UsageSummary:
    """Usage of the running period, priced as if it ended now, without base price and minimums.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, `SUBSCRIPTION_AMBIGUOUS`.
    """
    with deps.db.transaction(organization) as tx:
        running = _running(deps, tx, organization, whose, without_taxes=without_taxes)
    return summary_of(running.agreement, running.period.period, _rate(running, running.kept, running.now))


def projected_usage(
    deps: Deps, organization: OrganizationId, whose: Whose, *, without_taxes: bool = False
) -> tuple[UsageSummary, UsageSummary]:
    """The running period as it is, and as it will be if usage continues like this.

    Counts and sums are projected by the time that has passed. The largest, latest or distinct values, and what was
    carried over, stay as they are; a weighted sum is held until the period's end.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`, `SUBSCRIPTION_AMBIGUOUS`.
    """
    with deps.db.transaction(organization) as tx:
        running = _running(deps, tx, organization, whose, without_taxes=without_taxes)
    span = running.period.period
    elapsed = max(running.now, span.start) - span.start
    factor = Decimal(span.length // _INSTANT) / max(1, elapsed // _INSTANT)
    stretched = [
        _stretch(aggregate, running.metrics[aggregate.metric_code], max(factor, Decimal(1)))
        for aggregate in running.kept
    ]
    now = summary_of(running.agreement, span, _rate(running, running.kept, running.now))
    return now, summary_of(running.agreement, span, _rate(running, stretched, span.end))


def past_usage(deps: Deps, organization: OrganizationId, whose: Whose, period_count: int) -> list[UsageSummary]:
    """Usage of closed periods as it was invoiced, adjustments included, newest first.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        InvalidArgumentError: the number of periods is wrong.
    """
    limit = period_count_of("period_count", period_count, DEFAULT_PERIODS, MAX_PERIODS)
    with deps.db.transaction(organization) as tx:
        agreement = agreement_of(tx, organization, whose)
        closed = periods.closed_of_external(tx, organization, agreement.subscription.external_id, limit=limit)
        fees = fees_of_usage(tx, organization, [(period.subscription_id, period.period.start) for period in closed])
    return [
        UsageSummary(
            period.period,
            agreement.plan.currency,
            tuple(fees[(period.subscription_id, period.period.start)]),
            period.invoice_id,
            agreement.subscription.customer_id,
            agreement.external_customer_id,
        )
        for period in closed
    ]


@dataclass(frozen=True, slots=True)
class _Running:
    """The running period of a subscription, as it is now."""

    agreement: Agreement
    period: BillingPeriod
    kept: Sequence[UsageAggregate]
    metrics: Mapping[str, MetricVersion]
    now: datetime


def _running(
    deps: Deps, tx: Connection, organization: OrganizationId, whose: Whose, *, without_taxes: bool
) -> _Running:
    agreement = agreement_of(tx, organization, whose)
    if without_taxes:
        agreement = agreement.without_taxes()
    now = now_of(deps, tx, organization)
    period = periods.holding(tx, organization, agreement.subscription_id, now)
    if not agreement.is_active or period is None:
        raise FailedPreconditionError("SUBSCRIPTION_NOT_ACTIVE", "the subscription is in no billing period now")
    codes = {charge.metric_code for charge in agreement.plan.charges}
    metrics = metrics_by_code(tx, organization, codes) if codes else {}
    kept = [
        aggregate
        for aggregate in aggregates.of_periods(tx, [period.key])[period.key]
        if aggregate.metric_code in metrics
    ]
    if any(aggregate.is_unsure for aggregate in kept):
        kept = preview_recount(deps.usage_log, tx, agreement, period.period, kept, metrics)
    return _Running(agreement, period, kept, metrics, now)


def agreement_of(tx: Connection, organization: OrganizationId, whose: Whose) -> Agreement:
    """The requested subscription: by its own id, or as the customer's only active one."""
    customer = whose.external_customer_id
    if whose.external_subscription_id:
        found = latest_agreement(tx, organization, whose.external_subscription_id)
        found.require_customer(customer)
        return found
    if not customer:
        raise InvalidArgumentError.of_field("external_customer_id", "value_is_mandatory", "or a subscription is given")
    active = list_agreements(tx, organization, Page(size=2), SubscriptionsWanted(external_customer_id=customer)).items
    if not active:
        raise FailedPreconditionError("SUBSCRIPTION_NOT_ACTIVE", "the customer has no active subscription")
    if len(active) > 1:
        raise FailedPreconditionError("SUBSCRIPTION_AMBIGUOUS", "the customer has several active subscriptions")
    return active[0]


def _rate(running: _Running, kept: Iterable[UsageAggregate], at: datetime) -> list[ProvenFee]:
    """The usage of the running period, priced as if it ended at `at`."""
    span = running.period.period
    until = Period(span.start, min(max(at, span.start), span.end))
    fees = rate_period(running.agreement, until, kept, running.metrics, {})
    return [
        ProvenFee(replace(proven.fee, period=span), proven.proof)
        for proven in fees
        if proven.fee.kind is FeeKind.CHARGE
    ]


def summary_of(agreement: Agreement, period: Period, fees: Iterable[ProvenFee]) -> UsageSummary:
    """Fees that are on no invoice, with their taxes."""
    currency, external_id = agreement.plan.currency, agreement.subscription.external_id
    unbilled = (new_fee(proven, external_id, fee_id=_NO_ID).with_share(ZERO, currency) for proven in fees)
    return UsageSummary(
        period,
        currency,
        tuple(unbilled),
        customer_id=agreement.subscription.customer_id,
        external_customer_id=agreement.external_customer_id,
    )


def _stretch(kept: UsageAggregate, metric: MetricVersion, factor: Decimal) -> UsageAggregate:
    if metric.definition.aggregation not in {Aggregation.COUNT, Aggregation.SUM} or metric.definition.recurring:
        return kept
    transactions = kept.transactions
    if transactions is not None:
        transactions = StoredTransactions(transactions.earliest, _times_all(transactions.later, factor))
    return replace(
        kept,
        event_count=_times(kept.event_count, factor),
        total=kept.total * factor,
        precise_amount=kept.precise_amount * factor,
        transactions=transactions,
    )


def _times_all(paid: PaidTransactions, factor: Decimal) -> PaidTransactions:
    return PaidTransactions(
        _times(paid.minimum_count, factor),
        _times(paid.maximum_count, factor),
        _times(paid.regular_count, factor),
        paid.regular_value * factor,
    )


def _times(count: int, factor: Decimal) -> int:
    return int((count * factor).to_integral_value(ROUND_HALF_UP))


def period_count_of(field: str, asked: int, default: int, most: int) -> int:
    """The number of periods that a request asks for; 0 means the default."""
    if not 0 <= asked <= most:
        raise InvalidArgumentError.of_field(field, "value_is_out_of_range", f"is 1 to {most}")
    return asked or default
