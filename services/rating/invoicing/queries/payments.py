"""Reading payments."""

from __future__ import annotations

from services.chassis.page import Listed, Page
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.invoicing.payment import Payment
from services.rating.invoicing.store import payments as store


def get_payment(deps: Deps, organization: OrganizationId, payment_id: str) -> Payment:
    """One payment."""
    with deps.db.transaction(organization) as tx:
        return store.payment(tx, organization, payment_id)


def list_payments(
    deps: Deps, organization: OrganizationId, page: Page, external_customer_id: str, invoice_id: str
) -> Listed[Payment]:
    """Payments, newest first; of a customer or an invoice, if one is named."""
    with deps.db.transaction(organization) as tx:
        return store.list_payments(
            tx, organization, page, external_customer_id=external_customer_id, invoice_id=invoice_id
        )
