"""Making invoices of billing runs: load what all of them need, rate, total, number, keep, announce.

Everything is read and written in sets, so the cost of an invoice depends neither on the number of its events nor on
round trips. The caller holds the locks of the billing periods (store/periods.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from services.kernel.cadence import local_date, midnight
from services.kernel.ids import CustomerId, FeeId, InvoiceId, OrganizationId, SubscriptionId, new_id
from services.kernel.money import Currency
from services.rating.catalog.store.coupons import coupons_of, save_applied
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.customers.customer import Customer
from services.rating.customers.store import customers_by_id
from services.rating.deps import Deps
from services.rating.invoicing import invoice as invoices
from services.rating.invoicing.bill import Bill, BilledFee, BillTerms, InvoiceKind
from services.rating.invoicing.billing_run import BillingRun
from services.rating.invoicing.commands import late_corrections as adjusting
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Balance, Invoice
from services.rating.invoicing.period_rating import ProvenFee, rate_period
from services.rating.invoicing.store import credit_notes
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.organization import Organization
from services.rating.pricing.catalog import AppliedCoupon, MetricVersion
from services.rating.pricing.commitment import commitment_fee
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.recount import recount
from services.rating.usage.store import aggregates, future_usage, periods


@dataclass(slots=True)
class Purse:
    """What customers bring to their invoices; used up invoice by invoice within a transaction.

    Attributes:
        coupons: in each customer's hand.
        balances: left of credit notes, by customer and currency.
        spent: taken off each credit note so far.
        used_coupons: coupons that an invoice has used, as they are now.
    """

    coupons: dict[CustomerId, list[AppliedCoupon]]
    balances: dict[tuple[CustomerId, str], list[Balance]]
    spent: dict[str, int]
    used_coupons: dict[str, AppliedCoupon]

    @classmethod
    def of(cls, tx: Connection, organization: OrganizationId, customers: Iterable[CustomerId], at: datetime) -> Purse:
        """What customers hold, locked until the transaction ends."""
        ids = set(customers)
        return cls(coupons_of(tx, organization, ids, at), credit_notes.lock_balances(tx, organization, ids), {}, {})

    def totals(
        self, customer: CustomerId, fees: Sequence[BilledFee], currency: Currency, *, is_draft: bool = False
    ) -> invoices.Totals:
        """What fees come to with everything the customer brings; a draft leaves credit notes to what is finalized."""
        held = [each.coupon for each in self.coupons.get(customer, ())]
        return invoices.compute_totals(
            [each.fee for each in fees],
            currency,
            coupons=[each.terms for each in held if each.currency in {"", currency.code}],
            credit_notes=() if is_draft else self.balances.get((customer, currency.code), ()),
        )

    def spend(self, bill: Bill) -> None:
        """Take off what a finalized invoice has used."""
        customer, totals = bill.invoice.customer_id, bill.invoice.totals
        taken = {each.coupon: each.amount_cents for each in totals.coupons if each.amount_cents}
        held = self.coupons.get(customer, [])
        for index, each in enumerate(held):
            if each.coupon.terms in taken:
                terms = each.coupon.terms.use(taken[each.coupon.terms])
                held[index] = replace(each, coupon=replace(each.coupon, terms=terms))
                self.used_coupons[each.applied_coupon_id] = held[index]
        used = {each.balance_id: each.amount_cents for each in totals.credit_notes}
        key = (customer, bill.invoice.currency.code)
        self.balances[key] = [
            Balance(each.balance_id, each.amount_cents - used.get(each.balance_id, 0))
            for each in self.balances.get(key, ())
        ]
        for balance_id, amount_cents in used.items():
            self.spent[balance_id] = self.spent.get(balance_id, 0) + amount_cents

    def save(self, tx: Connection, organization: OrganizationId, at: datetime) -> None:
        """Keep what was used."""
        credit_notes.use(tx, organization, self.spent)
        for applied_coupon_id, each in self.used_coupons.items():
            save_applied(tx, organization, applied_coupon_id, each.coupon.terms, at)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the runs of one organization need.

    Attributes:
        organization: whose runs.
        metrics: current versions by code.
        kept: aggregates by billing period.
        watermarks: last counted batch of each shard.
        customers: who is billed.
        purse: what they bring.
    """

    organization: Organization
    metrics: Mapping[str, MetricVersion]
    kept: Mapping[PeriodKey, Sequence[UsageAggregate]]
    watermarks: Mapping[int, int]
    customers: Mapping[CustomerId, Customer]
    purse: Purse


