"""Deleting a customer: its subscriptions end, what they owe is billed, and nothing is billed any more."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from services.kernel.errors import AbortedError, FailedPreconditionError
from services.kernel.ids import OrganizationId
from services.rating.agreements import store as agreements
from services.rating.agreements.agreement import EndTerms
from services.rating.agreements.change import ChangeTiming
from services.rating.customers import store as customers
from services.rating.customers.commands import change_customer
from services.rating.customers.customer import Customer
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.subscriptions.commands.cancel import cancel_subscription

# Each makes an invoice in the same transaction; who has more subscriptions ends some of them first.
MAX_ENDED_AT_ONCE = 100


def delete_customer(deps: Deps, tx: Connection, organization: OrganizationId, external_id: str) -> Customer:
    """End every subscription of a customer now, as its cancellation would, and delete the customer.

    Invoices and credit notes stay, drafts are finalized when they are due, and what is paid is still reported. Under
    the same external id the customer comes back, with everything it had.

    Raises:
        NotFoundError: `CUSTOMER_UNKNOWN`.
        FailedPreconditionError: `TOO_MANY_SUBSCRIPTIONS`, more than can be ended in one transaction.
        AbortedError: `CUSTOMER_RACE`, another call subscribed it meanwhile; try again.
    """
    known = customers.customer(tx, organization, external_id)
    living = agreements.living_agreements_of(tx, organization, known.customer_id)
    if len(living) > MAX_ENDED_AT_ONCE:
        raise FailedPreconditionError(
            "TOO_MANY_SUBSCRIPTIONS", f"at most {MAX_ENDED_AT_ONCE} subscriptions end with a customer; end some first"
        )
    for agreement in living:
        cancel_subscription(
            deps,
            tx,
            organization,
            agreement.subscription.external_id,
            timing=ChangeTiming.NOW,
            terms=EndTerms(),
        )
    # Whoever subscribes locks the customer, so from here on nobody does.
    known = customers.customer(tx, organization, external_id, lock=True)
    if agreements.living_agreements_of(tx, organization, known.customer_id):
        raise AbortedError("CUSTOMER_RACE", "another call subscribed the customer meanwhile")
    now = now_of(deps, tx, organization)
    return change_customer(deps, tx, organization, known, {"deleted_at": now}, now)
