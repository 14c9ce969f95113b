"""Finalizing: drafts are totalled for the last time, frozen and numbered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.invoicing import invoice as verbs
from services.rating.invoicing.commands.refresh import draft_of, rate_again
from services.rating.invoicing.commands.total import Holdings, total_finally
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.organization import Organization
from services.rating.organizations.store import organization as organization_of
from services.rating.shared.set_aside import Work, done


def finalize(
    tx: Connection, organization: Organization, drafts: Sequence[Invoice], holdings: Holdings, at: datetime
) -> list[Invoice]:
    """Finalize exactly these drafts of one organization, numbered in their order; the caller stores them.

    The running numbers are taken last, because every other finalization of the organization waits from then on.
    """
    totalled = [total_finally(draft, holdings) for draft in drafts]
    first = store.take_numbers(tx, organization.organization_id, len(totalled)) if totalled else 0
    return [
        verbs.finalize(
            draft,
            at=at,
            sequential_id=sequential_id,
            prefix=organization.invoice_prefix,
            net_payment_term_days=draft.net_payment_term_days,
        )
        for sequential_id, draft in enumerate(totalled, first)
    ]


def finalize_drafts(
    deps: Deps, tx: Connection, organization: Organization, drafts: Sequence[Invoice], at: datetime
) -> list[Invoice]:
    """Rate stored and locked drafts of one organization again, and finalize them in their order."""
    rated, holdings = rate_again(deps, tx, organization, drafts, at)
    finalized = finalize(tx, organization, rated, holdings, at)
    store.save(tx, finalized, fees=True)
    holdings.save(tx, organization.organization_id, at)
    done(tx, organization.organization_id, Work.FINALIZE, [invoice.invoice_id for invoice in finalized])
    deps.announce_all(tx, [InvoiceChanged(organization.organization_id, invoice) for invoice in finalized])
    return finalized


def finalize_invoice(deps: Deps, tx: Connection, organization: OrganizationId, invoice_id: str) -> Invoice:
    """Finalize a draft, even before its grace period ends; it gets its number.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    draft = draft_of(tx, organization, invoice_id)
    at = now_of(deps, tx, organization)
    return finalize_drafts(deps, tx, organization_of(tx, organization), [draft], at)[0]
