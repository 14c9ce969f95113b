"""Metrics, coupons and taxes on the wire: round trips and refusals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from farebox.common.v1 import decimal_pb2, money_pb2
from farebox.rating.v1 import billable_metric_pb2, coupon_pb2, tax_pb2
from services.kernel.errors import InvalidArgumentError
from services.rating.catalog.convert.coupons import coupon_from_pb, coupon_to_pb
from services.rating.catalog.convert.metrics import metric_from_pb, metric_to_pb
from services.rating.catalog.convert.taxes import tax_from_pb
from services.wire.values import instant_to_pb

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


@pytest.mark.parametrize("aggregation", [aggregation for aggregation in Metric.Aggregation.values() if aggregation])
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
    wanted = coupon(
        plan_codes=["pro"],
        metric_codes=["m"],
        expires_at=instant_to_pb(AT),
        description="For friends",
        reusable=False,
    )
    again = coupon_to_pb(coupon_from_pb(wanted))
    again.ClearField("created_at")
    assert again == wanted


def test_a_coupon_may_be_given_again_unless_said_otherwise() -> None:
    """As Lago has it."""
    assert coupon_from_pb(coupon()).is_reusable
    assert not coupon_from_pb(coupon(reusable=False)).is_reusable


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"code": ""}, ("coupon.code", "value_is_mandatory")),
        ({"frequency": 0}, ("coupon.frequency", "value_is_mandatory")),
        ({"amount": None}, ("coupon.amount.amount_cents", "value_is_invalid")),
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
