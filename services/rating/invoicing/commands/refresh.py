"""Refreshing: drafts are computed again from the usage known now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import InvoiceId, OrganizationId
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.customers.store import customers_by_id
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import BillingRun, Commitment
from services.rating.invoicing.commands.make import Loaded, billed_before, commitment_fees, load, usage_fees
from services.rating.invoicing.commands.total import Holdings, total
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice, require_draft
from services.rating.invoicing.invoice_fee import InvoiceFee, ProvenFee, new_fee
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.organization import Organization
from services.rating.organizations.store import organization as organization_of
from services.rating.pricing.fee import FeeKind
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.store import periods

# The fees that are computed again; base prices and adjustments stay as they were billed.
_OF_USAGE = frozenset({FeeKind.CHARGE, FeeKind.TRUE_UP, FeeKind.COMMITMENT})


def refresh_invoice(deps: Deps, tx: Connection, organization: OrganizationId, invoice_id: str) -> Invoice:
    """Compute a draft again from the usage known now.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    draft = draft_of(tx, organization, invoice_id)
    at = now_of(deps, tx, organization)
    (rated,), holdings = rate_again(deps, tx, organization_of(tx, organization), [draft], at)
    refreshed = total(rated, holdings)
    store.save(tx, [refreshed], fees=True)
    deps.announce(tx, InvoiceChanged(organization, refreshed))
    return refreshed


def draft_of(tx: Connection, organization: OrganizationId, invoice_id: str) -> Invoice:
    """The draft with this id, locked.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    invoice = store.invoice(tx, organization, invoice_id, lock=True)
    require_draft(invoice)
    return invoice


def rate_again(
    deps: Deps, tx: Connection, organization: Organization, drafts: Sequence[Invoice], at: datetime
) -> tuple[list[Invoice], Holdings]:
    """Stored drafts with fees and customer as of now, not totalled yet, and what their customers hold."""
    runs = _runs_of(tx, organization.organization_id, drafts)
    loaded = load(deps, tx, organization, list(runs.values()))
    ids = {draft.customer_id for draft in drafts}
    customers = customers_by_id(tx, organization.organization_id, ids)
    rated = []
    for draft in drafts:
        run = runs.get(draft.invoice_id)
        fees = draft.fees if run is None else _fees(tx, draft, run, loaded)
        rated.append(replace(draft, fees=fees, customer=customers[draft.customer_id]))
    counted = [run.usage.key for run in runs.values() if run.usage is not None]
    if counted:
        periods.mark(tx, counted, dirty=False, accrual_due=True)
    return rated, Holdings.of(tx, organization.organization_id, ids, at)


def _runs_of(tx: Connection, organization: OrganizationId, drafts: Sequence[Invoice]) -> dict[InvoiceId, BillingRun]:
    """The runs that made the drafts, for those that bill usage; other drafts have none."""
    keys = {
        draft.invoice_id: PeriodKey(organization, draft.terms.subscription_id, draft.terms.usage_start)
        for draft in drafts
        if draft.terms.subscription_id is not None and draft.terms.usage_start is not None
    }
    known = agreements(tx, organization, {key.subscription_id for key in keys.values()})
    counted = {period.key: period for period in periods.lock_keys(tx, keys.values())}
    return {
        draft.invoice_id: _run_of(draft, known[key.subscription_id], counted[key])
        for draft in drafts
        if (key := keys.get(draft.invoice_id)) is not None
    }


def _run_of(draft: Invoice, agreement: Agreement, counted: BillingPeriod) -> BillingRun:
    terms = draft.terms
    commitment = Commitment(terms.commitment_of, terms.commitment) if terms.commitment and terms.commitment_of else None
    return BillingRun(agreement, draft.created_at, counted.period, counted, commitment=commitment)


def _fees(tx: Connection, draft: Invoice, run: BillingRun, loaded: Loaded) -> tuple[InvoiceFee, ...]:
    """The draft's fees with its usage rated again; a fee that still exists keeps its id."""
    kept = [fee for fee in draft.fees if fee.fee.kind not in _OF_USAGE]
    ids = {fee.fee.subject: fee.fee_id for fee in draft.fees if fee.fee.kind in _OF_USAGE}
    proven = usage_fees(run, loaded)
    base = [ProvenFee(fee.fee, fee.proof) for fee in kept if fee.fee.kind is FeeKind.SUBSCRIPTION]
    earlier = billed_before(tx, run, but={fee.fee_id for fee in draft.fees})
    adjustments = [fee for fee in kept if fee.fee.kind is FeeKind.ADJUSTMENT]
    proven += commitment_fees(run, [*base, *proven, *adjustments], earlier)
    external_id = run.agreement.subscription.external_id
    rated = [new_fee(fee, external_id, fee_id=ids.get(fee.fee.subject)) for fee in proven]
    return (*(fee for fee in kept if fee.fee.kind is not FeeKind.ADJUSTMENT), *rated, *adjustments)
