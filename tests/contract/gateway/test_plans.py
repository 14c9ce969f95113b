"""Plans, their versions and migrations over REST."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.plan_pb2 import BillingInterval, Plan, PlanEntitlement
from services.kernel import errors
from services.kernel.errors import FieldViolation
from tests.support.gateway import PUBLISHABLE, Gateway, identity, new_gateway

MONTH = BillingInterval(unit=BillingInterval.UNIT_MONTH, count=1)
TERMS: dict[str, Any] = {"code": "pro", "interval": "monthly", "amount_cents": 2900, "amount_currency": "USD"}
CALLS = {"billable_metric_id": "calls", "charge_model": "standard", "properties": {"amount": "0.1"}}


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("CreatePlan", lambda request: rpc.CreatePlanResponse(plan=request.plan))
    gateway.services.on("UpdatePlan", lambda request: rpc.UpdatePlanResponse(plan=request.plan))
    return gateway


def made(gateway: Gateway, **fields: Any) -> tuple[Plan, Any]:
    """The plan that the service is told, and the answer."""
    response = gateway.post("/api/v1/plans", json={"plan": TERMS | fields})
    assert response.status_code == 200, response.text
    return gateway.services.requests("CreatePlan")[-1].plan, response.json()["plan"]


def refused(gateway: Gateway, **fields: Any) -> Any:
    response = gateway.post("/api/v1/plans", json={"plan": TERMS | fields})
    assert response.status_code == 422, response.text
    assert not gateway.services.requests("CreatePlan")
    return response.json()["error_details"]


def changed(gateway: Gateway, **fields: Any) -> tuple[Plan, list[str]]:
    """What the service is told of a change, and the names of what changes."""
    assert gateway.send("PUT", "/api/v1/plans/pro", json={"plan": fields}).is_success
    request = gateway.services.requests("UpdatePlan")[-1]
    assert request.code == "pro"
    return request.plan, sorted(request.update_mask.paths)


def test_a_plan_is_made_with_all_that_was_sent(gateway: Gateway) -> None:
    plan, answer = made(
        gateway,
        name="Pro",
        description="For teams",
        interval="quarterly",
        trial_period=14.0,
        pay_in_advance=True,
        bill_charges_monthly=True,
        bill_usage_in_trial=False,
        minimum_commitment={"amount_cents": 5000},
        net_payment_term=0,
        tax_codes=["vat"],
        charges=[CALLS, {**CALLS, "code": "second"}],
        entitlements=[{"feature_code": "sso"}, {"code": "calls", "limit": "100", "metric_code": "calls"}],
    )
    assert (plan.interval.unit, plan.interval.count) == (BillingInterval.UNIT_MONTH, 3)
    assert (plan.trial_days, plan.pay_in_advance, plan.bill_charges_monthly) == (14, True, True)
    assert (plan.bill_usage_in_trial, plan.HasField("net_payment_term_days")) == (False, True)
    assert (plan.minimum_commitment_cents, list(plan.tax_codes)) == (5000, ["vat"])
    assert [charge.code for charge in plan.charges] == ["", "second"], "the service names the first"
    assert [entitlement.limit.value for entitlement in plan.entitlements] == ["", "100"]
    assert (answer["interval"], answer["bill_usage_in_trial"], answer["net_payment_term"]) == ("quarterly", False, 0)
    assert answer["minimum_commitment"]["amount_cents"] == 5000
    assert "taxes" not in answer


def test_a_plan_says_what_it_costs(gateway: Gateway) -> None:
    """Without a price it would cost nothing, and a text is not a number of cents."""
    response = gateway.post("/api/v1/plans", json={"plan": {"name": "Pro"}})
    assert response.json()["error_details"] == {name: ["value_is_mandatory"] for name in TERMS}
    assert refused(gateway, amount_cents="29.00", trial_period=7.5) == {
        "amount_cents": ["invalid_format"],
        "trial_period": ["invalid_format"],
    }


@pytest.mark.parametrize(
    ("said", "unit", "count"),
    [
        ({"interval": "weekly"}, "WEEK", 1),
        ({"interval": "semiannual"}, "MONTH", 6),
        ({"interval": "yearly"}, "YEAR", 1),
        ({"interval": "monthly", "interval_unit": "month", "interval_count": 1}, "MONTH", 1),
        ({"interval": "custom", "interval_unit": "day", "interval_count": 10}, "DAY", 10),
        ({"interval": "custom", "interval_unit": "week"}, "WEEK", 1),
    ],
)
def test_an_interval_has_a_word_or_a_length(gateway: Gateway, said: Any, unit: str, count: int) -> None:
    plan, answer = made(gateway, **said)
    assert (BillingInterval.Unit.Name(plan.interval.unit), plan.interval.count) == (f"UNIT_{unit}", count)
    assert (answer["interval_unit"], answer["interval_count"]) == (unit.lower(), count)


@pytest.mark.parametrize(
    ("said", "details"),
    [
        ({"interval": "daily"}, {"interval": ["value_is_invalid"]}),
        ({"interval": "custom"}, {"interval_unit": ["value_is_mandatory"]}),
        ({"interval": "monthly", "interval_count": 3}, {"interval_unit": ["value_is_invalid"]}),
        ({"interval": "monthly", "interval_unit": "week"}, {"interval_unit": ["value_is_invalid"]}),
        ({"fixed_charges": [{}]}, {"fixed_charges": ["not_available"]}),
        ({"usage_thresholds": [{"amount_cents": 1}]}, {"usage_thresholds": ["not_available"]}),
        (
            {"minimum_commitment": {"amount_cents": 1, "tax_codes": ["vat"]}},
            {"minimum_commitment.tax_codes": ["not_available"]},
        ),
        ({"cascade_updates": True}, {"cascade_updates": ["not_available"]}),
        (
            {"charges": [CALLS, {"charge_model": "auction", "properties": {"amount": "x"}}]},
            {"charges[1].charge_model": ["value_is_invalid"], "charges[1].properties.amount": ["invalid_format"]},
        ),
    ],
)
def test_what_cannot_be_sold_so_is_refused_by_its_name(gateway: Gateway, said: Any, details: Any) -> None:
    assert refused(gateway, **said) == details


def test_a_change_says_only_what_it_names(gateway: Gateway) -> None:
    """The service applies it to what is there, under its lock."""
    assert changed(gateway, amount_cents=3900) == (Plan(amount_cents=3900), ["amount_cents"])
    assert changed(gateway, interval="yearly")[1] == ["interval"]
    assert changed(gateway, interval_unit="day", interval_count=3)[1] == ["interval"]
    plan, paths = changed(
        gateway, minimum_commitment=None, net_payment_term=None, charges=[], tax_codes=None, description=None
    )
    assert plan == Plan()
    assert paths == ["charges", "description", "minimum_commitment_cents", "net_payment_term_days", "tax_codes"]
    assert changed(gateway) == (Plan(), [])


def test_two_changes_at_once_do_not_undo_each_other(gateway: Gateway) -> None:
    """Each sends only its own fields, and neither reads the plan first."""
    put = ("PUT", "/api/v1/plans/pro")
    gateway.together((*put, {"json": {"plan": {"name": "B"}}}), (*put, {"json": {"plan": {"amount_cents": 1}}}))
    said = {tuple(request.update_mask.paths) for request in gateway.services.requests("UpdatePlan")}
    assert said == {("name",), ("amount_cents",)}
    assert {asked.method for asked in gateway.services.asked} <= {"AuthenticateApiKey", "UpdatePlan"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"feature_code": "a", "type": "gate", "limit": 1}, "limit"),
        ({"feature_code": "a", "type": "gate", "value": "x"}, "value"),
        ({"feature_code": "a", "metric_code": "m", "enabled": True}, "enabled"),
        ({"feature_code": "a", "value": "x", "reset_interval": "day"}, "reset_interval"),
        ({"feature_code": "a", "code": "b"}, "code"),
        ({"feature_code": "a", "metric_code": "m", "billable_metric_code": "n"}, "metric_code"),
    ],
)
def test_an_entitlement_says_nothing_beside_its_type(gateway: Gateway, body: Any, field: str) -> None:
    """Otherwise a gate with a limit would lose its limit in silence."""
    assert refused(gateway, entitlements=[body]) == {f"entitlements[0].{field}": ["value_is_invalid"]}


def test_an_entitlement_is_what_its_fields_make_it(gateway: Gateway) -> None:
    """By default gates are on and limits are hard; an answer can be sent back as it is."""
    bodies = [
        {"feature_code": "sso"},
        {"feature_code": "beta", "enabled": False},
        {"feature_code": "calls", "limit": 10, "billable_metric_code": "calls", "reset_interval": "never"},
        {"feature_code": "soft", "metric_code": "calls", "hard": False},
        {"feature_code": "region", "value": "eu"},
    ]
    plan, answer = made(gateway, entitlements=bodies)
    kinds = [PlanEntitlement.Kind.Name(entitlement.kind)[5:] for entitlement in plan.entitlements]
    assert kinds == ["GATE", "GATE", "USAGE_LIMIT", "USAGE_LIMIT", "CONFIGURATION"]
    assert [entitlement["enabled"] for entitlement in answer["entitlements"]] == [True, False, None, None, None]
    assert [entitlement["hard"] for entitlement in answer["entitlements"]] == [None, None, True, False, None]
    assert answer["entitlements"][2]["limit"] == 10
    assert made(gateway, entitlements=answer["entitlements"])[1]["entitlements"] == answer["entitlements"]


def test_names_in_refusals_are_the_callers(gateway: Gateway) -> None:
    """All of them at once, at any depth, with their indexes."""
    names = {
        "plan.charges[0].model.standard.unit_amount": "charges[0].properties.amount",
        "plan.charges[1].filters[2].values": "charges[1].filters[2].values",
        "plan.charges[3].metric_id": "charges[3].billable_metric_id",
        "plan.entitlements[1].reset": "entitlements[1].reset_interval",
        "plan.entitlements[0].kind": "entitlements[0].type",
        "plan.minimum_commitment_cents": "minimum_commitment.amount_cents",
        "plan.interval.unit": "interval",
        "plan.trial_days": "trial_period",
        "plan.tax_codes[0]": "tax_codes[0]",
    }
    violations = [FieldViolation(field, "value_is_invalid", "no") for field in names]
    gateway.services.on("CreatePlan", errors.InvalidArgumentError("FIELD_INVALID", "bad", violations=violations))
    answer = gateway.post("/api/v1/plans", json={"plan": TERMS})
    assert list(answer.json()["error_details"]) == list(names.values())


def test_one_version_of_a_plan_is_found(gateway: Gateway) -> None:
    gateway.services.on("GetPlan", rpc.GetPlanResponse(plan=Plan(code="pro", version=2, interval=MONTH)))
    assert gateway.get("/api/v1/plans/pro?version=2").json()["plan"]["version"] == 2
    gateway.get("/api/v1/plans/pro")
    assert [request.version for request in gateway.services.requests("GetPlan")] == [2, 0]
    assert gateway.get("/api/v1/plans/pro?version=0").status_code == 422


def test_a_browser_may_read_what_is_sold_and_nothing_else(gateway: Gateway) -> None:
    gateway.services.on("ListPlans", rpc.ListPlansResponse(plans=[Plan(code="pro")]))
    gateway.key = PUBLISHABLE
    assert gateway.get("/api/v1/plans").is_success
    assert gateway.get("/api/v1/plans/pro").status_code == 403
    assert gateway.get("/api/v1/plans/pro/versions").status_code == 403


def test_versions_are_told_oldest_first(gateway: Gateway) -> None:
    versions = [Plan(code="pro", version=2, current=True, amount_cents=2, currency="USD"), Plan(code="pro", version=1)]
    gateway.services.on("ListPlanVersions", rpc.ListPlanVersionsResponse(plans=versions))
    told = gateway.get("/api/v1/plans/pro/versions").json()["versions"]
    assert [(version["version"], version["is_current"]) for version in told] == [(1, False), (2, True)]


MOVES = rpc.MigratePlanVersionResponse(
    to_version=3,
    moves=[
        rpc.MigratePlanVersionResponse.Move(
            external_subscription_id="s1",
            effective_at=Timestamp(seconds=1706745600),
            current_amount_cents=2900,
            new_amount_cents=3900,
        ),
        rpc.MigratePlanVersionResponse.Move(external_subscription_id="s2", skip_reason="CHANGE_ALREADY_PENDING"),
    ],
)


def test_a_migration_is_previewed_and_done(gateway: Gateway) -> None:
    """A preview has no identity, so that the key stays free for the change itself."""
    gateway.services.on("MigratePlanVersion", MOVES)
    path, headers = "/api/v1/plans/pro/version-migrations", {"Idempotency-Key": "k"}
    preview = gateway.post(f"{path}/preview", json={"from_version": 1}, headers=headers).json()
    done = gateway.post(path, json={"from_version": 1, "to_version": 3}, headers=headers).json()
    first, second = gateway.services.requests("MigratePlanVersion")
    assert (first.request_id, first.validate_only, first.to_version) == ("", True, 0)
    assert (second.validate_only, second.to_version) == (False, 3)
    assert second.request_id == identity("/plans/{code}/version-migrations", "k")
    told = preview["plan_version_migration_preview"]
    assert (told["from_version"], told["to_version"], told["matched_count"], told["skipped_count"]) == (1, 3, 2, 1)
    assert told["items"][0] == {
        "external_subscription_id": "s1",
        "outcome": "move",
        "skip_reason": None,
        "effective_on": "2024-02-01",
        "current_amount_cents": 2900,
        "new_amount_cents": 3900,
    }
    assert (told["items"][1]["outcome"], told["items"][1]["effective_on"]) == ("skip", None)
    assert done["plan_version_migration"]["status"] == "succeeded"
    assert gateway.post(path, json={"to_version": 3}).json()["error_details"] == {
        "from_version": ["value_is_mandatory"]
    }


def test_what_a_plan_costs_is_exact(gateway: Gateway) -> None:
    """A price of 17 decimals survives the way in and out."""
    amount = "0.00000000000000001"
    plan, answer = made(gateway, charges=[{**CALLS, "properties": {"amount": amount}}])
    assert plan.charges[0].model.standard.unit_amount == Decimal(value=amount)
    assert answer["charges"][0]["properties"]["amount"] == amount
