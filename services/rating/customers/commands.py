"""Customers: created or changed by their external id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from services.kernel.checks import inside
from services.kernel.errors import AbortedError, FailedPreconditionError
from services.kernel.ids import CustomerId, OrganizationId, new_id
from services.rating.catalog.store.taxes import taxes_by_code
from services.rating.customers import store
from services.rating.customers.customer import Customer
from services.rating.customers.events import CustomerChanged
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.organizations.store import next_number

# The name of the running number that customers get.
CUSTOMER_NUMBER = "customer"
# What distinguishes a customer that is billed from one that was deleted.
_BILLED: Mapping[str, Any] = {"deleted_at": None}


@dataclass(frozen=True, slots=True)
class Upserted:
    """A customer, and whether it is new."""

    customer: Customer
    created: bool


def upsert_customer(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    external_id: str,
    revise: Callable[[Customer], Mapping[str, Any]],
) -> Upserted:
    """Create a customer, or change the one with this external id; details that are not named stay.

    Args:
        deps: what commands need.
        tx: the transaction.
        organization: the organization whose customer it is.
        external_id: the customer's external id.
        revise: returns the details that change for the current customer, which is locked meanwhile.

    Raises:
        FailedPreconditionError: `CURRENCY_FIXED`, a customer that has a currency keeps it.
        InvalidArgumentError: names what is wrong.
    """
    now = now_of(deps, tx, organization)
    known = store.find_customer(tx, organization, external_id, lock=True)
    if known is None:
        details = revise(Customer(CustomerId(""), external_id, 1, now, now))
        _require_taxes(tx, organization, details.get("tax_codes", ()), known=())
        found = find_or_create_customer(deps, tx, organization, external_id, details, now)
        if found.created:
            return found
        known = found.customer
    details = {**revise(known), "deleted_at": None}
    _require_taxes(tx, organization, details.get("tax_codes", ()), known=known.tax_codes)
    if known.currency and details.get("currency", known.currency) != known.currency:
        raise FailedPreconditionError("CURRENCY_FIXED", f"the customer is billed in {known.currency}")
    return Upserted(change_customer(deps, tx, organization, known, details, now), created=False)


def find_or_create_customer(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    external_id: str,
    details: Mapping[str, Any],
    now: datetime,
) -> Upserted:
    """The customer with this external id, locked as it is, or a new one with these details.

    A deleted customer comes back, with its invoices and its details.

    Raises:
        AbortedError: `CUSTOMER_RACE`, another call is creating it and has not finished; try again.
    """
    known = store.find_customer(tx, organization, external_id, lock=True)
    if known is not None:
        return Upserted(change_customer(deps, tx, organization, known, _BILLED, now), created=False)
    made = Customer(CustomerId(new_id()), external_id, 1, now, now, **details)
    # A call that loses the race for the external id returns its number, so that numbers have no gaps.
    with suppress(_Lost), tx.begin_nested():
        made = replace(made, sequential_id=next_number(tx, organization, CUSTOMER_NUMBER))
        if not store.insert_customer(tx, organization, made):
            raise _Lost
        deps.announce(tx, CustomerChanged(organization, made))
        return Upserted(made, created=True)
    known = store.find_customer(tx, organization, external_id, lock=True)
    if known is None:
        raise AbortedError("CUSTOMER_RACE", "another call is creating this customer")
    return Upserted(known, created=False)


class _Lost(Exception):  # noqa: N818 - not an error: another transaction was first
    """Another transaction has created the customer meanwhile."""


def change_customer(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    known: Customer,
    details: Mapping[str, Any],
    now: datetime,
) -> Customer:
    """Change details of a customer; if nothing changes, nothing is announced."""
    if replace(known, **details) == known:
        return known
    changed = replace(known, **details, updated_at=now)
    store.save_customer(tx, organization, changed)
    deps.announce(tx, CustomerChanged(organization, changed))
    return changed


def fix_currency(
    deps: Deps, tx: Connection, organization: OrganizationId, customer: Customer, currency: str, now: datetime
) -> Customer:
    """Fix the currency of a locked customer permanently, if it has none; returns the customer.

    Raises:
        FailedPreconditionError: `CURRENCY_MISMATCH`, it is billed in another one.
    """
    if customer.currency not in {"", currency}:
        raise FailedPreconditionError(
            "CURRENCY_MISMATCH", f"the customer is billed in {customer.currency}, not in {currency}"
        )
    return change_customer(deps, tx, organization, customer, {"currency": currency}, now)


def _require_taxes(tx: Connection, organization: OrganizationId, codes: Sequence[str], *, known: Sequence[str]) -> None:
    """Refuse codes that a customer newly names and no tax has; taxes it named before may be gone by now."""
    there = set(known) | set(taxes_by_code(tx, organization, set(codes) - set(known)))
    with inside() as checks:
        for number, code in enumerate(codes):
            if code not in there:
                checks.refuse(f"tax_codes[{number}]", "value_is_invalid", f"no tax has the code {code[:80]!r}")
