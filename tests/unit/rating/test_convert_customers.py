"""Customers and subscriptions on the wire: round trips and refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from farebox.rating.v1 import customer_pb2, customer_service_pb2, subscription_service_pb2
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import CustomerId
from services.rating.agreements.convert import new_subscription_from_pb, resolution_from_pb, timing_from_pb
from services.rating.customers.convert import customer_to_pb, details_from_pb
from services.rating.customers.customer import Customer
from services.wire.values import instant_to_pb

AT = datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)


def refusal(call: Any, *args: Any) -> tuple[str, str]:
    with pytest.raises(InvalidArgumentError) as refused:
        call(*args)
    (violation,) = refused.value.violations
    return violation.field, violation.reason


def test_a_customer_there_and_back() -> None:
    wanted = customer_pb2.Customer(
        id="c",
        external_id="alice",
        name="Alice",
        email="alice@example.org",
        currency="EUR",
        timezone="Europe/Paris",
        address_lines=["1 rue X", "Paris"],
        country="FR",
        tax_identification_number="FR1",
        invoice_grace_period_days=0,
        tax_codes=["vat"],
        metadata={"team": "red"},
        created_at=instant_to_pb(AT),
        updated_at=instant_to_pb(AT),
        sequential_id=7,
        net_payment_term_days=30,
    )
    blank = Customer(CustomerId("c"), "alice", 7, AT, AT)
    made = replace(blank, **details_from_pb(customer_service_pb2.UpsertCustomerRequest(customer=wanted), blank))
    assert customer_to_pb(made) == wanted


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"email": "nobody"}, ("email", "invalid_format")),
        ({"currency": "usd"}, ("currency", "value_is_invalid")),
        ({"timezone": "Nowhere"}, ("timezone", "value_is_invalid")),
        ({"country": "france"}, ("country", "value_is_invalid")),
        ({"name": "\x00"}, ("name", "invalid_format")),
        ({"address_lines": ("x",) * 7}, ("address_lines", "value_is_invalid")),
        ({"metadata": {str(n): "" for n in range(51)}}, ("metadata", "value_is_invalid")),
        ({"metadata": {"k": "x" * 501}}, ("metadata.k", "value_is_too_long")),
        ({"invoice_grace_period_days": 93}, ("invoice_grace_period_days", "value_is_invalid")),
    ],
)
def test_customer_refusals_name_the_field(details: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refusal(lambda: Customer(CustomerId("c"), "alice", 1, AT, AT, **details)) == expected


def test_unknown_words_are_refused() -> None:
    request = subscription_service_pb2.CreateSubscriptionRequest(
        external_customer_id="alice", plan_code="pro", billing_time=99
    )
    assert refusal(new_subscription_from_pb, request)[0] == "billing_time"
    assert refusal(timing_from_pb, 99)[0] == "timing"
    assert refusal(resolution_from_pb, 99)[0] == "credit_action"
