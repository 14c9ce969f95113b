"""Partial changes: what a request names changes under the lock, and of two at once both take effect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from farebox.common.v1.money_pb2 import Money
from farebox.rating.v1 import catalog_service_pb2 as pb
from farebox.rating.v1 import customer_service_pb2, organization_service_pb2, subscription_service_pb2
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from farebox.rating.v1.charge_pb2 import Charge, ChargeModel
from farebox.rating.v1.coupon_pb2 import Coupon
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.metadata_pb2 import MetadataEdit
from farebox.rating.v1.organization_pb2 import Organization
from farebox.rating.v1.plan_pb2 import Plan, PlanEntitlement
from farebox.rating.v1.tax_pb2 import Tax
from services.chassis.rpc.errors import error_info, field_violations
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.server import Tenant, decimal, metric, plan, standard_charge


def update_plan(tenant: Tenant, code: str, body: Plan, *paths: str) -> Plan:
    """A plan after a partial change."""
    request = pb.UpdatePlanRequest(code=code, plan=body, update_mask=FieldMask(paths=paths))
    return tenant.call(tenant.rating.catalog.UpdatePlan, request).plan


def update_metric(tenant: Tenant, code: str, body: BillableMetric, *paths: str) -> BillableMetric:
    """A metric after a partial change."""
    request = pb.UpdateBillableMetricRequest(code=code, billable_metric=body, update_mask=FieldMask(paths=paths))
    return tenant.call(tenant.rating.catalog.UpdateBillableMetric, request).billable_metric


def update_tax(tenant: Tenant, code: str, body: Tax, *paths: str) -> Tax:
    """A tax after a partial change."""
    request = pb.UpdateTaxRequest(code=code, tax=body, update_mask=FieldMask(paths=paths))
    return tenant.call(tenant.rating.catalog.UpdateTax, request).tax


def update_coupon(tenant: Tenant, code: str, body: Coupon, *paths: str) -> Coupon:
    """A coupon after a partial change."""
    request = pb.UpdateCouponRequest(code=code, coupon=body, update_mask=FieldMask(paths=paths))
    return tenant.call(tenant.rating.catalog.UpdateCoupon, request).coupon


def update_customer(tenant: Tenant, body: Customer, *paths: str) -> Customer:
    """A customer after a partial change."""
    body.external_id = "alice"
    request = customer_service_pb2.UpsertCustomerRequest(customer=body, update_mask=FieldMask(paths=paths))
    return tenant.call(tenant.rating.customers.UpsertCustomer, request).customer


def update_organization(tenant: Tenant, body: Organization, *paths: str) -> Organization:
    """The organization after a partial change."""
    request = organization_service_pb2.UpdateOrganizationRequest(organization=body, update_mask=FieldMask(paths=paths))
    return tenant.call(tenant.rating.organizations.UpdateOrganization, request).organization


def edit_plan(tenant: Tenant, **edit: Any) -> pb.EditPlanResponse:
    """The plan `pro` after a change of one part."""
    return tenant.call(tenant.rating.catalog.EditPlan, pb.EditPlanRequest(code="pro", **edit))


def current_charge(tenant: Tenant) -> Charge:
    """The first charge of the plan `pro`."""
    return tenant.call(tenant.rating.catalog.GetPlan, pb.GetPlanRequest(code="pro")).plan.charges[0]


def gate(feature_code: str, *, enabled: bool = True) -> PlanEntitlement:
    """A gate that a plan unlocks."""
    return PlanEntitlement(feature_code=feature_code, kind=PlanEntitlement.KIND_GATE, enabled=enabled)


def priced_in(region: str, unit_amount: str) -> Charge.FilteredPrice:
    """A price for the events of a region."""
    values = {"region": Charge.PropertyValues(values=[region])}
    return Charge.FilteredPrice(values=values, model=standard_charge("", unit_amount).model)


def tax(code: str = "vat", rate: str = "20", **fields: Any) -> Tax:
    """A tax message."""
    return Tax(code=code, rate_percent=decimal(rate), **fields)


def make_tax(tenant: Tenant, code: str = "vat") -> Tax:
    """A tax that is created."""
    return tenant.call(tenant.rating.catalog.CreateTax, pb.CreateTaxRequest(tax=tax(code))).tax


def make_coupon(tenant: Tenant, code: str = "ten") -> Coupon:
    """A coupon that is created."""
    coupon = Coupon(code=code, frequency=Coupon.FREQUENCY_FOREVER, amount=Money(amount_cents=1000, currency="USD"))
    return tenant.call(tenant.rating.catalog.CreateCoupon, pb.CreateCouponRequest(coupon=coupon)).coupon


def subscribe(tenant: Tenant, plan_code: str) -> None:
    """Somebody subscribes, so that the plan is sold."""
    request = subscription_service_pb2.CreateSubscriptionRequest(external_customer_id="bob", plan_code=plan_code)
    tenant.call(tenant.rating.subscriptions.CreateSubscription, request)


def refused(call: Callable[[], object]) -> list[str]:
    """The fields that a refusal names."""
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return [violation.field for violation in field_violations(error.value)]


@contextmanager
def held(tenant: Tenant, table: str) -> Iterator[Callable[[int], None]]:
    """The organization's rows of a table, locked within the block; what is given waits until so many wait for them."""

    def wait_for(number: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        with tenant.rating.deps.db.worker_transaction() as looking:
            while True:
                waiting = looking.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one()
                if waiting >= number:
                    return
                assert time.monotonic() < deadline, f"{waiting} of {number} wait"

    with tenant.rating.deps.db.worker_transaction() as holding:
        where = "organization_id = %s"
        holding.exec_driver_sql(f"SELECT 1 FROM {table} WHERE {where} FOR UPDATE", (tenant.organization_id,))
        yield wait_for


def together(tenant: Tenant, table: str, calls: Sequence[Callable[[], object]]) -> None:
    """Calls of which each has begun before any can go on."""
    with ThreadPoolExecutor(len(calls)) as pool:
        with held(tenant, table) as wait_for:
            running = [pool.submit(call) for call in calls]
            wait_for(len(calls))
        for answer in running:
            answer.result()


@pytest.mark.parametrize("is_sold", [False, True], ids=["unsold", "sold"])
def test_two_changes_of_a_plan_both_take_effect(tenant: Tenant, *, is_sold: bool) -> None:
    """Also where each makes a version, so that the row which the second waits for is not the current one any more."""
    tenant.plan("pro")
    if is_sold:
        subscribe(tenant, "pro")
    together(
        tenant,
        "plans",
        [
            lambda: update_plan(tenant, "pro", Plan(name="Professional"), "name"),
            lambda: update_plan(tenant, "pro", Plan(amount_cents=4900), "amount_cents"),
            lambda: update_plan(tenant, "pro", Plan(trial_days=14), "trial_days"),
        ],
    )
    after = tenant.call(tenant.rating.catalog.GetPlan, pb.GetPlanRequest(code="pro")).plan
    assert (after.name, after.amount_cents, after.trial_days) == ("Professional", 4900, 14)
    # The first change makes a version that nobody has yet, so the others change that one.
    assert after.version == (2 if is_sold else 1)


@pytest.mark.parametrize("is_sold", [False, True], ids=["unsold", "sold"])
def test_two_edits_of_a_plans_charges_both_take_effect(tenant: Tenant, *, is_sold: bool) -> None:
    """Charges and entitlements that are added, changed and removed one by one, at the same time, by their codes."""
    tenant.metric("calls")
    prices = [standard_charge("calls", "1", code="old"), standard_charge("calls", "2", code="kept")]
    tenant.plan("pro", charges=prices)
    if is_sold:
        subscribe(tenant, "pro")
    priced = pb.EditPlanRequest.ChargeChange(
        code="kept", charge=standard_charge("calls", "9"), update_mask=FieldMask(paths=["model"])
    )
    together(
        tenant,
        "plans",
        [
            lambda: edit_plan(tenant, add_charge=standard_charge("calls", "3", code="new")),
            lambda: edit_plan(tenant, remove_charge="old"),
            lambda: edit_plan(tenant, change_charge=priced),
            lambda: update_plan(tenant, "pro", Plan(name="Professional"), "name"),
        ],
    )
    after = tenant.call(tenant.rating.catalog.GetPlan, pb.GetPlanRequest(code="pro")).plan
    told = {charge.code: charge.model.standard.unit_amount.value for charge in after.charges}
    assert (after.name, told) == ("Professional", {"kept": "9", "new": "3"})
    assert after.version == (2 if is_sold else 1)


def test_a_filter_keeps_its_id_over_all_versions(tenant: Tenant) -> None:
    """So that who listed the filters can change one after the other. With other values it is another filter."""
    tenant.metric("calls", filters=[BillableMetric.Filter(key="region", values=["eu", "us", "ap"])])
    tenant.plan("pro", charges=[standard_charge("calls", "1", filters=[priced_in("eu", "2"), priced_in("us", "3")])])
    subscribe(tenant, "pro")
    first, second = (price.id for price in current_charge(tenant).filters)

    change = pb.EditPlanRequest.FilterChange(
        charge_code="calls", id=first, filter=priced_in("eu", "5"), update_mask=FieldMask(paths=["model"])
    )
    changed = edit_plan(tenant, change_filter=change)
    assert (changed.plan.version, changed.filter.id) == (2, first)
    moved = pb.EditPlanRequest.FilterChange(
        charge_code="calls", id=second, filter=priced_in("ap", "3"), update_mask=FieldMask(paths=["values"])
    )
    assert edit_plan(tenant, change_filter=moved).filter.id not in {first, second}
    removal = pb.EditPlanRequest.FilterRemoval(charge_code="calls", id=first)
    assert edit_plan(tenant, remove_filter=removal).filter.model.standard.unit_amount.value == "5"
    assert [list(price.values["region"].values) for price in current_charge(tenant).filters] == [["ap"]]


def test_what_a_plan_unlocks_is_put_feature_by_feature(tenant: Tenant) -> None:
    """Others stay, unless the whole is replaced; what is put twice the same makes no version."""
    tenant.plan("pro", entitlements=[gate("sso"), gate("beta")])
    subscribe(tenant, "pro")
    off = gate("beta", enabled=False)
    put = pb.EditPlanRequest.EntitlementsChange(entitlements=[off, gate("export")])
    for _ in range(2):
        merged = edit_plan(tenant, put_entitlements=put).plan
        assert (merged.version, list(merged.entitlements)) == (2, [gate("sso"), off, gate("export")])
    whole = pb.EditPlanRequest.EntitlementsChange(entitlements=[gate("export")], replace=True)
    assert list(edit_plan(tenant, put_entitlements=whole).plan.entitlements) == [gate("export")]
    assert edit_plan(tenant, remove_entitlement="export").entitlement == gate("export")


def test_metadata_of_a_plan_is_no_term_of_it(tenant: Tenant) -> None:
    """It changes in place, key by key, also where somebody has the plan; the next version has it too."""
    tenant.plan("pro", metadata={"team": "red"})
    subscribe(tenant, "pro")
    together(
        tenant,
        "plans",
        [
            lambda: edit_plan(tenant, edit_metadata=MetadataEdit(entries={"a": "1"})),
            lambda: edit_plan(tenant, edit_metadata=MetadataEdit(entries={"b": "2"}, remove=["team", "none"])),
        ],
    )
    changed = update_plan(tenant, "pro", Plan(name="Professional"), "name")
    assert (changed.version, dict(changed.metadata)) == (2, {"a": "1", "b": "2"})
    whole = edit_plan(tenant, edit_metadata=MetadataEdit(entries={"c": "3"}, replace=True)).plan
    assert (whole.version, dict(whole.metadata)) == (2, {"c": "3"})
    long = MetadataEdit(entries={"k": "x" * 501})
    assert refused(lambda: edit_plan(tenant, edit_metadata=long)) == ["plan.metadata.k"]


def test_a_part_of_a_plan_is_checked_as_in_a_whole_one(tenant: Tenant) -> None:
    """Refusals name it as the request does, and what is not there is not found."""
    tenant.metric("calls", filters=[BillableMetric.Filter(key="region", values=["eu"])])
    tenant.plan("pro", charges=[standard_charge("calls", "1", filters=[priced_in("eu", "2")])])
    assert refused(lambda: edit_plan(tenant, add_charge=standard_charge("none", "1"))) == ["charge.metric_code"]
    assert refused(lambda: edit_plan(tenant, add_charge=standard_charge("calls", "1", code="calls"))) == ["charge.code"]
    assert refused(lambda: edit_plan(tenant, add_charge=standard_charge("calls", "-1"))) == [
        "charge.model.standard.unit_amount"
    ]
    for price, field in ((priced_in("eu", "3"), "filter.values"), (priced_in("mars", "3"), "filter.values")):
        addition = pb.EditPlanRequest.FilterAddition(charge_code="calls", filter=price)
        assert refused(lambda addition=addition: edit_plan(tenant, add_filter=addition)) == [field]  # type: ignore[misc]
    dynamic = Charge(model=ChargeModel(dynamic=ChargeModel.Dynamic()))
    change = pb.EditPlanRequest.ChargeChange(code="calls", charge=dynamic, update_mask=FieldMask(paths=["model"]))
    assert refused(lambda: edit_plan(tenant, change_charge=change)) == ["charge.filters"]
    limit = PlanEntitlement(feature_code="sso", kind=PlanEntitlement.KIND_USAGE_LIMIT, metric_code="none")
    put = pb.EditPlanRequest.EntitlementsChange(entitlements=[limit])
    assert refused(lambda: edit_plan(tenant, put_entitlements=put)) == ["entitlements.sso.metric_code"]
    assert refused(lambda: edit_plan(tenant)) == ["edit"]
    for edit, reason in (
        ({"remove_charge": "none"}, "CHARGE_UNKNOWN"),
        ({"remove_filter": pb.EditPlanRequest.FilterRemoval(charge_code="calls", id="x")}, "CHARGE_FILTER_UNKNOWN"),
        ({"remove_entitlement": "none"}, "ENTITLEMENT_UNKNOWN"),
    ):
        with pytest.raises(grpc.RpcError) as error:
            edit_plan(tenant, **edit)
        assert error_info(error.value)[0] == reason


def test_two_changes_of_a_metric_both_take_effect(tenant: Tenant) -> None:
    """Each makes a version."""
    tenant.metric("calls")
    together(
        tenant,
        "billable_metrics",
        [
            lambda: update_metric(tenant, "calls", BillableMetric(name="Calls"), "name"),
            lambda: update_metric(tenant, "calls", BillableMetric(description="Of the API"), "description"),
        ],
    )
    found = tenant.call(tenant.rating.catalog.GetBillableMetric, pb.GetBillableMetricRequest(code="calls"))
    after = found.billable_metric
    assert (after.name, after.description, after.version) == ("Calls", "Of the API", 3)


def test_two_changes_of_a_tax_both_take_effect(tenant: Tenant) -> None:
    """Neither undoes the other."""
    make_tax(tenant)
    together(
        tenant,
        "taxes",
        [
            lambda: update_tax(tenant, "vat", Tax(rate_percent=decimal("21")), "rate_percent"),
            lambda: update_tax(tenant, "vat", Tax(applied_to_organization=True), "applied_to_organization"),
        ],
    )
    after = tenant.call(tenant.rating.catalog.GetTax, pb.GetTaxRequest(code="vat")).tax
    assert (after.rate_percent.value, after.applied_to_organization) == ("21", True)


def test_two_changes_of_a_coupon_both_take_effect(tenant: Tenant) -> None:
    """Neither undoes the other."""
    make_coupon(tenant)
    together(
        tenant,
        "coupons",
        [
            lambda: update_coupon(tenant, "ten", Coupon(name="Ten off"), "name"),
            lambda: update_coupon(tenant, "ten", Coupon(rate_percent=decimal("10")), "rate_percent"),
        ],
    )
    after = tenant.call(tenant.rating.catalog.GetCoupon, pb.GetCouponRequest(code="ten")).coupon
    assert (after.name, after.rate_percent.value, after.HasField("amount")) == ("Ten off", "10", False)


def test_two_changes_of_a_customer_both_take_effect(tenant: Tenant) -> None:
    """Neither undoes the other."""
    update_customer(tenant, Customer(name="Alice"), "name")
    together(
        tenant,
        "customers",
        [
            lambda: update_customer(tenant, Customer(email="alice@example.org"), "email"),
            lambda: update_customer(tenant, Customer(net_payment_term_days=30), "net_payment_term_days"),
        ],
    )
    request = customer_service_pb2.GetCustomerRequest(external_id="alice")
    after = tenant.call(tenant.rating.customers.GetCustomer, request).customer
    assert (after.name, after.email, after.net_payment_term_days) == ("Alice", "alice@example.org", 30)


def test_two_changes_of_an_organization_both_take_effect(tenant: Tenant) -> None:
    """Neither undoes the other."""
    together(
        tenant,
        "organizations",
        [
            lambda: update_organization(tenant, Organization(net_payment_term_days=14), "net_payment_term_days"),
            lambda: update_organization(tenant, Organization(invoice_prefix="ACME"), "invoice_prefix"),
        ],
    )
    request = organization_service_pb2.GetOrganizationRequest()
    after = tenant.call(tenant.rating.organizations.GetOrganization, request).organization
    assert (after.net_payment_term_days, after.invoice_prefix) == (14, "ACME")


def test_a_plan_keeps_what_a_change_does_not_name(tenant: Tenant) -> None:
    """With its charges, which keep their identity."""
    tenant.metric("calls")
    before = tenant.plan("pro", charges=[standard_charge("calls", "0.5")], description="For teams")
    after = update_plan(tenant, "pro", Plan(name="Professional"), "name")
    before.name = "Professional"
    assert after == before


def test_a_changed_plan_keeps_the_charges_that_it_has_by_code(tenant: Tenant) -> None:
    """A charge stays the same one as long as its code exists, even if its price changes."""
    tenant.metric("calls")
    before = tenant.plan("pro", charges=[standard_charge("calls", "0.5"), standard_charge("calls", "1", code="other")])
    body = Plan(charges=[standard_charge("calls", "2", code="other"), standard_charge("calls", "3", code="new")])
    after = update_plan(tenant, "pro", body, "charges")
    assert after.charges[0].id == before.charges[1].id
    assert after.charges[1].id not in {charge.id for charge in before.charges}


@pytest.mark.parametrize("mask", [None, FieldMask(paths=["code", "amount_cents"])], ids=["whole", "part"])
def test_a_request_for_one_plan_does_not_touch_another(tenant: Tenant, mask: FieldMask | None) -> None:
    """`PUT /plans/a` with `code: b`: the plan is named beside the body, and a body with another code is refused."""
    before = [tenant.plan("a"), tenant.plan("b")]
    request = pb.UpdatePlanRequest(code="a", plan=plan("b", amount_cents=1), update_mask=mask)
    assert refused(lambda: tenant.call(tenant.rating.catalog.UpdatePlan, request)) == ["plan.code"]
    assert list(tenant.call(tenant.rating.catalog.ListPlans, pb.ListPlansRequest()).plans) == before


def test_a_request_for_one_metric_does_not_touch_another(tenant: Tenant) -> None:
    """As for plans."""
    before = [tenant.metric("a"), tenant.metric("b")]
    request = pb.UpdateBillableMetricRequest(code="a", billable_metric=metric("b", name="B"))
    update = tenant.rating.catalog.UpdateBillableMetric
    assert refused(lambda: tenant.call(update, request)) == ["billable_metric.code"]
    listed = tenant.call(tenant.rating.catalog.ListBillableMetrics, pb.ListBillableMetricsRequest())
    assert list(listed.billable_metrics) == before


def test_creating_never_changes(tenant: Tenant) -> None:
    """`POST /taxes` with a known code is refused, and the rate stays."""
    made = make_tax(tenant)
    request = pb.CreateTaxRequest(tax=tax("vat", "5"))
    with pytest.raises(grpc.RpcError) as error:
        tenant.call(tenant.rating.catalog.CreateTax, request)
    assert (error.value.code(), error_info(error.value)[0]) == (grpc.StatusCode.ALREADY_EXISTS, "TAX_EXISTS")
    assert tenant.call(tenant.rating.catalog.GetTax, pb.GetTaxRequest(code="vat")).tax == made


def test_paths_that_are_unknown_or_given_are_refused_by_name(tenant: Tenant) -> None:
    """All of them at once."""
    tenant.plan("pro")
    found = refused(lambda: update_plan(tenant, "pro", Plan(), "colour", "version", "interval.count", "code"))
    assert found == ["plan.colour", "plan.version", "plan.interval.count", "plan.code"]


def test_a_partial_change_is_checked_as_a_whole(tenant: Tenant) -> None:
    """The result must be a valid plan: a mandatory field cannot be emptied, and the rest is not lost."""
    before = tenant.plan("pro")
    assert refused(lambda: update_plan(tenant, "pro", Plan(), "amount_cents", "name")) == [
        "plan.name",
        "plan.amount_cents",
    ]
    assert tenant.call(tenant.rating.catalog.GetPlan, pb.GetPlanRequest(code="pro")).plan == before


def test_a_customer_can_take_anything_back(tenant: Tenant) -> None:
    """Null and empty lists reach what was set."""
    make_tax(tenant)
    whole = Customer(
        name="Alice",
        email="alice@example.org",
        timezone="Europe/Paris",
        address_lines=["1 rue X"],
        country="FR",
        tax_identification_number="FR1",
        invoice_grace_period_days=3,
        tax_codes=["vat"],
        metadata={"team": "red"},
        net_payment_term_days=30,
    )
    details = [field.name for field, _ in whole.ListFields()]
    made = update_customer(tenant, whole, *details)
    assert (made.tax_codes, made.net_payment_term_days) == (["vat"], 30)
    emptied = update_customer(tenant, Customer(), *details)
    given = {"id", "external_id", "created_at", "updated_at", "sequential_id"}
    assert {field.name for field, _ in emptied.ListFields()} == given


def test_a_customers_currency_is_not_taken_back(tenant: Tenant) -> None:
    """The currency in which it was billed stays, whatever is requested."""
    update_customer(tenant, Customer(currency="EUR"), "currency")
    with pytest.raises(grpc.RpcError) as error:
        update_customer(tenant, Customer(), "currency")
    assert error_info(error.value)[0] == "CURRENCY_FIXED"


def test_organization_settings_go_back_to_their_defaults(tenant: Tenant) -> None:
    """A named setting that is not set is as at the beginning; grace and payment terms may be zero again."""
    request = organization_service_pb2.GetOrganizationRequest()
    before = tenant.call(tenant.rating.organizations.GetOrganization, request).organization
    changed = Organization(
        default_currency="EUR",
        timezone="Europe/Paris",
        invoice_grace_period_days=3,
        duplicate_events=Organization.DUPLICATE_EVENTS_REJECT,
        late_events=Organization.LATE_EVENTS_IGNORE,
        invoice_prefix="ACME",
        net_payment_term_days=30,
    )
    names = [field.name for field, _ in changed.ListFields()]
    after = update_organization(tenant, changed, *names)
    assert {name: getattr(after, name) for name in names} == {name: getattr(changed, name) for name in names}
    assert update_organization(tenant, Organization(), *names) == before
    assert refused(lambda: update_organization(tenant, Organization(), "name")) == ["organization.name"]
    assert refused(lambda: update_organization(tenant, Organization(), "test_mode")) == ["organization.test_mode"]
