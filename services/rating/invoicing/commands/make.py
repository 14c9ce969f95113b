"""Making drafts from billing runs: load what all of them need, rate each, and draft its invoice.

Everything is read in sets, so the cost of an invoice does not depend on the number of its events or on round trips. The
caller holds the locks of the billing periods (`usage/store/periods.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from services.kernel.cadence import local_date
from services.kernel.ids import CustomerId, FeeId, InvoiceId, new_id
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.customers.customer import Customer
from services.rating.customers.store import customers_by_id
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import BillingRun, commitment_due
from services.rating.invoicing.commands.late_corrections import LateCorrections
from services.rating.invoicing.invoice import DraftTerms, Invoice, InvoiceKind, first_given
from services.rating.invoicing.invoice_fee import InvoiceFee, ProvenFee, new_fee
from services.rating.invoicing.period_rating import rate_period
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.organization import Organization
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.fee import Fee
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.recount import recount
from services.rating.usage.store import aggregates


@dataclass(frozen=True, slots=True)
class Loaded:
    """What is needed to rate the runs of one organization.

    Attributes:
        organization: the organization whose runs they are.
        metrics: the current versions, by code.
        aggregates: the aggregates, by billing period.
        watermarks: the last counted batch of each shard.
        customers: the billed customers.
    """

    organization: Organization
    metrics: Mapping[str, MetricVersion]
    aggregates: Mapping[PeriodKey, Sequence[UsageAggregate]]
    watermarks: Mapping[int, int]
    customers: Mapping[CustomerId, Customer]


def load(deps: Deps, tx: Connection, organization: Organization, runs: Sequence[BillingRun]) -> Loaded:
    """What is needed to rate runs of one organization; unsure aggregates are counted again."""
    codes = {charge.metric_code for run in runs for charge in run.agreement.plan.charges}
    metrics = metrics_by_code(tx, organization.organization_id, codes) if codes else {}
    billed = {run.usage.key: run for run in runs if run.usage is not None}
    known = aggregates.of_periods(tx, billed)
    for key, of_period in known.items():
        if any(aggregate.is_unsure for aggregate in of_period):
            run = billed[key]
            known[key] = recount(deps, tx, run.agreement, run.span, of_period, metrics)
    customers = customers_by_id(tx, organization.organization_id, customers_of(runs))
    return Loaded(organization, metrics, known, aggregates.positions(tx), customers)


def customers_of(runs: Iterable[BillingRun]) -> set[CustomerId]:
    """The customers that runs bill."""
    return {run.agreement.subscription.customer_id for run in runs}


def make_drafts(
    tx: Connection, loaded: Loaded, corrections: LateCorrections, runs: Sequence[BillingRun], at: datetime
) -> list[Invoice]:
    """One draft for each run, not totalled yet; a run with nothing to bill has none."""
    drafts = []
    for run in runs:
        fees = _rate(tx, run, loaded, corrections)
        if fees:
            drafts.append(_draft(loaded, run, fees, at))
    return drafts


def _rate(tx: Connection, run: BillingRun, loaded: Loaded, corrections: LateCorrections) -> list[InvoiceFee]:
    """The fees of a run: base price, usage, minimum commitment, late corrections.

    Corrections of the period whose commitment is due count towards it.
    """
    fees = [ProvenFee(run.base)] if run.base is not None else []
    fees += usage_fees(run, loaded)
    before = billed_before(tx, run)
    beside = [proven.fee for proven in (*fees, *commitment_fees(run, fees, before))]
    placed = corrections.place(run, beside, loaded.watermarks)
    fees += commitment_fees(run, [*fees, *placed], before)
    return [*(new_fee(fee, run.agreement.subscription.external_id) for fee in fees), *placed]


def usage_fees(run: BillingRun, loaded: Loaded) -> list[ProvenFee]:
    """The fees of the usage of a run's billing period."""
    if run.usage is None:
        return []
    known = loaded.aggregates.get(run.usage.key, ())
    return rate_period(run.agreement, run.usage.period, known, loaded.metrics, loaded.watermarks)


def billed_before(tx: Connection, run: BillingRun, but: Collection[FeeId] = ()) -> list[Fee]:
    """What earlier invoices billed for the plan's period whose commitment is due, except the fees `but`."""
    if run.commitment is None:
        return []
    organization, nominal = run.agreement.organization_id, run.commitment.nominal
    within = store.fees_within(tx, organization, run.subscription_id, nominal)
    return [billed.fee for billed in within if billed.fee_id not in but and not billed.fee.is_of_commitment]


def commitment_fees(run: BillingRun, fees: Sequence[ProvenFee | InvoiceFee], earlier: Sequence[Fee]) -> list[ProvenFee]:
    """What the plan's period lacks to reach its minimum commitment, including what earlier invoices billed."""
    if run.commitment is None:
        return []
    nominal, own = run.commitment.nominal, run.subscription_id
    belonging = [
        proven.fee
        for proven in fees
        if proven.fee.subscription_id == own and proven.fee.period.start in nominal and not proven.fee.is_of_commitment
    ]
    fee = commitment_due(run.agreement, run.commitment, [*belonging, *earlier])
    return [ProvenFee(fee)] if fee is not None else []


def _draft(loaded: Loaded, run: BillingRun, fees: Sequence[InvoiceFee], at: datetime) -> Invoice:
    organization, customer = loaded.organization, loaded.customers[run.agreement.subscription.customer_id]
    grace_days = first_given(customer.invoice_grace_period_days, organization.invoice_grace_period_days)
    term_days = first_given(
        customer.net_payment_term_days,
        run.agreement.plan_version.net_payment_term_days,
        organization.net_payment_term_days,
    )
    # Only usage can come late, so an invoice without usage has no grace period.
    grace_ends_at = at + timedelta(days=grace_days) if run.usage is not None else at
    issued_on = local_date(grace_ends_at, run.agreement.timezone)
    return Invoice(
        invoice_id=InvoiceId(new_id()),
        organization_id=organization.organization_id,
        kind=InvoiceKind.SUBSCRIPTION,
        customer=customer,
        currency=run.agreement.plan.currency,
        timezone=run.agreement.timezone,
        created_at=at,
        grace_ends_at=grace_ends_at,
        issuing_date=issued_on,
        payment_due_date=issued_on + timedelta(days=term_days),
        fees=tuple(fees),
        period=run.span,
        terms=DraftTerms(
            subscription_id=run.subscription_id,
            usage_start=run.usage.period.start if run.usage else None,
            commitment=run.commitment.part if run.commitment else None,
            commitment_of=run.commitment.nominal if run.commitment else None,
        ),
    )
