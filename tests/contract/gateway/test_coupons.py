"""Coupons and applied coupons over REST."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.common.v1.money_pb2 import Money
from farebox.common.v1.page_pb2 import PageResponse
from farebox.rating.v1 import catalog_service_pb2, customer_service_pb2
from farebox.rating.v1.coupon_pb2 import AppliedCoupon, Coupon
from services.kernel import errors
from services.kernel.errors import FieldViolation
from tests.support.gateway import Gateway, new_gateway

FIVE = {"code": "c", "amount_cents": 500, "amount_currency": "USD"}
HELD = AppliedCoupon(
    id="a1",
    coupon=Coupon(
        id="c1",
        code="five",
        name="Five",
        amount=Money(amount_cents=500, currency="USD"),
        frequency=Coupon.FREQUENCY_RECURRING,
        frequency_duration=3,
        deleted_at=Timestamp(seconds=1706745600),
    ),
    external_customer_id="acme",
    customer_id="u1",
    state=AppliedCoupon.STATE_TERMINATED,
    remaining_duration=0,
    terminated_at=Timestamp(seconds=1706745600),
)


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    on = gateway.services.on
    on("CreateCoupon", lambda request: catalog_service_pb2.CreateCouponResponse(coupon=request.coupon))
    on("UpdateCoupon", lambda request: catalog_service_pb2.UpdateCouponResponse(coupon=request.coupon))
    on("ApplyCoupon", customer_service_pb2.ApplyCouponResponse(applied_coupon=HELD))
    page = PageResponse(total_size=1)
    on("ListAppliedCoupons", customer_service_pb2.ListAppliedCouponsResponse(applied_coupons=[HELD], page=page))
    on("TerminateAppliedCoupon", customer_service_pb2.TerminateAppliedCouponResponse(applied_coupon=HELD))
    return gateway


def made(gateway: Gateway, **fields: Any) -> tuple[Coupon, Any]:
    response = gateway.post("/api/v1/coupons", json={"coupon": fields})
    assert response.status_code == 200, response.text
    return gateway.services.requests("CreateCoupon")[-1].coupon, response.json()["coupon"]


def refused(gateway: Gateway, **fields: Any) -> Any:
    response = gateway.post("/api/v1/coupons", json={"coupon": fields})
    assert response.status_code == 422, response.text
    assert not gateway.services.requests("CreateCoupon")
    return response.json()["error_details"]


def test_a_coupon_of_an_amount_and_one_of_a_percentage(gateway: Gateway) -> None:
    """The answer shows which of the two it is; by default its frequency is `once`."""
    coupon, answer = made(gateway, **FIVE)
    assert (coupon.amount, coupon.frequency) == (Money(amount_cents=500, currency="USD"), Coupon.FREQUENCY_ONCE)
    assert (answer["coupon_type"], answer["amount_cents"], answer["percentage_rate"]) == ("fixed_amount", 500, None)
    coupon, answer = made(gateway, code="c", coupon_type="percentage", percentage_rate=10.5)
    assert coupon.rate_percent == Decimal(value="10.5")
    assert (answer["coupon_type"], answer["amount_cents"], answer["percentage_rate"]) == ("percentage", None, "10.5")


def test_a_percentage_has_no_currency(gateway: Gateway) -> None:
    """Lago's clients may send one with it, which has no meaning."""
    coupon, answer = made(gateway, code="c", percentage_rate=10, amount_currency="USD")
    assert (coupon.HasField("amount"), coupon.rate_percent.value) == (False, "10")
    assert answer["amount_currency"] is None


def test_a_coupon_is_made_with_all_that_was_sent(gateway: Gateway) -> None:
    coupon, answer = made(
        gateway,
        **FIVE,
        name="Five",
        description="For friends",
        reusable=False,
        frequency="recurring",
        frequency_duration=3,
        expiration="time_limit",
        expiration_at="2024-02-01T00:00:00Z",
        applies_to={"plan_codes": ["pro"], "billable_metric_codes": ["calls"]},
    )
    assert (coupon.description, coupon.reusable, coupon.frequency_duration) == ("For friends", False, 3)
    assert (coupon.expires_at.seconds, list(coupon.plan_codes), list(coupon.metric_codes)) == (
        1706745600,
        ["pro"],
        ["calls"],
    )
    assert (answer["reusable"], answer["expiration"], answer["limited_plans"]) == (False, "time_limit", True)
    assert answer["billable_metric_codes"] == ["calls"]


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({**FIVE, "percentage_rate": 10}, {"percentage_rate": ["value_is_invalid"]}),
        (
            {**FIVE, "coupon_type": "percentage"},
            {"amount_cents": ["value_is_invalid"], "percentage_rate": ["value_is_mandatory"]},
        ),
        ({"code": "c", "coupon_type": "percentage"}, {"percentage_rate": ["value_is_mandatory"]}),
        ({"code": "c", "coupon_type": "fixed_amount"}, {"amount_cents": ["value_is_mandatory"]}),
        (
            {"code": "c", "coupon_type": "fixed_amount", "percentage_rate": 1},
            {"percentage_rate": ["value_is_invalid"], "amount_cents": ["value_is_mandatory"]},
        ),
        ({**FIVE, "expiration": "time_limit"}, {"expiration_at": ["value_is_mandatory"]}),
        (
            {**FIVE, "expiration": "no_expiration", "expiration_at": "2024-01-01"},
            {"expiration_at": ["value_is_invalid"]},
        ),
        ({**FIVE, "applies_to": {"fees": ["a"]}}, {"applies_to.fees": ["unknown_field"]}),
        ({**FIVE, "amount_cents": "5"}, {"amount_cents": ["invalid_format"]}),
    ],
)
def test_a_coupon_that_contradicts_itself_is_refused(gateway: Gateway, fields: Any, details: Any) -> None:
    """If both an amount and a percentage were accepted, one would be dropped in silence."""
    assert refused(gateway, **fields) == details


