"""Customers in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Row

from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import CustomerId, OrganizationId
from services.rating.customers.customer import Customer
from services.rating.shared.rows import named_in, read_list
from services.rating.tables.subscriptions import CUSTOMERS


def insert_customer(tx: Connection, organization: OrganizationId, customer: Customer) -> bool:
    """Store a new customer; False if another transaction has created one with this external id."""
    statement = insert(CUSTOMERS).values(_values(organization, customer))
    statement = statement.on_conflict_do_nothing(index_elements=[CUSTOMERS.c.organization_id, CUSTOMERS.c.external_id])
    return tx.execute(statement.returning(CUSTOMERS.c.id)).first() is not None


def save_customer(tx: Connection, organization: OrganizationId, customer: Customer) -> None:
    """Replace a customer's data."""
    own = (CUSTOMERS.c.organization_id == organization) & (CUSTOMERS.c.id == customer.customer_id)
    tx.execute(CUSTOMERS.update().where(own).values(_values(organization, customer)))


def find_customer(
    tx: Connection, organization: OrganizationId, external_id: str, *, lock: bool = False
) -> Customer | None:
    """The customer with this external id, or None; with `lock`, nobody else changes it meanwhile.

    It may have been deleted: whoever bills it again brings it back.
    """
    own = (CUSTOMERS.c.organization_id == organization) & (CUSTOMERS.c.external_id == external_id)
    statement = sa.select(CUSTOMERS).where(own)
    row = tx.execute(statement.with_for_update(key_share=True) if lock else statement).first()
    return _customer(row) if row is not None else None


def customer(tx: Connection, organization: OrganizationId, external_id: str, *, lock: bool = False) -> Customer:
    """The customer with this external id.

    Raises:
        NotFoundError: `CUSTOMER_UNKNOWN`, also if it was deleted.
    """
    found = find_customer(tx, organization, external_id, lock=lock)
    if found is None or found.deleted_at is not None:
        raise NotFoundError("CUSTOMER_UNKNOWN", "no customer has this external id", external_customer_id=external_id)
    return found


def customers_by_id(
    tx: Connection, organization: OrganizationId | None, ids: Iterable[CustomerId]
) -> dict[CustomerId, Customer]:
    """Customers by id, of one organization or, in a worker transaction, of all."""
    statement = sa.select(CUSTOMERS).where(CUSTOMERS.c.id.in_(list(ids)))
    if organization is not None:
        statement = statement.where(CUSTOMERS.c.organization_id == organization)
    return {CustomerId(row.id): _customer(row) for row in tx.execute(statement)}


@dataclass(frozen=True, slots=True)
class CustomersWanted:
    """The filters of a list of customers; every filter that is set must hold.

    Attributes:
        currencies: only those billed in one of these.
        countries: only those in one of these.
        external_ids: only these.
    """

    currencies: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    external_ids: tuple[str, ...] = ()


def list_customers(
    tx: Connection, organization: OrganizationId, page: Page, wanted: CustomersWanted
) -> Listed[Customer]:
    """The organization's customers, newest first."""
    statement = sa.select(CUSTOMERS).where(
        CUSTOMERS.c.organization_id == organization,
        CUSTOMERS.c.deleted_at.is_(None),
        named_in(CUSTOMERS.c.currency, wanted.currencies, "currencies"),
        named_in(CUSTOMERS.c.country, wanted.countries, "countries"),
        named_in(CUSTOMERS.c.external_id, wanted.external_ids, "external_ids"),
    )
    return read_list(tx, statement, CUSTOMERS.c.id, page, _customer, newest_first=True)


def _values(organization: OrganizationId, customer: Customer) -> dict[str, Any]:
    return {
        "organization_id": organization,
        "id": customer.customer_id,
        "external_id": customer.external_id,
        "sequential_id": customer.sequential_id,
        "name": customer.name,
        "email": customer.email,
        "currency": customer.currency,
        "timezone": customer.timezone,
        "address_lines": list(customer.address_lines),
        "country": customer.country,
        "tax_identification_number": customer.tax_identification_number,
        "invoice_grace_period_days": customer.invoice_grace_period_days,
        "tax_codes": list(customer.tax_codes),
        "metadata": dict(customer.metadata),
        "created_at": customer.created_at,
        "updated_at": customer.updated_at,
        "net_payment_term_days": customer.net_payment_term_days,
        "deleted_at": customer.deleted_at,
    }


def _customer(row: Row[Any]) -> Customer:
    return Customer(
        customer_id=CustomerId(row.id),
        external_id=row.external_id,
        sequential_id=row.sequential_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        name=row.name,
        email=row.email,
        currency=row.currency,
        timezone=row.timezone,
        address_lines=tuple(row.address_lines),
        country=row.country,
        tax_identification_number=row.tax_identification_number,
        invoice_grace_period_days=row.invoice_grace_period_days,
        tax_codes=tuple(row.tax_codes),
        metadata=row.metadata,
        net_payment_term_days=row.net_payment_term_days,
        deleted_at=row.deleted_at,
    )
