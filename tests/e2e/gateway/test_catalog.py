"""What is sold and to whom, with the unmodified clients against running services."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from lago_python_client.client import Client
from lago_python_client.exceptions import LagoApiError
from lago_python_client.models import (
    AppliedCoupon,
    BillableMetric,
    Charge,
    Charges,
    Coupon,
    Customer,
    LimitationConfiguration,
    MinimumCommitment,
    Organization,
    Plan,
    Subscription,
    Tax,
)
from lago_python_client.models.customer import CustomerBillingConfiguration
from nozle import Nozle

from farebox.testing import Farebox, Rest
from services.chassis.wait import wait_until
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def lago(farebox: Farebox) -> Client:
    client = Client(api_key=farebox.secret_key, api_url=farebox.url)
    for code in ("calls", "tokens"):
        client.billable_metrics.create(BillableMetric(name=code, code=code, aggregation_type="count_agg"))
    client.taxes.create(Tax(name="VAT", code="vat", rate="20"))
    return client


def price(code: str, amount: str, **terms: Any) -> Charge:
    return Charge(billable_metric_id=code, charge_model="standard", properties={"amount": amount}, **terms)


def plan(code: str, **terms: Any) -> Plan:
    return Plan(name=code, code=code, interval="monthly", amount_currency="USD", **{"amount_cents": 1000, **terms})


def refusal(farebox: Farebox, method: str, path: str, body: Any) -> Any:
    """The refusal of a request, with what is wrong by field."""
    headers = {"Authorization": f"Bearer {farebox.secret_key}"}
    response = httpx.request(method, f"{farebox.url}/api/v1{path}", json=body, headers=headers)
    assert response.status_code >= 400, response.text
    return response.json()


def test_a_plan_is_kept_with_all_its_terms(lago: Client) -> None:
    """What is created is found, and a change leaves what it does not name."""
    charges = [price("calls", "0.10", tax_codes=["vat"], min_amount_cents=500), price("calls", "0.20")]
    made = lago.plans.create(
        plan(
            "pro",
            trial_period=14,
            pay_in_advance=True,
            tax_codes=["vat"],
            minimum_commitment=MinimumCommitment(amount_cents=5000),
            charges=Charges(__root__=charges),
        )
    )
    first, second = made.charges.__root__
    assert (first.code, second.code) == ("calls", "calls_2"), "two charges on one metric are told apart"
    assert first.lago_billable_metric_id == lago.billable_metrics.find("calls").lago_id
    changed = lago.plans.update(Plan(description="For teams"), "pro")
    assert changed == lago.plans.find("pro")
    assert (changed.trial_period, changed.minimum_commitment.amount_cents) == (14, 5000)
    assert [charge.lago_id for charge in changed.charges.__root__] == [first.lago_id, second.lago_id]
    assert lago.plans.update(Plan(charges=Charges(__root__=[])), "pro").charges.__root__ == []


def test_two_changes_at_once_both_take_effect(lago: Client) -> None:
    """Neither of two callers undoes what the other did, whoever is first."""
    lago.plans.create(plan("pro"))
    changes = [Plan(name="Professional"), Plan(amount_cents=2000), Plan(description="New"), Plan(trial_period=3)]
    with ThreadPoolExecutor(len(changes)) as callers:
        list(callers.map(lambda change: lago.plans.update(change, "pro"), changes))
    found = lago.plans.find("pro")
    assert (found.name, found.amount_cents, found.description, found.trial_period) == ("Professional", 2000, "New", 3)


def test_the_path_says_which_plan_and_the_body_never(lago: Client, farebox: Farebox) -> None:
    """`PUT /plans/a` with `code: b` is about a, and codes stay."""
    lago.plans.create(plan("a"))
    lago.plans.create(plan("b"))
    before = lago.plans.find("b")
    answer = refusal(farebox, "PUT", "/plans/a", {"plan": {"code": "b", "amount_cents": 1}})
    assert answer["error_details"] == {"code": ["value_is_invalid"]}
    assert (lago.plans.find("a").amount_cents, lago.plans.find("b")) == (1000, before)


def test_every_wrong_field_is_named_as_the_caller_wrote_it(lago: Client, farebox: Farebox) -> None:
    """Faults that the gateway cannot know are named by the service, in the caller's words and all at once."""
    charges = [
        {"billable_metric_id": "calls", "charge_model": "standard", "properties": {}},
        {"billable_metric_id": "nothing", "charge_model": "package", "properties": {"amount": "-1", "package_size": 0}},
    ]
    body = {"code": "x", "interval": "monthly", "amount_cents": -1, "amount_currency": "XXX", "trial_period": 99999}
    answer = refusal(farebox, "POST", "/plans", {"plan": {**body, "charges": charges}})
    assert set(answer["error_details"]) == {
        "amount_cents",
        "amount_currency",
        "trial_period",
        "charges[0].properties.amount",
        "charges[1].properties.amount",
        "charges[1].properties.package_size",
    }
    charges = [{"billable_metric_id": "nothing", "charge_model": "standard", "properties": {"amount": "1"}}]
    sold = plan("x").dict(exclude_none=True)
    answer = refusal(farebox, "POST", "/plans", {"plan": {**sold, "charges": charges}})
    assert answer["error_details"] == {"charges[0].billable_metric_id": ["value_is_invalid"]}
    farebox.rest.post("/features", {"feature": {"code": "sso", "name": "SSO", "type": "gate"}})
    entitlements = [{"feature_code": "sso"}, {"feature_code": "ssso"}]
    answer = refusal(farebox, "POST", "/plans", {"plan": {**sold, "entitlements": entitlements}})
    assert answer["error_details"] == {"entitlements[1].feature_code": ["value_is_invalid"]}


