"""Charges, filters and entitlements of a plan, one by one: each change is one edit, applied under rating's lock."""

from __future__ import annotations

from typing import Any

import pytest
from lago_python_client.models.charge import ChargeFilterResponse, ChargeResponse

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1 import subscription_service_pb2
from farebox.rating.v1.charge_pb2 import Charge, ChargeModel
from farebox.rating.v1.plan_pb2 import Plan, PlanEntitlement
from farebox.rating.v1.subscription_pb2 import Subscription
from services.kernel import errors
from services.kernel.errors import FieldViolation
from tests.support.gateway import Gateway, new_gateway

VALUES = {"region": Charge.PropertyValues(values=["eu"])}
FILTER = Charge.FilteredPrice(id="f1", values=VALUES, model=ChargeModel(package=ChargeModel.Package()))
CHARGES = [
    Charge(
        id="c1", code="calls", metric_code="calls", model=ChargeModel(package=ChargeModel.Package()), filters=[FILTER]
    ),
    Charge(id="c2", code="seats", metric_code="seats", model=ChargeModel(standard=ChargeModel.Standard())),
]
PLAN = Plan(code="pro", version=2, charges=CHARGES)
BASE = "/api/v1/plans/pro/charges"


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("GetPlan", rpc.GetPlanResponse(plan=PLAN))
    gateway.services.on("EditPlan", rpc.EditPlanResponse(plan=PLAN, charge=CHARGES[0], filter=FILTER))
    held = Subscription(external_id="s1", plan_code="pro", plan_version=1)
    gateway.services.on("GetSubscription", subscription_service_pb2.GetSubscriptionResponse(subscription=held))
    return gateway


def edited(gateway: Gateway, method: str, path: str, **body: Any) -> rpc.EditPlanRequest:
    """The edit that a request becomes."""
    response = gateway.send(method, BASE + path, **({"json": body} if body else {}))
    assert response.status_code == 200, response.text
    edit: rpc.EditPlanRequest = gateway.services.requests("EditPlan")[-1]
    assert (edit.code, bool(edit.request_id)) == ("pro", True)
    return edit


def test_charges_and_filters_read_back(gateway: Gateway) -> None:
    """Each alone and all in a list, with the ids by which they are found."""
    listed = gateway.get(f"{BASE}?per_page=1").json()
    assert [ChargeResponse.parse_obj(charge).code for charge in listed["charges"]] == ["calls"]
    assert (listed["meta"]["total_count"], listed["meta"]["next_page"]) == (2, 2)
    assert gateway.get(f"{BASE}?per_page=1&page=2").json()["charges"][0]["code"] == "seats"
    assert gateway.get(f"{BASE}/seats").json()["charge"]["lago_id"] == "c2"
    (found,) = gateway.get(f"{BASE}/calls/filters").json()["filters"]
    assert found == gateway.get(f"{BASE}/calls/filters/f1").json()["filter"]
    assert ChargeFilterResponse.parse_obj(found).values == {"region": ["eu"]}
    for path in ("/none", "/none/filters", "/calls/filters/f2"):
        assert gateway.get(BASE + path).status_code == 404


def test_a_subscription_has_the_charges_of_its_version(gateway: Gateway) -> None:
    """Not those of the current one."""
    base = "/api/v1/subscriptions/s1/charges"
    assert [charge["code"] for charge in gateway.get(base).json()["charges"]] == ["calls", "seats"]
    assert gateway.get(f"{base}/calls/filters/f1").json()["filter"]["lago_id"] == "f1"
    assert {request.version for request in gateway.services.requests("GetPlan")} == {1}
    assert gateway.get(f"{base}?subscription_status=active").status_code == 422


def test_a_charge_is_added_changed_and_removed(gateway: Gateway) -> None:
    added = edited(
        gateway,
        "POST",
        "",
        charge={"billable_metric_id": "seats", "charge_model": "standard", "properties": {"amount": "2"}},
    )
    assert (added.add_charge.metric_code, added.add_charge.model.standard.unit_amount.value) == ("seats", "2")
    changed = edited(gateway, "PUT", "/calls", charge={"min_amount_cents": 100, "tax_codes": None})
    assert changed.change_charge.code == "calls"
    assert sorted(changed.change_charge.update_mask.paths) == ["min_amount_cents", "tax_codes"]
    assert gateway.services.requests("GetPlan") == [], "nothing is read for what is not asked"
    assert edited(gateway, "DELETE", "/calls").remove_charge == "calls"