def bill_runs(
    deps: Deps, tx: Connection, organization: Organization, runs: Sequence[BillingRun], at: datetime
) -> dict[SubscriptionId, Bill]:
    """Invoice runs of one organization at an instant, one invoice a subscription; those with nothing to bill have none.

    Invoices whose customer has no grace period, or that bill no usage, are finalized at once; the others stay drafts.
    """
    loaded = load(deps, tx, organization, runs, at)
    adjustable = adjusting.Adjustable.of(deps, tx, organization, {_customer(run) for run in runs})
    bills: dict[SubscriptionId, Bill] = {}
    for run in runs:
        fees = rate_run(tx, run, loaded)
        currency = run.agreement.plan.currency
        fees += adjustable.place(_customer(run), currency, [each.fee for each in fees], loaded.watermarks)
        if fees:
            bill = _draft(loaded, run, fees, at)
            bills[run.subscription_id] = _total(bill, loaded.purse, at)
    numbered = number(tx, organization, list(bills.values()), at)
    store.insert(tx, numbered)
    adjustable.save(tx)
    loaded.purse.save(tx, organization.organization_id, at)
    deps.announce_all(tx, [InvoiceChanged(organization.organization_id, bill) for bill in numbered])
    return dict(zip(bills, numbered, strict=True))


def load(deps: Deps, tx: Connection, organization: Organization, runs: Sequence[BillingRun], at: datetime) -> Loaded:
    """What runs of one organization need; stale aggregates are counted again, what customers hold is locked."""
    owner = organization.organization_id
    codes = {charge.metric_code for run in runs for charge in run.agreement.plan.charges}
    metrics = metrics_by_code(tx, owner, codes) if codes else {}
    billed = {run.usage.key: run for run in runs if run.usage is not None}
    kept = aggregates.of_periods(tx, billed)
    for key, found in kept.items():
        if any(each.needs_recount for each in found):
            period = billed[key].span
            kept[key] = recount(deps, tx, billed[key].agreement, period, found, metrics)
    customers = {_customer(run) for run in runs}
    return Loaded(
        organization,
        metrics,
        kept,
        aggregates.positions(tx),
        customers_by_id(tx, owner, customers),
        Purse.of(tx, owner, customers, at),
    )


def _customer(run: BillingRun) -> CustomerId:
    return run.agreement.subscription.customer_id


def rate_run(tx: Connection, run: BillingRun, loaded: Loaded) -> list[BilledFee]:
    """The fees of a run: base price, usage, minimum commitment."""
    fees = [ProvenFee(run.base)] if run.base is not None else []
    if run.usage is not None:
        fees += usage_fees(run, loaded)
    if run.commitment is not None:
        before = store.fees_within(tx, loaded.organization.organization_id, run.subscription_id, run.commitment.nominal)
        fees += commitment_fees(run, fees, before)
    return [BilledFee(FeeId(new_id()), each.fee, each.proof) for each in fees]


def usage_fees(run: BillingRun, loaded: Loaded) -> list[ProvenFee]:
    """The fees of the usage of a run's billing period; none of one that is empty, cut where it began."""
    if run.usage is None or not run.usage.period.length or _is_free_trial(run):
        return []
    kept = loaded.kept.get(run.usage.key, ())
    return rate_period(run.agreement, run.usage.period, kept, loaded.metrics, loaded.watermarks)


def _is_free_trial(run: BillingRun) -> bool:
    """Whether all of the period is a trial whose usage the plan does not bill."""
    trial_ends_at = run.agreement.trial_ends_at
    is_free = trial_ends_at is not None and not run.agreement.plan_version.bill_usage_in_trial
    return is_free and run.usage is not None and run.usage.period.end <= (trial_ends_at or run.at)


