"""Taxes and coupons: found however many there are, withdrawn, given on other terms, and taken away."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from farebox.common.v1.money_pb2 import Money
from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import catalog_service_pb2 as pb
from farebox.rating.v1 import customer_service_pb2 as customer_pb
from farebox.rating.v1.coupon_pb2 import AppliedCoupon, Coupon
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.tax_pb2 import Tax
from services.chassis.rpc.errors import error_info, field_violations
from tests.support.rating.server import Tenant, decimal, standard_charge

# More than a page holds, so that code that lists and filters would not find them all.
MANY = 1500


def coupon(code: str, **fields: Any) -> Coupon:
    """A coupon of ten dollars on every invoice unless said otherwise."""
    ten = Money(amount_cents=1000, currency="USD")
    return Coupon(**{"code": code, "frequency": Coupon.FREQUENCY_FOREVER, "amount": ten, **fields})


def make_coupon(tenant: Tenant, code: str = "ten", **fields: Any) -> Coupon:
    """A coupon that is created."""
    request = pb.CreateCouponRequest(coupon=coupon(code, **fields))
    return tenant.call(tenant.rating.catalog.CreateCoupon, request).coupon


def make_tax(tenant: Tenant, code: str = "vat", **fields: Any) -> Tax:
    """A tax that is created."""
    tax = Tax(code=code, rate_percent=decimal("20"), **fields)
    return tenant.call(tenant.rating.catalog.CreateTax, pb.CreateTaxRequest(tax=tax)).tax


def make_customer(tenant: Tenant, external_id: str = "alice", **fields: Any) -> Customer:
    """A customer that is created."""
    request = customer_pb.UpsertCustomerRequest(customer=Customer(external_id=external_id, **fields))
    return tenant.call(tenant.rating.customers.UpsertCustomer, request).customer


def apply(tenant: Tenant, code: str = "ten", customer: str = "alice", **terms: Any) -> AppliedCoupon:
    """A coupon that a customer holds."""
    request = customer_pb.ApplyCouponRequest(external_customer_id=customer, coupon_code=code, **terms)
    return tenant.call(tenant.rating.customers.ApplyCoupon, request).applied_coupon


def applied(tenant: Tenant, **filters: Any) -> list[str]:
    """Ids of applied coupons in a list."""
    request = customer_pb.ListAppliedCouponsRequest(**filters)
    return [applied.id for applied in tenant.call(tenant.rating.customers.ListAppliedCoupons, request).applied_coupons]


def reason(call: Any, *args: Any, **fields: Any) -> str:
    """The reason of a refusal."""
    with pytest.raises(grpc.RpcError) as error:
        call(*args, **fields)
    return error_info(error.value)[0]


def test_each_of_many_taxes_and_coupons_is_found(tenant: Tenant) -> None:
    """Number 1,001 and all after it, by one call each, and counted."""
    codes = [f"code-{number:04}" for number in range(MANY)]
    for code in codes:
        make_tax(tenant, code)
        make_coupon(tenant, code)
    catalog = tenant.rating.catalog
    for code in (codes[0], codes[1000], codes[-1]):
        assert tenant.call(catalog.GetTax, pb.GetTaxRequest(code=code)).tax.code == code
        assert tenant.call(catalog.GetCoupon, pb.GetCouponRequest(code=code)).coupon.code == code
    page = PageRequest(page_size=2, skip=1200, with_total=True)
    taxes = tenant.call(catalog.ListTaxes, pb.ListTaxesRequest(page=page))
    assert ([tax.code for tax in taxes.taxes], taxes.page.total_size) == (codes[1200:1202], MANY)
    wanted = [codes[-1], codes[7], "unknown"]
    coupons = tenant.call(catalog.ListCoupons, pb.ListCouponsRequest(codes=wanted, page=PageRequest(with_total=True)))
    assert ([coupon.code for coupon in coupons.coupons], coupons.page.total_size) == ([codes[7], codes[-1]], 2)


def test_a_list_is_counted_only_where_asked(tenant: Tenant) -> None:
    """Counting costs as much as the page."""
    make_tax(tenant)
    answer = tenant.call(tenant.rating.catalog.ListTaxes, pb.ListTaxesRequest())
    assert not answer.page.HasField("total_size")


def test_a_list_names_a_bounded_number(tenant: Tenant) -> None:
    """One more is refused."""
    request = pb.ListTaxesRequest(codes=[str(number) for number in range(1001)])
    with pytest.raises(grpc.RpcError) as error:
        tenant.call(tenant.rating.catalog.ListTaxes, request)
    assert [violation.field for violation in field_violations(error.value)] == ["codes"]


def test_a_removed_tax_is_named_nowhere(tenant: Tenant) -> None:
    """Plans, charges and customers go without; everything else of them stays."""
    make_tax(tenant)
    make_tax(tenant, "city")
    tenant.metric("calls")
    charge = standard_charge("calls", "1", tax_codes=["vat", "city"])
    before = tenant.plan("pro", tax_codes=["vat"], charges=[charge])
    untouched = tenant.plan("other", tax_codes=["city"])
    make_customer(tenant, tax_codes=["city", "vat"])
    removed = tenant.call(tenant.rating.catalog.DeleteTax, pb.DeleteTaxRequest(code="vat")).tax
    assert removed.code == "vat"
    assert reason(tenant.call, tenant.rating.catalog.GetTax, pb.GetTaxRequest(code="vat")) == "TAX_UNKNOWN"
    before.ClearField("tax_codes")
    before.charges[0].tax_codes[:] = ["city"]
    assert tenant.call(tenant.rating.catalog.GetPlan, pb.GetPlanRequest(code="pro")).plan == before
    assert tenant.call(tenant.rating.catalog.GetPlan, pb.GetPlanRequest(code="other")).plan == untouched
    customer = customer_pb.GetCustomerRequest(external_id="alice")
    assert tenant.call(tenant.rating.customers.GetCustomer, customer).customer.tax_codes == ["city"]


def test_a_withdrawn_coupon_is_given_to_nobody_and_kept_by_who_holds_it(tenant: Tenant) -> None:
    """Its code is free for another."""
    make_customer(tenant)
    first = make_coupon(tenant)
    held = apply(tenant)
    gone = tenant.call(tenant.rating.catalog.DeleteCoupon, pb.DeleteCouponRequest(code="ten")).coupon
    assert (gone.id, gone.HasField("deleted_at")) == (first.id, True)
    assert reason(tenant.call, tenant.rating.catalog.GetCoupon, pb.GetCouponRequest(code="ten")) == "COUPON_UNKNOWN"
    make_customer(tenant, "bob")
    assert reason(apply, tenant, customer="bob") == "COUPON_UNKNOWN"
    (kept,) = tenant.call(
        tenant.rating.customers.ListAppliedCoupons, customer_pb.ListAppliedCouponsRequest()
    ).applied_coupons
    assert (kept.id, kept.state) == (held.id, AppliedCoupon.STATE_ACTIVE)
    assert make_coupon(tenant).id != first.id


def test_a_changed_coupon_leaves_what_customers_hold(tenant: Tenant) -> None:
    """What was given stays as it was given; only the name is the coupon's own."""
    make_customer(tenant)
    make_coupon(tenant)
    held = apply(tenant)
    body = Coupon(name="Now a rate", rate_percent=decimal("5"), frequency=Coupon.FREQUENCY_ONCE, plan_codes=[])
    mask = FieldMask(paths=["name", "rate_percent", "frequency"])
    request = pb.UpdateCouponRequest(code="ten", coupon=body, update_mask=mask)
    changed = tenant.call(tenant.rating.catalog.UpdateCoupon, request).coupon
    assert (changed.rate_percent.value, changed.frequency) == ("5", Coupon.FREQUENCY_ONCE)
    (kept,) = tenant.call(
        tenant.rating.customers.ListAppliedCoupons, customer_pb.ListAppliedCouponsRequest()
    ).applied_coupons
    held.coupon.name = "Now a rate"
    assert kept == held