def test_versions_and_their_migration(lago: Client, farebox: Farebox, rest: Rest) -> None:
    """Nozle's SDK reads the versions of a plan that is sold, and moves its subscribers with their next period."""
    nozle = Nozle(api_key=farebox.secret_key, host=farebox.url)
    rest.post("/test_clock", {"now": "2024-01-01T00:00:00Z"})
    lago.plans.create(plan("pro"))
    lago.customers.create(Customer(external_id="acme"))
    lago.subscriptions.create(Subscription(external_customer_id="acme", plan_code="pro", external_id="acme-pro"))
    lago.plans.update(Plan(amount_cents=2000), "pro")
    versions: Any = nozle.plan_versions.list("pro")
    assert [(version["version"], version["amount_cents"]) for version in versions] == [(1, 1000), (2, 2000)]
    assert [version["active_subscriptions_count"] for version in versions] == [1, 0]
    assert nozle.plan_versions.get("pro", 1)["amount_cents"] == 1000
    preview: Any = nozle.plan_versions.preview_migration("pro", 1)
    assert (preview["from_version"], preview["to_version"]) == (1, 2)
    (move,) = preview["items"]
    assert (move["outcome"], move["effective_on"], move["new_amount_cents"]) == ("move", "2024-02-01", 2000)
    done: Any = nozle.plan_versions.create_migration("pro", 1)
    assert (done["status"], done["succeeded_count"]) == ("succeeded", 1)


def test_a_coupon_lives_and_is_withdrawn(lago: Client) -> None:
    """Created, changed in part, found and removed with Lago's client."""
    lago.plans.create(plan("pro"))
    made = lago.coupons.create(
        Coupon(
            name="Five",
            code="five",
            description="For friends",
            coupon_type="fixed_amount",
            amount_cents=500,
            amount_currency="USD",
            frequency="recurring",
            frequency_duration=3,
            expiration="time_limit",
            expiration_at="2099-01-01T00:00:00Z",
            reusable=False,
            applies_to=LimitationConfiguration(plan_codes=["pro"]),
        )
    )
    assert made == lago.coupons.find("five")
    assert (made.reusable, made.limited_plans, made.plan_codes, made.description) == (
        False,
        True,
        ["pro"],
        "For friends",
    )
    changed = lago.coupons.update(Coupon(expiration="no_expiration"), "five")
    assert (changed.expiration_at, changed.amount_cents, changed.frequency_duration) == (None, 500, 3)
    percentage = lago.coupons.update(Coupon(coupon_type="percentage", percentage_rate=10.5), "five")
    assert (percentage.coupon_type, percentage.percentage_rate, percentage.amount_cents) == ("percentage", 10.5, None)
    assert lago.coupons.destroy("five").terminated_at
    with pytest.raises(LagoApiError) as gone:
        lago.coupons.find("five")
    assert gone.value.response["code"] == "coupon_not_found"