def commitment_fees(run: BillingRun, fees: Sequence[ProvenFee], before: Sequence[BilledFee]) -> list[ProvenFee]:
    """What the plan's period lacks to its minimum commitment; with what earlier invoices billed of it."""
    if run.commitment is None:
        return []
    nominal = run.commitment.nominal
    belonging = [each.fee for each in fees if each.fee.period.start in nominal] + [each.fee for each in before]
    agreement = run.agreement
    fee = commitment_fee(
        agreement.plan, run.subscription_id, run.commitment.part, nominal, belonging, agreement.timezone
    )
    return [ProvenFee(fee)] if fee is not None else []


def _draft(loaded: Loaded, run: BillingRun, fees: Sequence[BilledFee], at: datetime) -> Bill:
    """The new draft of a run."""
    organization, customer = loaded.organization, loaded.customers[_customer(run)]
    grace_days = customer.invoice_grace_period_days
    if grace_days is None:
        grace_days = organization.invoice_grace_period_days
    grace_ends_at = at + timedelta(days=grace_days) if run.usage is not None else at
    timezone = run.agreement.timezone
    issued_on = local_date(grace_ends_at, timezone)
    invoice = Invoice(InvoiceId(new_id()), customer.customer_id, run.agreement.plan.currency, issued_at=at)
    return Bill(
        organization_id=organization.organization_id,
        kind=InvoiceKind.SUBSCRIPTION,
        invoice=invoice,
        customer=customer,
        timezone=timezone,
        fees=tuple(fees),
        created_at=at,
        grace_ends_at=grace_ends_at,
        issuing_date=issued_on,
        payment_due_date=issued_on + timedelta(days=organization.net_payment_term_days),
        period=run.span,
        terms=BillTerms(
            subscription_id=run.subscription_id,
            usage_start=run.usage.period.start if run.usage else None,
            commitment=run.commitment.part if run.commitment else None,
            commitment_of=run.commitment.nominal if run.commitment else None,
        ),
    )


def _total(bill: Bill, purse: Purse, at: datetime) -> Bill:
    """The draft with its totals; what it uses is spent when it is finalized in the same step."""
    is_draft = bill.grace_ends_at > at
    totals = purse.totals(bill.invoice.customer_id, bill.fees, bill.invoice.currency, is_draft=is_draft)
    totalled = bill.with_totals(bill.fees, totals)
    if not is_draft:
        purse.spend(totalled)
    return totalled


def number(tx: Connection, organization: Organization, bills: Sequence[Bill], at: datetime) -> list[Bill]:
    """Finalize and number those bills whose grace has ended, in their order; the others stay as they are."""
    ready = sum(bill.grace_ends_at <= at for bill in bills)
    following = store.take_numbers(tx, organization.organization_id, ready) if ready else 0
    numbered = []
    for bill in bills:
        if bill.grace_ends_at <= at:
            numbered.append(_finalized(bill, organization, following, at))
            following += 1
        else:
            numbered.append(bill)
    return numbered


def _finalized(bill: Bill, organization: Organization, sequential_id: int, at: datetime) -> Bill:
    issued_on = local_date(at, bill.timezone)
    due_on = issued_on + timedelta(days=organization.net_payment_term_days)
    name = f"{organization.invoice_prefix}-{sequential_id:06d}"
    invoice = invoices.finalize(bill.invoice, at=at, number=name, due_at=midnight(due_on, bill.timezone))
    return replace(bill, invoice=invoice, sequential_id=sequential_id, issuing_date=issued_on, payment_due_date=due_on)


def mark_billed(tx: Connection, runs: Iterable[BillingRun], bills: Mapping[SubscriptionId, Bill]) -> None:
    """Close the billing periods of runs, each with its invoice."""
    closed = {}
    for run in runs:
        if run.usage is not None:
            bill = bills.get(run.subscription_id)
            closed[run.usage.key] = (run.usage.period, bill.invoice.invoice_id if bill else None)
    if closed:
        periods.close(tx, closed)
        future_usage.forget(tx, {key: period.end for key, (period, _) in closed.items()})
