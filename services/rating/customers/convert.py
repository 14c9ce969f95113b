"""Customers: messages to domain and back."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1 import customer_pb2 as pb
from services.rating.customers.customer import Customer
from services.wire.values import instant_to_pb

_TEXTS = ("name", "email", "currency", "timezone", "country", "tax_identification_number")


def details_from_pb(message: pb.Customer) -> dict[str, Any]:
    """The details that a message names; empty fields are left out."""
    details: dict[str, Any] = {name: getattr(message, name) for name in _TEXTS if getattr(message, name)}
    if message.address_lines:
        details["address_lines"] = tuple(message.address_lines)
    if message.tax_codes:
        details["tax_codes"] = tuple(message.tax_codes)
    if message.metadata:
        details["metadata"] = dict(message.metadata)
    if message.HasField("invoice_grace_period_days"):
        details["invoice_grace_period_days"] = message.invoice_grace_period_days
    return details


def customer_to_pb(customer: Customer) -> pb.Customer:
    """The customer as it is."""
    return pb.Customer(
        id=customer.customer_id,
        external_id=customer.external_id,
        name=customer.name,
        email=customer.email,
        currency=customer.currency,
        timezone=customer.timezone,
        address_lines=customer.address_lines,
        country=customer.country,
        tax_identification_number=customer.tax_identification_number,
        invoice_grace_period_days=customer.invoice_grace_period_days,
        tax_codes=customer.tax_codes,
        metadata=customer.metadata,
        created_at=instant_to_pb(customer.created_at),
        updated_at=instant_to_pb(customer.updated_at),
        sequential_id=customer.sequential_id,
    )
