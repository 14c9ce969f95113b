"""Metrics, coupons, customers and instants on the wire: round trips and refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1 import decimal_pb2, money_pb2, page_pb2
from farebox.rating.v1 import billable_metric_pb2, coupon_pb2, customer_pb2, subscription_service_pb2, tax_pb2
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import CustomerId
from services.rating.agreements.convert import new_subscription_from_pb, resolution_from_pb, timing_from_pb
from services.rating.catalog.convert.coupons import coupon_from_pb, coupon_to_pb, tax_from_pb
from services.rating.catalog.convert.metrics import metric_from_pb, metric_to_pb
from services.rating.customers.convert import customer_to_pb, details_from_pb
from services.rating.customers.customer import Customer
from services.wire.values import instant_from_pb, instant_to_pb, page_from_pb

Metric = billable_metric_pb2.BillableMetric
AT = datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)


def metric(**fields: Any) -> Metric:
    return Metric(**{"code": "m", "name": "M", "aggregation": Metric.AGGREGATION_COUNT, **fields})


def coupon(**fields: Any) -> coupon_pb2.Coupon:
    amount = money_pb2.Money(amount_cents=500, currency="USD")
    return coupon_pb2.Coupon(
        **{"code": "c", "name": "C", "amount": amount, "frequency": coupon_pb2.Coupon.FREQUENCY_ONCE, **fields}
    )


def refusal(call: Any, *args: Any) -> tuple[str, str]:
    with pytest.raises(InvalidArgumentError) as refused:
        call(*args)
    (violation,) = refused.value.violations
    return violation.field, violation.reason


@pytest.mark.parametrize("aggregation", [each for each in Metric.Aggregation.values() if each])
def test_every_aggregation_there_and_back(aggregation: int) -> None:
    again = metric_to_pb(metric_from_pb(metric(aggregation=aggregation, field_name="x")))
    assert (again.aggregation, again.field_name) == (aggregation, "x")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"code": ""}, ("billable_metric.code", "value_is_mandatory")),
        ({"name": ""}, ("billable_metric.name", "value_is_mandatory")),
        ({"aggregation": 0}, ("billable_metric.aggregation", "value_is_mandatory")),
        ({"aggregation": 99}, ("billable_metric.aggregation", "value_is_invalid")),
        ({"aggregation": Metric.AGGREGATION_SUM}, ("billable_metric.field_name", "value_is_mandatory")),
        ({"recurring": True}, ("billable_metric.recurring", "value_is_invalid")),
        (
            {"rounding": Metric.ROUNDING_CEIL, "rounding_precision": 99},
            ("billable_metric.rounding_precision", "value_is_out_of_range"),
        ),
        ({"filters": [Metric.Filter(key="model")]}, ("billable_metric.filters[0].values", "value_is_invalid")),
        (
            {"filters": [Metric.Filter(key="k", values=["a"]), Metric.Filter(key="k", values=["b"])]},
            ("billable_metric.filters", "value_already_exist"),
        ),
    ],
)
def test_metric_refusals_name_the_field(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refusal(metric_from_pb, metric(**fields)) == expected


def test_a_coupon_there_and_back() -> None:
    wanted = coupon(plan_codes=["pro"], metric_codes=["m"], expires_at=instant_to_pb(AT))
    again = coupon_to_pb(coupon_from_pb(wanted))
    again.ClearField("created_at")
    assert again == wanted


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"code": ""}, ("coupon.code", "value_is_mandatory")),
        ({"frequency": 0}, ("coupon.frequency", "value_is_mandatory")),
        ({"amount": None}, ("coupon.amount_cents", "value_is_invalid")),
        (
            {"amount": money_pb2.Money(amount_cents=0, currency="USD")},
            ("coupon.amount.amount_cents", "value_is_out_of_range"),
        ),
        (
            {"frequency": coupon_pb2.Coupon.FREQUENCY_RECURRING},
            ("coupon.frequency_duration", "value_is_mandatory"),
        ),
        (
            {"frequency": coupon_pb2.Coupon.FREQUENCY_RECURRING, "frequency_duration": 1000},
            ("coupon.frequency_duration", "value_is_invalid"),
        ),
        (
            {"amount": None, "rate_percent": decimal_pb2.Decimal(value="101")},
            ("coupon.rate_percent", "value_is_out_of_range"),
        ),
    ],
)
def test_coupon_refusals_name_the_field(fields: dict[str, Any], expected: tuple[str, str]) -> None:
    assert refusal(coupon_from_pb, coupon(**fields)) == expected


def test_a_tax_takes_no_more_than_there_is() -> None:
    tax = tax_pb2.Tax(code="vat", rate_percent=decimal_pb2.Decimal(value="100.1"))
    assert refusal(tax_from_pb, tax) == ("tax.rate_percent", "value_is_out_of_range")
    assert refusal(tax_from_pb, tax_pb2.Tax(code="vat")) == ("tax.rate_percent", "value_is_mandatory")


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
    )
    made = Customer(CustomerId("c"), "alice", 7, AT, AT, **details_from_pb(wanted))
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


def test_instants_keep_microseconds() -> None:
    message = instant_to_pb(AT)
    assert message is not None
    assert instant_from_pb(message, "at") == AT


@pytest.mark.parametrize("message", [Timestamp(seconds=-1), Timestamp(seconds=2**40), Timestamp(nanos=-5)])
def test_impossible_instants_are_refused(message: Timestamp) -> None:
    assert refusal(instant_from_pb, message, "to") == ("to", "value_is_invalid")


def test_unknown_words_are_refused() -> None:
    request = subscription_service_pb2.CreateSubscriptionRequest(
        external_customer_id="alice", plan_code="pro", billing_time=99
    )
    assert refusal(new_subscription_from_pb, request)[0] == "billing_time"
    assert refusal(timing_from_pb, 99)[0] == "timing"
    assert refusal(resolution_from_pb, 99)[0] == "credit_action"


def test_a_page_is_bounded() -> None:
    assert refusal(page_from_pb, page_pb2.PageRequest(page_size=1001))[0] == "page.page_size"
