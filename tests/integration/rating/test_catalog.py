"""Metrics, plans with their versions, taxes and coupons."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from farebox.rating.v1 import (
    billable_metric_pb2,
    coupon_pb2,
    customer_pb2,
    customer_service_pb2,
    domain_events_pb2,
    plan_pb2,
    subscription_service_pb2,
    tax_pb2,
)
from farebox.rating.v1 import (
    catalog_service_pb2 as pb,
)
from services.chassis.config import Settings
from services.chassis.rpc.errors import error_info, field_violations
from tests.support.rating.server import Tenant, decimal, metric, plan, running_rating, standard_charge


def subscribe(tenant: Tenant, plan_code: str, external_id: str = "sub-1") -> None:
    request = subscription_service_pb2.CreateSubscriptionRequest(
        external_customer_id="alice", plan_code=plan_code, external_id=external_id
    )
    tenant.call(tenant.rating.subscriptions.CreateSubscription, request)


def update_plan(tenant: Tenant, **fields: object) -> plan_pb2.Plan:
    return tenant.call(tenant.rating.catalog.UpdatePlan, pb.UpdatePlanRequest(plan=plan(**fields))).plan


def test_a_metric_is_what_was_asked_for(tenant: Tenant) -> None:
    filters = [billable_metric_pb2.BillableMetric.Filter(key="model", values=["gpt-4o", "haiku"])]
    wanted = metric(
        "llm_tokens",
        aggregation=billable_metric_pb2.BillableMetric.AGGREGATION_SUM,
        field_name="tokens",
        rounding=billable_metric_pb2.BillableMetric.ROUNDING_CEIL,
        rounding_precision=2,
        filters=filters,
        recurring=True,
    )
    made = tenant.call(
        tenant.rating.catalog.CreateBillableMetric, pb.CreateBillableMetricRequest(billable_metric=wanted)
    ).billable_metric
    found = tenant.call(
        tenant.rating.catalog.GetBillableMetric, pb.GetBillableMetricRequest(code="llm_tokens")
    ).billable_metric
    assert made == found
    found.ClearField("id")
    found.ClearField("created_at")
    found.ClearField("version")
    assert found == wanted


def test_a_metric_changes_as_versions_and_is_removed(tenant: Tenant) -> None:
    made = tenant.metric("api_call")
    request = pb.UpdateBillableMetricRequest(billable_metric=metric("api_call", name="API calls"))
    changed = tenant.call(tenant.rating.catalog.UpdateBillableMetric, request).billable_metric
    again = tenant.call(tenant.rating.catalog.UpdateBillableMetric, request).billable_metric
    assert (changed.id, changed.version, changed.name) == (made.id, 2, "API calls")
    assert again == changed
    tenant.call(tenant.rating.catalog.DeleteBillableMetric, pb.DeleteBillableMetricRequest(code="api_call"))
    events = [
        domain_events_pb2.BillableMetricChanged.FromString(body)
        for body in tenant.rating.announced("rating.catalog.metric_changed")
    ]
    assert [(event.billable_metric.version, event.deleted) for event in events] == [(1, False), (2, False), (2, True)]
    assert tenant.metric("api_call").version == 1


def test_a_metric_that_a_plan_charges_for_stays(tenant: Tenant) -> None:
    tenant.metric("api_call")
    tenant.plan("pro", charges=[standard_charge("api_call", "0.01")])
    with pytest.raises(grpc.RpcError) as refused:
        tenant.call(tenant.rating.catalog.DeleteBillableMetric, pb.DeleteBillableMetricRequest(code="api_call"))
    assert error_info(refused.value)[0] == "BILLABLE_METRIC_CHARGED"


def test_a_code_is_taken_once(tenant: Tenant) -> None:
    """Ten calls at once: one makes it, nine are told."""

    def create(_: int) -> grpc.StatusCode | None:
        try:
            tenant.metric("api_call")
        except grpc.RpcError as error:
            return error.code()
        return None

    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(create, range(10)))
    assert outcomes.count(None) == 1
    assert outcomes.count(grpc.StatusCode.ALREADY_EXISTS) == 9


def test_an_unsold_plan_changes_in_place(tenant: Tenant) -> None:
    made = tenant.plan("pro")
    changed = update_plan(tenant, code="pro", amount_cents=5000)
    assert (changed.id, changed.version, changed.amount_cents) == (made.id, 1, 5000)


def test_a_sold_plan_makes_the_next_version_and_subscribers_keep_theirs(tenant: Tenant) -> None:
    tenant.metric("api_call")
    made = tenant.plan("pro", charges=[standard_charge("api_call", "0.01")])
    subscribe(tenant, "pro")
    changed = update_plan(tenant, code="pro", charges=[standard_charge("api_call", "0.02")])
    assert (changed.version, changed.current, changed.id != made.id) == (2, True, True)
    versions = tenant.call(tenant.rating.catalog.ListPlanVersions, pb.ListPlanVersionsRequest(code="pro")).plans
    assert [(version.version, version.current, version.active_subscription_count) for version in versions] == [
        (2, True, 0),
        (1, False, 1),
    ]
    assert versions[1].charges == made.charges
    first = tenant.call(tenant.rating.catalog.GetPlan, pb.GetPlanRequest(code="pro", version=1)).plan
    assert first.charges[0].model.standard.unit_amount.value == "0.01"
    request = subscription_service_pb2.GetSubscriptionRequest(external_id="sub-1")
    kept = tenant.call(tenant.rating.subscriptions.GetSubscription, request).subscription
    assert (kept.plan_version, kept.plan_id) == (1, made.id)


def test_saying_the_same_again_is_no_version(tenant: Tenant) -> None:
    tenant.metric("api_call")
    charges = [standard_charge("api_call", "0.01")]
    made = tenant.plan("pro", charges=charges)
    subscribe(tenant, "pro")
    same = update_plan(tenant, code="pro", charges=charges)
    assert (same.version, same.id, same.charges) == (1, made.id, made.charges)


def test_a_withdrawn_plan_is_not_sold_and_its_code_comes_back(tenant: Tenant) -> None:
    tenant.plan("pro")
    subscribe(tenant, "pro")
    gone = tenant.call(tenant.rating.catalog.DeletePlan, pb.DeletePlanRequest(code="pro")).plan
    assert gone.HasField("deleted_at")
    with pytest.raises(grpc.RpcError) as refused:
        subscribe(tenant, "pro", "sub-2")
    assert error_info(refused.value)[0] == "PLAN_UNKNOWN"
    assert tenant.plan("pro").version == 2


def test_plans_are_listed_by_code_in_pages(tenant: Tenant) -> None:
    for code in ("b", "a", "c"):
        tenant.plan(code)
    request = pb.ListPlansRequest()
    request.page.page_size = 2
    first = tenant.call(tenant.rating.catalog.ListPlans, request)
    request.page.page_token = first.page.next_page_token
    rest = tenant.call(tenant.rating.catalog.ListPlans, request)
    assert [plan.code for plan in (*first.plans, *rest.plans)] == ["a", "b", "c"]


def test_unknown_references_name_their_field(tenant: Tenant) -> None:
    tenant.metric("api_call")
    charges = [standard_charge("api_call", "1"), standard_charge("nothing", "1")]
    entitlement = plan_pb2.PlanEntitlement(
        feature_code="calls", kind=plan_pb2.PlanEntitlement.KIND_USAGE_LIMIT, metric_code="nothing"
    )
    for fields, field in (
        ({"charges": charges}, "plan.charges[1].metric_code"),
        ({"entitlements": [entitlement]}, "plan.entitlements[0].metric_code"),
        ({"tax_codes": ["vat"]}, "plan.tax_codes[0]"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            tenant.plan("pro", **fields)
        assert [violation.field for violation in field_violations(refused.value)] == [field]


def test_a_plan_names_features_that_exist(settings_for: Callable[[str], Settings]) -> None:
    """Each unknown one is named by its place; one that the plan named before may have been removed since."""
    known, asked = {"sso", "calls"}, []

    def known_features(_: str, codes: Collection[str]) -> set[str]:
        asked.append(sorted(codes))
        return known & set(codes)

    def gates(*codes: str) -> list[plan_pb2.PlanEntitlement]:
        return [
            plan_pb2.PlanEntitlement(feature_code=code, kind=plan_pb2.PlanEntitlement.KIND_GATE, enabled=True)
            for code in codes
        ]

    with running_rating(settings_for("rating"), known_features=known_features) as rating:
        tenant = rating.tenant()
        with pytest.raises(grpc.RpcError) as refused:
            tenant.plan("pro", entitlements=gates("ssso", "calls", "export"))
        assert [violation.field for violation in field_violations(refused.value)] == [
            "plan.entitlements[0].feature_code",
            "plan.entitlements[2].feature_code",
        ]
        tenant.plan("pro", entitlements=gates("sso", "calls"))
        known.remove("sso")
        update_plan(tenant, code="pro", entitlements=gates("sso", "calls"), amount_cents=1)
        assert asked == [["calls", "export", "ssso"], ["calls", "sso"]]


def test_migration_promises_the_new_version_from_the_next_period(tenant: Tenant) -> None:
    """The preview says what the migration then does; a second run finds nothing left."""
    tenant.plan("pro")
    tenant.plan("basic", amount_cents=1000)
    for name in ("sub-1", "sub-2"):
        subscribe(tenant, "pro", name)
    down = subscription_service_pb2.ChangeSubscriptionPlanRequest(external_id="sub-2", plan_code="basic")
    tenant.call(tenant.rating.subscriptions.ChangeSubscriptionPlan, down)
    update_plan(tenant, code="pro", amount_cents=4000)
    request = pb.MigratePlanVersionRequest(code="pro", from_version=1, validate_only=True)
    preview = tenant.call(tenant.rating.catalog.MigratePlanVersion, request)
    request.validate_only = False
    done = tenant.call(tenant.rating.catalog.MigratePlanVersion, request)
    assert preview == done
    assert [(move.external_subscription_id, move.skip_reason) for move in done.moves] == [
        ("sub-1", ""),
        ("sub-2", "CHANGE_ALREADY_PENDING"),
    ]
    assert (done.moves[0].current_amount_cents, done.moves[0].new_amount_cents) == (3000, 4000)
    assert done.moves[0].effective_at.ToJsonString() == "2024-02-01T00:00:00Z"
    again = tenant.call(tenant.rating.catalog.MigratePlanVersion, request)
    assert [move.external_subscription_id for move in again.moves] == ["sub-2"]


def test_a_tax_is_kept_by_its_code(tenant: Tenant) -> None:
    first = pb.UpsertTaxRequest(tax=tax_pb2.Tax(code="vat", name="VAT", rate_percent=decimal("20")))
    made = tenant.call(tenant.rating.catalog.UpsertTax, first).tax
    first.tax.rate_percent.value = "21"
    changed = tenant.call(tenant.rating.catalog.UpsertTax, first).tax
    assert (changed.id, changed.rate_percent.value) == (made.id, "21")
    assert list(tenant.call(tenant.rating.catalog.ListTaxes, pb.ListTaxesRequest()).taxes) == [changed]


def test_a_coupon_is_given_once_and_taken_away(tenant: Tenant) -> None:
    customer = customer_pb2.Customer(external_id="alice", currency="USD")
    upsert = customer_service_pb2.UpsertCustomerRequest(customer=customer)
    tenant.call(tenant.rating.customers.UpsertCustomer, upsert)
    coupon = coupon_pb2.Coupon(code="ten", frequency=coupon_pb2.Coupon.FREQUENCY_ONCE)
    coupon.amount.amount_cents, coupon.amount.currency = 1000, "USD"
    made = tenant.call(tenant.rating.catalog.CreateCoupon, pb.CreateCouponRequest(coupon=coupon)).coupon
    apply = customer_service_pb2.ApplyCouponRequest(external_customer_id="alice", coupon_code="ten")
    apply.amount.amount_cents, apply.amount.currency = 500, "USD"
    given = tenant.call(tenant.rating.customers.ApplyCoupon, apply).applied_coupon
    assert (given.remaining_amount_cents, given.coupon.id) == (500, made.id)
    with pytest.raises(grpc.RpcError) as refused:
        tenant.call(tenant.rating.customers.ApplyCoupon, apply)
    assert error_info(refused.value)[0] == "COUPON_ALREADY_APPLIED"
    end = customer_service_pb2.TerminateAppliedCouponRequest(applied_coupon_id=given.id)
    ended = tenant.call(tenant.rating.customers.TerminateAppliedCoupon, end).applied_coupon
    assert ended.state == coupon_pb2.AppliedCoupon.STATE_TERMINATED
    listed = tenant.call(tenant.rating.customers.ListAppliedCoupons, customer_service_pb2.ListAppliedCouponsRequest())
    assert list(listed.applied_coupons) == [ended]