def test_a_coupon_may_be_given_on_other_terms(tenant: Tenant) -> None:
    """Percentage, frequency and duration, each for one customer."""
    make_customer(tenant)
    make_coupon(tenant, "rate", amount=None, rate_percent=decimal("10"))
    given = apply(
        tenant,
        "rate",
        rate_percent=decimal("25"),
        frequency=Coupon.FREQUENCY_RECURRING,
        frequency_duration=3,
    )
    assert given.coupon.rate_percent.value == "25"
    assert (given.coupon.frequency, given.coupon.frequency_duration, given.remaining_duration) == (
        Coupon.FREQUENCY_RECURRING,
        3,
        3,
    )


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        ({"rate_percent": decimal("10")}, ["rate_percent"]),
        ({"amount": Money(amount_cents=1, currency="EUR")}, ["amount"]),
        ({"amount": Money(amount_cents=0, currency="USD")}, ["amount.amount_cents"]),
        ({"frequency": Coupon.FREQUENCY_RECURRING}, ["frequency_duration"]),
    ],
)
def test_terms_that_do_not_fit_are_refused_by_name(tenant: Tenant, terms: dict[str, Any], fields: list[str]) -> None:
    """A fixed amount stays one, in its currency; a recurring coupon needs an end."""
    make_customer(tenant)
    make_coupon(tenant)
    with pytest.raises(grpc.RpcError) as error:
        apply(tenant, **terms)
    assert [violation.field for violation in field_violations(error.value)] == fields


