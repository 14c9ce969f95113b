"""Drafts: computed again from the usage known now, then frozen and numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import FeeId, InvoiceId, OrganizationId, new_id
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.customers.store import customers_by_id
from services.rating.deps import Deps
from services.rating.invoicing import invoice as invoices
from services.rating.invoicing.bill import Bill, BilledFee
from services.rating.invoicing.billing_run import BillingRun, Commitment
from services.rating.invoicing.commands.make import Loaded, Purse, commitment_fees, load, number, usage_fees
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.period_rating import ProvenFee
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.organization import Organization
from services.rating.pricing.fee import FeeKind
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.store import periods

# What is computed again; base prices and adjustments stay as they were billed.
_OF_USAGE = frozenset({FeeKind.CHARGE, FeeKind.TRUE_UP, FeeKind.COMMITMENT})


def finalize_drafts(
    deps: Deps, tx: Connection, organization: Organization, drafts: Sequence[Bill], at: datetime
) -> list[Bill]:
    """Refresh drafts of one organization, which are locked, and finalize and number them in their order."""
    owner, loaded, refreshed = organization.organization_id, *_refreshed(deps, tx, organization, drafts, at)
    totalled = []
    for bill in refreshed:
        due = _totalled(replace(bill, grace_ends_at=min(at, bill.grace_ends_at)), loaded.purse, is_draft=False)
        loaded.purse.spend(due)
        totalled.append(due)
    finalized = number(tx, organization, totalled, at)
    store.save(tx, finalized, fees=True)
    loaded.purse.save(tx, owner, at)
    deps.announce_all(tx, [InvoiceChanged(owner, bill) for bill in finalized])
    return finalized


def refresh_drafts(
    deps: Deps, tx: Connection, organization: Organization, drafts: Sequence[Bill], at: datetime
) -> list[Bill]:
    """Compute drafts again from the usage known now."""
    loaded, refreshed = _refreshed(deps, tx, organization, drafts, at)
    totalled = [_totalled(bill, loaded.purse, is_draft=True) for bill in refreshed]
    store.save(tx, totalled, fees=True)
    deps.announce_all(tx, [InvoiceChanged(organization.organization_id, bill) for bill in totalled])
    return totalled


def _totalled(bill: Bill, purse: Purse, *, is_draft: bool) -> Bill:
    customer, currency = bill.invoice.customer_id, bill.invoice.currency
    return bill.with_totals(bill.fees, purse.totals(customer, bill.fees, currency, is_draft=is_draft))


def _refreshed(
    deps: Deps, tx: Connection, organization: Organization, drafts: Sequence[Bill], at: datetime
) -> tuple[Loaded, list[Bill]]:
    """Drafts with fees and customer as of now, and what was loaded for them."""
    owner = organization.organization_id
    runs = _runs_of(tx, owner, drafts)
    loaded = load(deps, tx, organization, list(runs.values()), at)
    customers = customers_by_id(tx, owner, {bill.invoice.customer_id for bill in drafts})
    refreshed = []
    for bill in drafts:
        run = runs.get(bill.invoice.invoice_id)
        fees = bill.fees if run is None else _fees(tx, bill, run, loaded)
        kept = invoices.refresh(bill.invoice, [each.fee for each in fees], bill.invoice.totals)
        refreshed.append(replace(bill, fees=fees, invoice=kept, customer=customers[bill.invoice.customer_id]))
    counted = [run.usage.key for run in runs.values() if run.usage is not None]
    if counted:
        periods.mark(tx, counted, dirty=False, accrual_due=True)
    return loaded, refreshed


def _runs_of(tx: Connection, organization: OrganizationId, drafts: Sequence[Bill]) -> dict[InvoiceId, BillingRun]:
    """The runs that made drafts, as far as usage is concerned; those that bill no usage have none."""
    wanted = {
        bill.invoice.invoice_id: PeriodKey(organization, bill.terms.subscription_id, bill.terms.usage_start)
        for bill in drafts
        if bill.terms.subscription_id is not None and bill.terms.usage_start is not None
    }
    found = agreements(tx, organization, {key.subscription_id for key in wanted.values()})
    counted = {period.key: period for period in periods.lock_keys(tx, wanted.values())}
    return {
        bill.invoice.invoice_id: _run_of(bill, found[key.subscription_id], counted[key])
        for bill in drafts
        if (key := wanted.get(bill.invoice.invoice_id)) is not None
    }


def _run_of(bill: Bill, agreement: Agreement, counted: BillingPeriod) -> BillingRun:
    terms = bill.terms
    commitment = Commitment(terms.commitment_of, terms.commitment) if terms.commitment and terms.commitment_of else None
    return BillingRun(agreement, bill.created_at, counted.period, counted, commitment=commitment)


def _fees(tx: Connection, bill: Bill, run: BillingRun, loaded: Loaded) -> tuple[BilledFee, ...]:
    """The draft's fees with its usage rated again; a fee that is still there keeps its id."""
    stay = [each for each in bill.fees if each.fee.kind not in _OF_USAGE]
    known = {each.fee.subject: each.fee_id for each in bill.fees if each.fee.kind in _OF_USAGE}
    fees = usage_fees(run, loaded)
    if run.commitment is not None:
        within = store.fees_within(tx, bill.organization_id, run.subscription_id, run.commitment.nominal)
        own = {each.fee_id for each in bill.fees}
        before = [each for each in within if each.fee_id not in own]
        base = [ProvenFee(each.fee, each.proof) for each in stay if each.fee.kind is FeeKind.SUBSCRIPTION]
        fees += commitment_fees(run, [*base, *fees], before)
    rated = [BilledFee(known.get(each.fee.subject) or FeeId(new_id()), each.fee, each.proof) for each in fees]
    adjustments = [each for each in stay if each.fee.kind is FeeKind.ADJUSTMENT]
    return (*(each for each in stay if each.fee.kind is not FeeKind.ADJUSTMENT), *rated, *adjustments)
