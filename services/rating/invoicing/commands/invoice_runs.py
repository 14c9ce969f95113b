"""From billing runs to invoices: made, totalled, finalized if there is no grace period, stored and announced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.rating.deps import Deps
from services.rating.invoicing.billing_run import BillingRun
from services.rating.invoicing.commands.finalize import finalize
from services.rating.invoicing.commands.late_corrections import LateCorrections
from services.rating.invoicing.commands.make import customers_of, load, make_drafts
from services.rating.invoicing.commands.total import Holdings, total
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.organization import Organization


def invoice_runs(
    deps: Deps, tx: Connection, organization: Organization, runs: Sequence[BillingRun], at: datetime
) -> list[Invoice]:
    """Invoice runs of one organization at an instant: one invoice for each subscription that has something to bill.

    An invoice is finalized at once if its customer has no grace period or it bills no usage; the others stay drafts.
    """
    loaded = load(deps, tx, organization, runs)
    corrections = LateCorrections.of(deps, tx, organization, customers_of(runs))
    holdings = Holdings.of(tx, organization.organization_id, customers_of(runs), at)
    drafts = make_drafts(tx, loaded, corrections, runs, at)
    final = finalize(tx, organization, [draft for draft in drafts if draft.grace_ends_at <= at], holdings, at)
    invoices = [*final, *(total(draft, holdings) for draft in drafts if draft.grace_ends_at > at)]
    store.insert(tx, invoices)
    corrections.save(tx)
    holdings.save(tx, organization.organization_id, at)
    deps.announce_all(tx, [InvoiceChanged(organization.organization_id, invoice) for invoice in invoices])
    return invoices