def test_coupons_in_customers_hands(lago: Client) -> None:
    """They are given on terms of their own, listed by filters, and taken only from the customer who holds them."""
    for who in ("alice", "bob"):
        lago.customers.create(Customer(external_id=who, currency="USD"))
    lago.coupons.create(Coupon(name="Five", code="five", amount_cents=500, amount_currency="USD", frequency="once"))
    lago.coupons.create(Coupon(name="Ten", code="ten", percentage_rate=10, frequency="forever"))
    given = lago.applied_coupons.create(
        AppliedCoupon(external_customer_id="alice", coupon_code="five", amount_cents=300, amount_currency="USD")
    )
    assert (given.amount_cents, given.amount_cents_remaining, given.status) == (300, 300, "active")
    assert given.lago_customer_id == lago.customers.find("alice").lago_id
    rate = lago.applied_coupons.create(
        AppliedCoupon(
            external_customer_id="bob",
            coupon_code="ten",
            percentage_rate=20,
            frequency="recurring",
            frequency_duration=2,
        )
    )
    assert (rate.percentage_rate, rate.frequency, rate.frequency_duration_remaining) == (20, "recurring", 2)

    def listed(**filters: Any) -> list[str]:
        return [held.coupon_code for held in lago.applied_coupons.find_all(filters)["applied_coupons"]]

    assert sorted(listed()) == ["five", "ten"]
    assert listed(external_customer_id="bob") == ["ten"]
    assert listed(**{"coupon_code[]": "five"}) == ["five"]
    with pytest.raises(LagoApiError) as other:
        lago.applied_coupons.destroy("bob", given.lago_id)
    assert other.value.status_code == 404
    assert lago.applied_coupons.destroy("alice", given.lago_id).status == "terminated"
    assert listed(status="active") == ["ten"]


def test_a_customer_takes_back_what_it_was_given(lago: Client, rest: Rest) -> None:
    """Null and empty lists empty a field; what is not named stays."""
    lago.customers.create(
        Customer(
            external_id="acme",
            name="Acme",
            email="a@acme.test",
            net_payment_term=14,
            tax_codes=["vat"],
            address_line1="1 Road",
            zipcode="75001",
            city="Paris",
            country="FR",
            timezone="Europe/Paris",
            billing_configuration=CustomerBillingConfiguration(invoice_grace_period=3),
        )
    )
    emptied = {"external_id": "acme", "tax_codes": [], "net_payment_term": None, "email": None}
    answer = rest.post("/customers", {"customer": {**emptied, "billing_configuration": {"invoice_grace_period": None}}})
    told = answer["customer"]
    assert (told["tax_codes"], told["net_payment_term"], told["email"]) == ([], None, None)
    assert told["billing_configuration"] == {"invoice_grace_period": None}
    assert (told["name"], told["timezone"], told["address_lines"]) == (
        "Acme",
        "Europe/Paris",
        ["1 Road", "75001 Paris"],
    )
    assert [customer.external_id for customer in lago.customers.find_all({"countries[]": "FR"})["customers"]] == [
        "acme"
    ]
    assert lago.customers.find_all({"countries[]": "DE"})["meta"]["total_count"] == 0


def test_the_organizations_settings(lago: Client, rest: Rest) -> None:
    """Changed with Lago's client and by our own names; duplicates are then refused, as in Lago."""
    changed = lago.organizations.update(
        Organization(default_currency="EUR", net_payment_term=30, timezone="Europe/Paris")
    )
    assert (changed.net_payment_term, changed.timezone) == (30, "Europe/Paris")
    assert rest.get("/organizations")["organization"]["duplicate_events"] == "accept"
    rest.put("/organizations", {"organization": {"duplicate_events": "reject", "net_payment_term": 0}})
    told = rest.get("/organizations")["organization"]
    assert (told["duplicate_events"], told["net_payment_term"], told["default_currency"]) == ("reject", 0, "EUR")

    def is_refused() -> bool:
        event = {"transaction_id": "one", "external_subscription_id": "s", "code": "calls", "timestamp": 1704067200}
        try:
            rest.post("/events", {"event": event})
        except RuntimeError as error:
            return "value_already_exist" in str(error)
        return False

    wait_until(is_refused, timeout=PATIENCE_SECONDS, what="the gateway to hear of the setting")
