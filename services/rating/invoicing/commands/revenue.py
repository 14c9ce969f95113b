"""Accrued revenue: what subscriptions have earned so far, announced for every billing period that was touched.

Totals with a revision are announced, not differences, so a lost or repeated announcement changes nothing. The base
price of a plan's period is announced with the billing period in which it begins, spread over the plan's period; usage
is announced as of now and, once the period is closed, as invoiced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from sqlalchemy.engine import Connection

from services.chassis.isolate import isolated
from services.kernel.ids import InvoiceId, OrganizationId
from services.kernel.revenue import RevenueKind
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import base_begun_in
from services.rating.invoicing.events import RevenueAccrued, RevenueEntry, RevenuesAccrued
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.period_rating import rate_period
from services.rating.invoicing.store.invoices import invoices_by_id
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.fee import FeeKind
from services.rating.shared.set_aside import Work, done, set_aside
from services.rating.usage.aggregate import UsageAggregate
from services.rating.usage.billing_period import BillingPeriod, PeriodState
from services.rating.usage.recount import recount
from services.rating.usage.store import aggregates, periods

# How many periods are announced in one transaction. No usage is counted in them while they are priced, so they are few;
# they share a message, since a message for each would cost all readers of rating's log more than its content.
BATCH = 100
# How many entries a message has at most, unless a single subscription has more. At about 150 bytes each, a message
# stays far below the largest that may be announced.
MAX_ENTRIES = 10_000

_KINDS = {FeeKind.CHARGE: RevenueKind.USAGE, FeeKind.SUBSCRIPTION: RevenueKind.BASE}


def accrue_due(deps: Deps, organization: OrganizationId | None = None) -> int:
    """Announce the revenue of one batch of touched periods; returns how many. Those that fail are set aside."""
    with deps.db.worker_transaction() as tx:
        due = periods.take_accruals(tx, organization, deps.clock.now(), limit=BATCH)
        for earner in dict.fromkeys(period.organization_id for period in due):
            _accrue_possible(deps, tx, earner, [period for period in due if period.organization_id == earner])
    return len(due)


def _accrue_possible(deps: Deps, tx: Connection, organization: OrganizationId, due: Sequence[BillingPeriod]) -> None:
    """Announce what periods of one organization have earned; a subscription that cannot be priced waits as a whole."""
    _, failed = isolated(tx, due, partial(_accrue, deps, tx, organization))
    errors = {period.subscription_id: error for period, error in failed}
    done(tx, organization, Work.ACCRUE, {period.subscription_id for period in due} - errors.keys())
    if failed:
        periods.mark(tx, [period.key for period, _ in failed], accrual_due=True)
    for subscription, error in errors.items():
        set_aside(tx, organization, Work.ACCRUE, subscription, error, deps.clock.now(), may_wait=True)


def _accrue(deps: Deps, tx: Connection, organization: OrganizationId, due: Sequence[BillingPeriod]) -> None:
    """Announce what periods of one organization have earned."""
    agreed = agreements(tx, organization, {period.subscription_id for period in due})
    running = [period for period in due if period.state is PeriodState.OPEN]
    codes = {charge.metric_code for period in running for charge in agreed[period.subscription_id].plan.charges}
    metrics = metrics_by_code(tx, organization, codes) if codes else {}
    counted = aggregates.of_periods(tx, [period.key for period in running])
    for period in running:
        if any(aggregate.needs_carry for aggregate in counted[period.key]):
            # Otherwise the charges would earn nothing with what was used before a change of plan until the period ends.
            agreement = agreed[period.subscription_id]
            counted[period.key] = recount(deps, tx, agreement, period.period, counted[period.key], metrics)
    ids = {period.invoice_id for period in due if period.invoice_id is not None}
    invoices = invoices_by_id(tx, organization, ids)
    announced = []
    for period in due:
        agreement = agreed[period.subscription_id]
        is_closed = period.state is PeriodState.CLOSED
        parts = _invoiced(period, invoices) if is_closed else _so_far(period, agreement, counted[period.key], metrics)
        announced.append(_announced(period, agreement, parts))
    deps.announce_all(tx, list(in_messages(announced)))


def in_messages(accruals: Iterable[RevenueAccrued]) -> Iterator[RevenuesAccrued]:
    """Accruals as they travel together: in order, and one of very many entries by itself."""
    together: list[RevenueAccrued] = []
    entries = 0
    for accrual in accruals:
        if together and entries + len(accrual.entries) > MAX_ENTRIES:
            yield RevenuesAccrued(tuple(together))
            together, entries = [], 0
        together.append(accrual)
        entries += len(accrual.entries)
    if together:
        yield RevenuesAccrued(tuple(together))


def _so_far(
    period: BillingPeriod,
    agreement: Agreement,
    kept: Sequence[UsageAggregate],
    metrics: Mapping[str, MetricVersion],
) -> list[RevenueEntry]:
    """The exact usage of an open period; what a void made unsure is corrected by the next announcement."""
    return [
        RevenueEntry(RevenueKind.USAGE, period.period, fee.precise_amount, fee.metric_code or "", fee.group)
        for fee in (proven.fee for proven in rate_period(agreement, period.period, kept, metrics, {}))
        if fee.kind is FeeKind.CHARGE and fee.precise_amount
    ]


def _invoiced(period: BillingPeriod, invoices: Mapping[InvoiceId, Invoice]) -> list[RevenueEntry]:
    """What the invoice of a closed period billed besides base prices, and what its coupons took off."""
    invoice = invoices.get(period.invoice_id) if period.invoice_id is not None else None
    if invoice is None:
        return []
    currency = invoice.currency
    entries = [
        RevenueEntry(
            _KINDS.get(fee.kind, RevenueKind.OTHER),
            period.period,
            currency.to_major(fee.amount_cents),
            (fee.metric_code or "") if fee.kind is FeeKind.CHARGE else "",
            fee.group if fee.kind is FeeKind.CHARGE else (),
        )
        for fee in (invoice_fee.fee for invoice_fee in invoice.fees)
        if fee.kind is not FeeKind.SUBSCRIPTION and fee.amount_cents
    ]
    if invoice.totals.coupons_amount_cents:
        off = -currency.to_major(invoice.totals.coupons_amount_cents)
        entries.append(RevenueEntry(RevenueKind.OTHER, period.period, off))
    return entries


def _announced(period: BillingPeriod, agreement: Agreement, entries: Sequence[RevenueEntry]) -> RevenueAccrued:
    currency = agreement.plan.currency
    base = base_begun_in(agreement, period.period)
    spread = []
    if base is not None:
        spread = [RevenueEntry(RevenueKind.BASE, base.period, currency.to_major(base.amount_cents))]
    return RevenueAccrued(
        organization_id=period.organization_id,
        external_customer_id=agreement.external_customer_id,
        subscription_id=period.subscription_id,
        plan_code=agreement.plan.code,
        currency=currency.code,
        billing_period=period.period,
        revision=period.accrual_revision,
        entries=(*spread, *entries),
    )
