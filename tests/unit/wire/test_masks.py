"""Partial changes: what a mask names changes, and nothing else."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.common.v1.money_pb2 import Money
from farebox.rating.v1.catalog_service_pb2 import UpdateCouponRequest, UpdatePlanRequest
from farebox.rating.v1.charge_pb2 import Charge
from farebox.rating.v1.coupon_pb2 import Coupon
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.customer_service_pb2 import UpsertCustomerRequest
from farebox.rating.v1.plan_pb2 import BillingInterval, Plan
from services.kernel.errors import InvalidArgumentError
from services.wire.masks import MAX_PATHS, named_code, patched

MONTH = BillingInterval(unit=BillingInterval.UNIT_MONTH, count=1)
PLAN = Plan(
    id="p1",
    code="pro",
    name="Pro",
    interval=MONTH,
    amount_cents=2900,
    charges=[Charge(metric_code="calls"), Charge(metric_code="tokens")],
    tax_codes=["vat"],
    bill_usage_in_trial=False,
)


def changed(body: Plan, *paths: str) -> Plan:
    """The plan with what a request names."""
    request = UpdatePlanRequest(plan=body, update_mask=FieldMask(paths=paths))
    return patched(PLAN, request, "plan", given=("id", "version"))


def refused(body: Plan, mask: FieldMask | None) -> list[tuple[str, str]]:
    """Fields and descriptions of a refusal."""
    request = UpdatePlanRequest(plan=body, update_mask=mask)
    with pytest.raises(InvalidArgumentError) as error:
        patched(PLAN, request, "plan", given=("id", "version"))
    return [(violation.field, violation.description) for violation in error.value.violations]


def test_only_named_fields_change() -> None:
    """A field of the body that the mask does not name is not read, whatever it holds."""
    after = changed(Plan(name="Professional", amount_cents=1), "name")
    before = Plan()
    before.CopyFrom(PLAN)
    before.name = "Professional"
    assert after == before


def test_lists_and_messages_are_replaced_whole() -> None:
    """Nothing of the list or message that was there is left."""
    after = changed(Plan(charges=[Charge(metric_code="seats")], interval={"count": 3}), "charges", "interval")
    assert [charge.metric_code for charge in after.charges] == ["seats"]
    assert after.interval == BillingInterval(count=3)


@pytest.mark.parametrize("path", ["charges", "interval", "tax_codes", "name", "amount_cents", "bill_usage_in_trial"])
def test_a_named_field_that_is_not_set_is_emptied(path: str) -> None:
    """This is how `tax_codes: []` and null empty a field; its presence goes, too."""
    after = changed(Plan(), path)
    assert path not in {field.name for field, _ in after.ListFields()}
    assert {field.name for field, _ in after.ListFields()} == {field.name for field, _ in PLAN.ListFields()} - {path}


def test_a_map_is_replaced_whole() -> None:
    """Keys that the body does not hold are gone."""
    before = Customer(external_id="c", metadata={"a": "1", "b": "2"})
    body = Customer(metadata={"b": "3"})
    request = UpsertCustomerRequest(customer=body, update_mask=FieldMask(paths=["metadata"]))
    after = patched(before, request, "customer", key="external_id")
    assert dict(after.metadata) == {"b": "3"}


@pytest.mark.parametrize("paths", [["amount", "rate_percent"], ["rate_percent", "amount"], ["rate_percent"]])
def test_one_of_several_is_exchanged(paths: list[str]) -> None:
    """A percentage takes the place of an amount, in whatever order the mask names them."""
    before = Coupon(code="ten", amount=Money(amount_cents=1000, currency="USD"))
    body = Coupon(rate_percent=Decimal(value="10"))
    after = patched(before, UpdateCouponRequest(coupon=body, update_mask=FieldMask(paths=paths)), "coupon")
    assert after == Coupon(code="ten", rate_percent=Decimal(value="10"))


def test_without_a_mask_the_whole_content_is_replaced() -> None:
    """What was there and is not in the body is gone; only the key stays."""
    assert changed_whole(Plan(name="New")) == Plan(code="pro", name="New")
    assert changed_whole(Plan(code="pro", name="New")) == Plan(code="pro", name="New")


def changed_whole(body: Plan) -> Plan:
    """The plan with a body that replaces it."""
    return patched(PLAN, UpdatePlanRequest(plan=body), "plan")


def test_the_code_beside_the_body_decides() -> None:
    """The body's own counts only where the request names none."""
    assert named_code(UpdatePlanRequest(code="a", plan=Plan(code="b")), "plan") == "a"
    assert named_code(UpdatePlanRequest(plan=Plan(code="b")), "plan") == "b"


def test_an_empty_mask_changes_nothing() -> None:
    """A mask that names no field is not the same as no mask."""
    assert changed(Plan(name="Other", code="other")) == PLAN


def test_codes_never_change() -> None:
    """Another code in the body is refused, with a mask that names it and without one; the same one may be repeated."""
    wrong = [("plan.code", "stays 'pro': it never changes")]
    assert refused(Plan(code="other"), FieldMask(paths=["code"])) == wrong
    assert refused(Plan(), FieldMask(paths=["code"])) == wrong
    assert refused(Plan(code="other"), None) == wrong
    assert changed(Plan(code="pro", name="New"), "code", "name").name == "New"


def test_every_wrong_path_is_named() -> None:
    """Unknown names, parts of messages and what Farebox gives are all refused at once."""
    found = refused(Plan(), FieldMask(paths=["colour", "name", "interval.count", "version", "code"]))
    assert [field for field, _ in found] == ["plan.colour", "plan.interval.count", "plan.version", "plan.code"]


def test_a_mask_is_bounded() -> None:
    """Nobody names more fields than any message has."""
    assert refused(Plan(), FieldMask(paths=["name"] * (MAX_PATHS + 1))) == [
        ("update_mask", f"has at most {MAX_PATHS} paths")
    ]