@pytest.mark.parametrize(
    ("said", "paths"),
    [
        ({"name": "B"}, ["name"]),
        ({"amount_cents": 1, "amount_currency": "EUR"}, ["amount"]),
        ({"percentage_rate": "5"}, ["rate_percent"]),
        ({"expiration": "no_expiration"}, ["expires_at"]),
        ({"expiration": "time_limit", "expiration_at": "2024-01-01"}, ["expires_at"]),
        ({"applies_to": {"plan_codes": ["pro"]}}, ["plan_codes"]),
        ({"applies_to": None}, ["metric_codes", "plan_codes"]),
        ({"reusable": False, "frequency": "forever"}, ["frequency", "reusable"]),
    ],
)
def test_a_change_says_only_what_it_names(gateway: Gateway, said: Any, paths: list[str]) -> None:
    assert gateway.send("PUT", "/api/v1/coupons/c", json={"coupon": said}).is_success
    (request,) = gateway.services.requests("UpdateCoupon")
    assert (request.code, sorted(request.update_mask.paths)) == ("c", paths)


def test_a_coupon_is_given_on_terms_of_its_own(gateway: Gateway) -> None:
    """Every term that was agreed reaches the service; without one the coupon's own hold."""
    who = {"external_customer_id": "acme", "coupon_code": "five"}
    for terms in (
        {"amount_cents": 300, "amount_currency": "USD", "frequency": "recurring", "frequency_duration": 2},
        {"percentage_rate": 12.5},
        {},
    ):
        assert gateway.post("/api/v1/applied_coupons", json={"applied_coupon": who | terms}).is_success
    amount, rate, own = gateway.services.requests("ApplyCoupon")
    assert (amount.amount, amount.frequency) == (Money(amount_cents=300, currency="USD"), Coupon.FREQUENCY_RECURRING)
    assert (amount.frequency_duration, rate.rate_percent.value) == (2, "12.5")
    assert not own.HasField("amount")
    assert own.frequency == Coupon.FREQUENCY_UNSPECIFIED


def test_what_a_customer_holds_is_told_as_it_is(gateway: Gateway) -> None:
    """Whose it is, what is left and when it ended; nothing that is known is left empty."""
    (held,) = gateway.get("/api/v1/applied_coupons").json()["applied_coupons"]
    assert (held["lago_id"], held["lago_coupon_id"], held["lago_customer_id"]) == ("a1", "c1", "u1")
    assert (held["status"], held["frequency"], held["frequency_duration"]) == ("terminated", "recurring", 3)
    assert (held["frequency_duration_remaining"], held["amount_cents_remaining"]) == (0, None)
    assert held["terminated_at"] == held["coupon_deleted_at"] == "2024-02-01T00:00:00Z"


def test_lists_are_filtered_by_the_service(gateway: Gateway) -> None:
    gateway.get("/api/v1/applied_coupons?status=active&external_customer_id=acme&coupon_code[]=a&coupon_code[]=b")
    gateway.get("/api/v1/customers/acme/applied_coupons?status=terminated")
    first, second = gateway.services.requests("ListAppliedCoupons")
    assert (list(first.states), list(first.coupon_codes)) == ([AppliedCoupon.STATE_ACTIVE], ["a", "b"])
    assert (first.external_customer_id, second.external_customer_id) == ("acme", "acme")
    assert list(second.states) == [AppliedCoupon.STATE_TERMINATED]
    other = gateway.get("/api/v1/customers/acme/applied_coupons?external_customer_id=bob")
    assert other.json()["error_details"] == {"external_customer_id": ["unknown_field"]}


def test_a_coupon_is_taken_from_the_customer_of_the_path(gateway: Gateway) -> None:
    assert gateway.send("DELETE", "/api/v1/customers/acme/applied_coupons/a1").is_success
    (request,) = gateway.services.requests("TerminateAppliedCoupon")
    assert (request.applied_coupon_id, request.external_customer_id) == ("a1", "acme")


def test_names_in_refusals_are_the_callers(gateway: Gateway) -> None:
    names = {
        "coupon.amount.amount_cents": "amount_cents",
        "coupon.amount.currency": "amount_currency",
        "coupon.rate_percent": "percentage_rate",
        "coupon.plan_codes[1]": "applies_to.plan_codes[1]",
        "coupon.metric_codes[0]": "applies_to.billable_metric_codes[0]",
        "coupon.expires_at": "expiration_at",
    }
    violations = [FieldViolation(field, "value_is_invalid", "no") for field in names]
    error = errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=violations)
    gateway.services.on("CreateCoupon", error)
    assert list(gateway.post("/api/v1/coupons", json={"coupon": FIVE}).json()["error_details"]) == list(names.values())
    violations = [FieldViolation("rate_percent", "value_is_invalid", "no")]
    error = errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=violations)
    gateway.services.on("ApplyCoupon", error)
    body = {"applied_coupon": {"external_customer_id": "a", "coupon_code": "b", "percentage_rate": 1}}
    assert list(gateway.post("/api/v1/applied_coupons", json=body).json()["error_details"]) == ["percentage_rate"]