def test_a_price_without_a_model_is_of_the_charges_model(gateway: Gateway) -> None:
    """Both of a charge and of its filters."""
    price = {"properties": {"amount": "3", "package_size": 10}}
    changed = edited(gateway, "PUT", "/calls", charge=price).change_charge
    assert changed.charge.model.package.package_amount == Decimal(value="3")
    assert sorted(changed.update_mask.paths) == ["group_by", "model"]
    added = edited(gateway, "POST", "/calls/filters", filter={"values": {"region": ["us"]}, **price}).add_filter
    assert (added.charge_code, added.filter.model.package.package_size.value) == ("calls", "10")
    changed_filter = edited(gateway, "PUT", "/calls/filters/f1", filter=price).change_filter
    assert (changed_filter.id, list(changed_filter.update_mask.paths)) == ("f1", ["model"])
    removed = edited(gateway, "DELETE", "/calls/filters/f1").remove_filter
    assert (removed.charge_code, removed.id) == ("calls", "f1")


UNLOCKED = [
    PlanEntitlement(feature_code="sso", kind=PlanEntitlement.KIND_GATE, enabled=True),
    PlanEntitlement(feature_code="calls", kind=PlanEntitlement.KIND_USAGE_LIMIT, metric_code="calls", hard=True),
]


def test_what_a_plan_unlocks_is_changed_feature_by_feature(gateway: Gateway) -> None:
    """All of it, some of it or one of it; Lago's privileges are the fields of a feature's type."""
    plan = Plan(code="pro", entitlements=UNLOCKED)
    gateway.services.on("GetPlan", rpc.GetPlanResponse(plan=plan))
    gateway.services.on("EditPlan", rpc.EditPlanResponse(plan=plan, entitlement=UNLOCKED[0]))
    base = "/api/v1/plans/pro/entitlements"
    listed = gateway.get(base).json()["entitlements"]
    assert [(unlocked["feature_code"], unlocked["type"]) for unlocked in listed] == [
        ("sso", "gate"),
        ("calls", "usage_limit"),
    ]
    assert gateway.get(f"{base}/calls").json()["entitlement"] == listed[1]
    assert gateway.get(f"{base}/none").status_code == 404

    body = {"entitlements": {"sso": {}, "calls": {"limit": 10, "metric_code": "calls", "reset_interval": "day"}}}
    for method, is_whole in (("POST", True), ("PATCH", False)):
        assert gateway.send(method, base, json=body).json()["entitlements"] == listed
        put = gateway.services.requests("EditPlan")[-1].put_entitlements
        assert (put.replace, [given.feature_code for given in put.entitlements]) == (is_whole, ["sso", "calls"])
        assert (put.entitlements[0].enabled, put.entitlements[1].limit.value) == (True, "10")
        assert put.entitlements[1].reset == PlanEntitlement.RESET_DAY
    assert gateway.send("DELETE", f"{base}/sso").json()["entitlement"] == listed[0]
    assert gateway.services.requests("EditPlan")[-1].remove_entitlement == "sso"

    wrong = gateway.send("PATCH", base, json={"entitlements": {"sso": {"limit": 1, "value": "x"}, "a": {"colour": 1}}})
    assert list(wrong.json()["error_details"]) == ["entitlements.a.colour"]
    wrong = gateway.send("PATCH", base, json={"entitlements": {"sso": {"limit": 1, "value": "x"}}})
    assert list(wrong.json()["error_details"]) == ["entitlements.sso.value"]


def test_names_in_refusals_are_the_callers(gateway: Gateway) -> None:
    """Without the place that the part has in the plan."""
    names = {
        "charge.model.package.package_amount": "properties.amount",
        "charge.filters[1].values": "filters[1].values",
        "charge.metric_code": "billable_metric_id",
        "filter.model.graduated.tiers[2].unit_amount": "properties.graduated_ranges[2].per_unit_amount",
        "filter.values": "values",
    }
    violations = [FieldViolation(field, "value_is_invalid", "no") for field in names]
    gateway.services.on("EditPlan", errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=violations))
    answer = gateway.send("PUT", f"{BASE}/calls", json={"charge": {"prorated": True}})
    assert list(answer.json()["error_details"]) == list(names.values())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"properties": {"rate": "1"}}, "properties.rate"),
        ({"cascade_updates": True}, "cascade_updates"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_a_charge_cannot_have_is_refused(gateway: Gateway, body: Any, field: str) -> None:
    answer = gateway.send("PUT", f"{BASE}/calls", json={"charge": body})
    assert (answer.status_code, list(answer.json()["error_details"])) == (422, [field])
    assert gateway.services.requests("EditPlan") == []