@pytest.mark.parametrize("is_reusable", [True, False])
def test_a_coupon_is_given_again_where_it_is_reusable(tenant: Tenant, *, is_reusable: bool) -> None:
    """Never twice at a time; after its end only where it is reusable."""
    make_customer(tenant)
    make_coupon(tenant, reusable=is_reusable)
    held = apply(tenant)
    assert reason(apply, tenant) == "COUPON_ALREADY_APPLIED"
    end = customer_pb.TerminateAppliedCouponRequest(applied_coupon_id=held.id)
    tenant.call(tenant.rating.customers.TerminateAppliedCoupon, end)
    if is_reusable:
        assert apply(tenant).id != held.id
    else:
        assert reason(apply, tenant) == "COUPON_NOT_REUSABLE"
        assert applied(tenant, states=[AppliedCoupon.STATE_ACTIVE]) == []


def test_a_coupon_is_taken_from_the_named_customer_only(tenant: Tenant) -> None:
    """A request for bob does not end what alice holds."""
    make_customer(tenant)
    make_customer(tenant, "bob")
    make_coupon(tenant)
    held = apply(tenant)
    end = customer_pb.TerminateAppliedCouponRequest(applied_coupon_id=held.id, external_customer_id="bob")
    assert reason(tenant.call, tenant.rating.customers.TerminateAppliedCoupon, end) == "APPLIED_COUPON_UNKNOWN"
    assert applied(tenant, states=[AppliedCoupon.STATE_ACTIVE]) == [held.id]
    end.external_customer_id = "alice"
    ended = tenant.call(tenant.rating.customers.TerminateAppliedCoupon, end).applied_coupon
    assert (ended.state, ended.HasField("terminated_at")) == (AppliedCoupon.STATE_TERMINATED, True)


def test_applied_coupons_are_listed_by_customer_state_and_coupon(tenant: Tenant) -> None:
    """Every filter that is set must hold."""
    for customer in ("alice", "bob"):
        make_customer(tenant, customer)
    for code in ("ten", "five"):
        make_coupon(tenant, code)
    alice, bob, five = apply(tenant).id, apply(tenant, customer="bob").id, apply(tenant, "five").id
    end = customer_pb.TerminateAppliedCouponRequest(applied_coupon_id=alice)
    tenant.call(tenant.rating.customers.TerminateAppliedCoupon, end)
    assert applied(tenant) == [five, bob, alice]
    assert applied(tenant, states=[AppliedCoupon.STATE_ACTIVE]) == [five, bob]
    assert applied(tenant, states=[AppliedCoupon.STATE_TERMINATED]) == [alice]
    assert applied(tenant, coupon_codes=["ten"], external_customer_id="alice") == [alice]
    assert applied(tenant, coupon_codes=["five", "unknown"]) == [five]


def test_a_coupon_is_limited_to_what_exists(tenant: Tenant) -> None:
    """A coupon for a plan that nobody sells would never reduce anything."""
    with pytest.raises(grpc.RpcError) as error:
        make_coupon(tenant, plan_codes=["none"], metric_codes=["nothing"])
    assert [violation.field for violation in field_violations(error.value)] == [
        "coupon.plan_codes[0]",
        "coupon.metric_codes[0]",
    ]
