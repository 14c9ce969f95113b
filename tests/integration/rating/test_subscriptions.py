"""Subscriptions through their lives: started, changed, ended, withdrawn; previews that equal effects."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from farebox.rating.v1 import (
    customer_pb2,
    customer_service_pb2,
    invoice_service_pb2,
    subscription_pb2,
)
from farebox.rating.v1 import (
    subscription_service_pb2 as pb,
)
from services.chassis.rpc.errors import error_info, field_violations
from services.rating.clock.due import run_due
from services.rating.subscriptions.commands import apply_due_changes
from tests.support.rating.server import NOW, Rating, Tenant, timestamp

State = subscription_pb2.Subscription


@pytest.fixture
def tenant(rating: Rating) -> Tenant:
    """An organization that sells three plans."""
    made = rating.tenant()
    made.plan("basic", amount_cents=1000, pay_in_advance=True)
    made.plan("pro", amount_cents=3100, pay_in_advance=True)
    made.plan("arrears", amount_cents=3100)
    return made


def subscribe(tenant: Tenant, **fields: Any) -> pb.CreateSubscriptionResponse:
    wanted = {"external_customer_id": "alice", "plan_code": "basic", "external_id": "sub-1", **fields}
    return tenant.call(tenant.rating.subscriptions.CreateSubscription, pb.CreateSubscriptionRequest(**wanted))


def change(tenant: Tenant, plan_code: str, **fields: Any) -> subscription_pb2.SubscriptionChange:
    request = pb.ChangeSubscriptionPlanRequest(external_id="sub-1", plan_code=plan_code, **fields)
    return tenant.call(tenant.rating.subscriptions.ChangeSubscriptionPlan, request).change


def cancel(tenant: Tenant, **fields: Any) -> subscription_pb2.SubscriptionChange:
    request = pb.CancelSubscriptionRequest(external_id="sub-1", **fields)
    return tenant.call(tenant.rating.subscriptions.CancelSubscription, request).change


def withdraw(tenant: Tenant) -> subscription_pb2.SubscriptionChange:
    request = pb.WithdrawSubscriptionChangeRequest(external_id="sub-1")
    return tenant.call(tenant.rating.subscriptions.WithdrawSubscriptionChange, request).change


def get(tenant: Tenant, **fields: str) -> subscription_pb2.Subscription:
    request = pb.GetSubscriptionRequest(**(fields or {"external_id": "sub-1"}))
    return tenant.call(tenant.rating.subscriptions.GetSubscription, request).subscription


def listed(tenant: Tenant, **fields: Any) -> list[subscription_pb2.Subscription]:
    request = pb.ListSubscriptionsRequest(**fields)
    return list(tenant.call(tenant.rating.subscriptions.ListSubscriptions, request).subscriptions)


def refusal(call: Any, *args: Any, **fields: Any) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        call(*args, **fields)
    return error_info(refused.value)[0]


def test_a_subscription_starts_now_and_creates_its_customer(tenant: Tenant) -> None:
    made = subscribe(tenant).change.subscription
    assert (made.state, made.plan_version, made.started_at) == (State.STATE_ACTIVE, 1, timestamp(NOW))
    assert made.current_period.start == timestamp(NOW)
    assert made.current_period.end == timestamp(datetime(2024, 2, 1, tzinfo=UTC))
    request = customer_service_pb2.GetCustomerRequest(external_id="alice")
    customer = tenant.call(tenant.rating.customers.GetCustomer, request).customer
    assert (customer.currency, customer.sequential_id) == ("USD", 1)
    (event,) = tenant.subscription_events()
    assert (event.subscription, event.timezone) == (made, "UTC")


def test_the_same_request_is_answered_with_what_is_there(tenant: Tenant) -> None:
    first = subscribe(tenant).change
    again = subscribe(tenant).change
    assert again.subscription == first.subscription
    assert not again.due_amount_cents
    assert len(tenant.subscription_events()) == 1
    assert refusal(subscribe, tenant, plan_code="pro") == "SUBSCRIPTION_EXISTS"
    assert refusal(subscribe, tenant, external_customer_id="bob") == "SUBSCRIPTION_EXISTS"


def test_ten_calls_at_once_make_one_subscription(tenant: Tenant) -> None:
    """The constraint decides; the losers are answered with the winner's subscription."""
    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(lambda _: subscribe(tenant).change.subscription.id, range(10)))
    assert len(set(made)) == 1
    assert len(listed(tenant)) == 1


def test_ten_customers_at_once_for_one_external_id(tenant: Tenant) -> None:
    """One gets it, nine are told that it is taken."""

    def attempt(number: int) -> str:
        try:
            subscribe(tenant, external_customer_id=f"customer-{number}")
        except grpc.RpcError as error:
            return error_info(error)[0]
        return ""

    with ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(attempt, range(10)))
    assert sorted(outcomes) == ["", *["SUBSCRIPTION_EXISTS"] * 9]


def test_the_customers_zone_decides_its_days(tenant: Tenant) -> None:
    """A subscription keeps the zone it began with; periods begin at local midnight."""
    customer = customer_pb2.Customer(external_id="alice", timezone="America/New_York")
    upsert = customer_service_pb2.UpsertCustomerRequest(customer=customer)
    tenant.call(tenant.rating.customers.UpsertCustomer, upsert)
    assert subscribe(tenant).change.subscription.current_period.end.ToJsonString() == "2024-02-01T05:00:00Z"
    upsert.customer.timezone = "Asia/Tokyo"
    tenant.call(tenant.rating.customers.UpsertCustomer, upsert)
    assert get(tenant).current_period.end.ToJsonString() == "2024-02-01T05:00:00Z"


def test_one_currency_a_customer(tenant: Tenant) -> None:
    tenant.plan("euro", currency="EUR")
    subscribe(tenant)
    assert refusal(subscribe, tenant, plan_code="euro", external_id="sub-2") == "CURRENCY_MISMATCH"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"external_customer_id": ""}, "external_customer_id"),
        ({"plan_code": ""}, "plan_code"),
        ({"external_id": "x" * 256}, "external_id"),
        ({"started_at": timestamp(NOW - timedelta(days=5000))}, "started_at"),
        ({"ending_at": timestamp(NOW)}, "ending_at"),
    ],
)
def test_refusals_name_the_field(tenant: Tenant, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        subscribe(tenant, **fields)
    assert [violation.field for violation in field_violations(refused.value)] == [field]


def test_an_upgrade_happens_now_and_chains(tenant: Tenant) -> None:
    """Basic was paid to the end of January; the 15th belongs to Pro, so 17 of 31 days are credited."""
    old = subscribe(tenant).change.subscription
    done = change(tenant, "pro")
    new = done.subscription
    assert (new.plan_code, new.state, new.previous_subscription_id) == ("pro", State.STATE_ACTIVE, old.id)
    assert (done.previous_subscription.id, done.previous_subscription.state) == (old.id, State.STATE_TERMINATED)
    assert (done.credit_amount_cents, done.due_amount_cents, len(done.invoice_ids) >= 1) == (548, 1700, True)
    assert get(tenant) == new
    assert get(tenant, id=old.id).terminated_at == timestamp(NOW)
    assert [event.subscription.id for event in tenant.subscription_events()] == [old.id, old.id, new.id]


def test_a_downgrade_waits_for_the_period_and_can_be_withdrawn(tenant: Tenant) -> None:
    subscribe(tenant, plan_code="pro")
    done = change(tenant, "basic")
    assert done.effective_at.ToJsonString() == "2024-02-01T00:00:00Z"
    assert done.subscription.pending_change.plan_code == "basic"
    assert not done.due_amount_cents
    assert not done.credit_amount_cents
    assert not done.invoice_ids
    later = pb.CHANGE_TIMING_PERIOD_END
    assert refusal(change, tenant, "arrears", timing=later) == "CHANGE_ALREADY_PENDING"
    assert not withdraw(tenant).subscription.HasField("pending_change")
    assert refusal(withdraw, tenant) == "NO_CHANGE_PENDING"


def test_a_downgrade_now_on_request(tenant: Tenant) -> None:
    subscribe(tenant, plan_code="pro")
    done = change(tenant, "basic", timing=pb.CHANGE_TIMING_NOW, credit_action=pb.CREDIT_ACTION_NONE)
    assert (done.subscription.plan_code, done.credit_amount_cents) == ("basic", 0)


def test_the_plan_it_has_is_no_change(tenant: Tenant) -> None:
    subscribe(tenant)
    assert refusal(change, tenant, "basic") == "PLAN_UNCHANGED"
    assert refusal(change, tenant, "unknown") == "PLAN_UNKNOWN"


def test_two_upgrades_at_once_happen_once(tenant: Tenant) -> None:
    """The second waits for the first and finds that the subscription has the plan."""
    subscribe(tenant)

    def attempt(_: int) -> str:
        try:
            change(tenant, "pro")
        except grpc.RpcError as error:
            return error_info(error)[0]
        return ""

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, range(4)))
    assert sorted(outcomes) == ["", *["PLAN_UNCHANGED"] * 3]
    assert len(listed(tenant, states=[State.STATE_ACTIVE, State.STATE_TERMINATED])) == 2


def test_two_replicas_apply_a_due_change_once(tenant: Tenant) -> None:
    subscribe(tenant, plan_code="pro")
    change(tenant, "basic")
    deps = tenant.rating.deps
    due = datetime(2024, 2, 1, tzinfo=UTC)

    def apply(_: int) -> int:
        with deps.db.worker_transaction() as tx:
            return apply_due_changes(deps, tx, tenant.organization_id, due)

    with ThreadPoolExecutor(4) as pool:
        moves = list(pool.map(apply, range(4)))
    assert sum(moves) == 1
    assert get(tenant).plan_code == "basic"


def test_cancelling_at_the_periods_end(tenant: Tenant) -> None:
    subscribe(tenant)
    done = cancel(tenant)
    assert done.subscription.state == State.STATE_ACTIVE
    assert done.subscription.pending_change.plan_code == ""
    assert done.effective_at.ToJsonString() == "2024-02-01T00:00:00Z"


def test_cancelling_now_credits_the_unused_days(tenant: Tenant) -> None:
    """The day of termination is billed: 16 of 31 days are left."""
    subscribe(tenant)
    done = cancel(tenant, timing=pb.CHANGE_TIMING_NOW)
    assert (done.subscription.state, done.credit_amount_cents) == (State.STATE_TERMINATED, 516)
    assert not done.subscription.HasField("current_period")
    assert listed(tenant) == []
    assert [subscription.id for subscription in listed(tenant, states=[State.STATE_TERMINATED])] == [
        done.subscription.id
    ]
    assert refusal(cancel, tenant) == "SUBSCRIPTION_UNKNOWN"
    # The external id is free again.
    assert subscribe(tenant).change.subscription.id != done.subscription.id


def update(tenant: Tenant, *paths: str, **fields: Any) -> subscription_pb2.Subscription:
    body = subscription_pb2.Subscription(**fields)
    request = pb.UpdateSubscriptionRequest(
        external_id="sub-1", subscription=body, update_mask=FieldMask(paths=paths or tuple(fields))
    )
    return tenant.call(tenant.rating.subscriptions.UpdateSubscription, request).subscription


def test_a_name_and_an_end_are_given_changed_and_taken_back(tenant: Tenant) -> None:
    """What is not named stays, the end comes by itself, and everybody else is told."""
    subscribe(tenant, name="Trial")
    later = NOW + timedelta(days=3)
    ending = update(tenant, ending_at=timestamp(later))
    assert (ending.name, ending.ending_at, ending.state) == ("Trial", timestamp(later), State.STATE_ACTIVE)
    assert tenant.subscription_events()[-1].subscription == ending
    renamed = update(tenant, "name")
    assert (renamed.name, renamed.ending_at) == ("", timestamp(later))
    run_due(tenant.rating.deps, later, tenant.organization_id)
    assert (get(tenant).state, get(tenant).terminated_at) == (State.STATE_TERMINATED, timestamp(later))
    assert refusal(update, tenant, name="Gone") == "SUBSCRIPTION_UNKNOWN"


def test_an_end_that_is_taken_back_does_not_come(tenant: Tenant) -> None:
    subscribe(tenant, ending_at=timestamp(NOW + timedelta(days=3)))
    assert not update(tenant, "ending_at").HasField("ending_at")
    run_due(tenant.rating.deps, NOW + timedelta(days=4), tenant.organization_id)
    assert get(tenant).state == State.STATE_ACTIVE


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"ending_at": timestamp(NOW)}, "subscription.ending_at"),
        ({"name": "x" * 256}, "subscription.name"),
        ({"plan_code": "pro"}, "subscription.plan_code"),
    ],
)
def test_nothing_else_of_a_subscription_is_updated(tenant: Tenant, fields: Any, refused: str) -> None:
    subscribe(tenant)
    with pytest.raises(grpc.RpcError) as error:
        update(tenant, **fields)
    assert [violation.field for violation in field_violations(error.value)] == [refused]


def delete_customer(tenant: Tenant) -> customer_pb2.Customer:
    request = customer_service_pb2.DeleteCustomerRequest(external_id="alice")
    return tenant.call(tenant.rating.customers.DeleteCustomer, request).customer


def test_a_deleted_customer_owes_what_it_used_and_nothing_more(tenant: Tenant) -> None:
    """Its subscriptions end now, each with its invoice, and can be read; the customer is found no more."""
    subscribe(tenant, plan_code="arrears")
    subscribe(tenant, external_id="sub-2", started_at=timestamp(NOW + timedelta(days=5)))
    deleted = delete_customer(tenant)
    assert deleted.deleted_at == timestamp(NOW)
    assert get(tenant).state == State.STATE_TERMINATED
    assert get(tenant, external_id="sub-2").state == State.STATE_CANCELED
    asked = invoice_service_pb2.ListInvoicesRequest(external_customer_id="alice")
    (invoice,) = tenant.call(tenant.rating.invoices.ListInvoices, asked).invoices
    assert invoice.total_amount_cents == 100, "one of January's 31 days"
    assert refusal(delete_customer, tenant) == "CUSTOMER_UNKNOWN"
    found = tenant.call(tenant.rating.customers.ListCustomers, customer_service_pb2.ListCustomersRequest())
    assert list(found.customers) == []


def test_a_customer_that_comes_back_is_the_same_one(tenant: Tenant) -> None:
    """By being created again, or by subscribing; its currency stays that of its invoices."""
    subscribe(tenant)
    first = delete_customer(tenant)
    subscribe(tenant, plan_code="pro")
    asked = customer_service_pb2.GetCustomerRequest(external_id="alice")
    back = tenant.call(tenant.rating.customers.GetCustomer, asked).customer
    assert (back.id, back.HasField("deleted_at"), back.currency) == (first.id, False, "USD")
    delete_customer(tenant)
    upsert = customer_service_pb2.UpsertCustomerRequest(customer=customer_pb2.Customer(external_id="alice", name="A"))
    assert tenant.call(tenant.rating.customers.UpsertCustomer, upsert).customer.id == first.id
    assert tenant.call(tenant.rating.customers.GetCustomer, asked).customer.name == "A"


def test_a_subscription_that_has_not_begun_is_called_off(tenant: Tenant) -> None:
    made = subscribe(tenant, started_at=timestamp(NOW + timedelta(days=3))).change
    assert made.subscription.state == State.STATE_PENDING
    assert not made.subscription.HasField("current_period")
    assert cancel(tenant).subscription.state == State.STATE_CANCELED


@pytest.mark.parametrize("plan_code", ["basic", "arrears"])
@pytest.mark.parametrize("timing", [pb.CHANGE_TIMING_NOW, pb.CHANGE_TIMING_PERIOD_END])
def test_a_preview_equals_the_effect_and_keeps_nothing(tenant: Tenant, plan_code: str, timing: int) -> None:
    """What is shown is what happens: the same command, rolled back."""
    subscribe(tenant, plan_code=plan_code)
    before, events = get(tenant), len(tenant.subscription_events())
    for verb in (lambda **fields: change(tenant, "pro", **fields), lambda **fields: cancel(tenant, **fields)):
        preview = verb(timing=timing, validate_only=True)
        assert get(tenant) == before
        assert len(tenant.subscription_events()) == events
        assert not preview.invoice_ids
    shown = change(tenant, "pro", timing=timing, validate_only=True)
    done = change(tenant, "pro", timing=timing)
    for result in (shown, done):
        result.ClearField("invoice_ids")
        result.subscription.id = ""
    assert shown == done


def test_a_preview_of_a_start_keeps_nothing(tenant: Tenant) -> None:
    shown = subscribe(tenant, validate_only=True, request_id="try").change
    assert listed(tenant) == []
    done = subscribe(tenant, request_id="try").change
    assert shown.due_amount_cents == done.due_amount_cents == 548
    request = customer_service_pb2.ListCustomersRequest()
    assert [
        customer.sequential_id for customer in tenant.call(tenant.rating.customers.ListCustomers, request).customers
    ] == [1]


def test_lists_by_customer_plan_and_state_newest_first(tenant: Tenant) -> None:
    first = subscribe(tenant).change.subscription
    second = subscribe(tenant, external_customer_id="bob", plan_code="pro", external_id="sub-2").change.subscription
    assert [subscription.id for subscription in listed(tenant)] == [second.id, first.id]
    assert [subscription.id for subscription in listed(tenant, external_customer_id="alice")] == [first.id]
    assert [subscription.id for subscription in listed(tenant, plan_code="pro")] == [second.id]
    assert listed(tenant, states=[State.STATE_PENDING]) == []


def test_another_organization_cannot_find_it(tenant: Tenant) -> None:
    made = subscribe(tenant).change.subscription
    stranger = tenant.rating.tenant(name="Other")
    for request in ({"external_id": "sub-1"}, {"id": made.id}):
        assert refusal(get, stranger, **request) == "SUBSCRIPTION_UNKNOWN"
    assert refusal(cancel, stranger) == "SUBSCRIPTION_UNKNOWN"
    assert listed(stranger) == []


def test_another_customers_subscription_is_not_there(tenant: Tenant) -> None:
    """A request for bob neither reads, moves, ends nor withdraws what is alice's, whichever verb it is."""
    before = subscribe(tenant).change.subscription
    whose = {"external_customer_id": "bob"}
    assert refusal(get, tenant, external_id="sub-1", **whose) == "SUBSCRIPTION_UNKNOWN"
    assert refusal(get, tenant, id=before.id, **whose) == "SUBSCRIPTION_UNKNOWN"
    assert refusal(change, tenant, "pro", **whose) == "SUBSCRIPTION_UNKNOWN"
    assert refusal(cancel, tenant, **whose) == "SUBSCRIPTION_UNKNOWN"
    assert refusal(plan_changes, tenant, **whose) == "SUBSCRIPTION_UNKNOWN"
    assert refusal(subscribe, tenant, plan_code="pro", change_existing=True, **whose) == "SUBSCRIPTION_EXISTS"
    withdrawal = pb.WithdrawSubscriptionChangeRequest(external_id="sub-1", **whose)
    withdrawn = tenant.rating.subscriptions.WithdrawSubscriptionChange
    assert refusal(tenant.call, withdrawn, withdrawal) == "SUBSCRIPTION_UNKNOWN"
    assert get(tenant, external_id="sub-1", external_customer_id="alice") == before
    assert len(tenant.subscription_events()) == 1


def test_subscribing_again_moves_where_that_is_asked_for(tenant: Tenant) -> None:
    """As Lago does: the same external id and customer, another plan. Repeated, it changes nothing more."""
    first = subscribe(tenant).change.subscription
    moved = subscribe(tenant, plan_code="pro", change_existing=True).change
    assert (moved.previous_subscription.id, moved.subscription.plan_code) == (first.id, "pro")
    assert moved.direction == subscription_pb2.CHANGE_DIRECTION_UPGRADE
    again = subscribe(tenant, plan_code="pro", change_existing=True).change
    assert again.subscription == moved.subscription
    promised = subscribe(tenant, plan_code="basic", change_existing=True).change
    assert promised.subscription.pending_change.plan_code == "basic"
    assert subscribe(tenant, plan_code="basic", change_existing=True).change == promised


def test_a_changed_subscription_says_where_it_comes_from(tenant: Tenant) -> None:
    """The plan before the last change, and the day that anniversaries are counted from."""
    first = subscribe(tenant).change.subscription
    assert (first.previous_plan_code, first.anchored_at) == ("", first.started_at)
    tenant.rating.clock.move_to(NOW + timedelta(days=1))
    change(tenant, "pro")
    moved = get(tenant)
    assert (moved.previous_plan_code, moved.previous_subscription_id) == ("basic", first.id)
    assert (moved.anchored_at, moved.started_at) == (first.started_at, timestamp(NOW + timedelta(days=1)))


def test_the_direction_of_a_change_is_said(tenant: Tenant) -> None:
    """By the base price of a year; a preview says the same."""
    tenant.plan("other", amount_cents=3100)
    subscribe(tenant, plan_code="pro")
    for plan_code, direction in (
        ("basic", subscription_pb2.CHANGE_DIRECTION_DOWNGRADE),
        ("other", subscription_pb2.CHANGE_DIRECTION_SIDEGRADE),
    ):
        assert change(tenant, plan_code, validate_only=True).direction == direction
        assert change(tenant, plan_code).direction == direction
        if direction == subscription_pb2.CHANGE_DIRECTION_DOWNGRADE:
            assert not withdraw(tenant).direction
    assert get(tenant).plan_code == "other"


def test_a_promised_change_that_is_asked_for_again_is_answered(tenant: Tenant) -> None:
    """Another one still has to wait until the first is withdrawn."""
    tenant.plan("free", amount_cents=0)
    subscribe(tenant, plan_code="pro")
    promised = change(tenant, "basic")
    assert change(tenant, "basic") == promised
    assert refusal(change, tenant, "free") == "CHANGE_ALREADY_PENDING"


def plan_changes(tenant: Tenant, **fields: Any) -> pb.ListPlanChangesResponse:
    """The plans that sub-1 could move to."""
    request = pb.ListPlanChangesRequest(external_id="sub-1", **fields)
    return tenant.call(tenant.rating.subscriptions.ListPlanChanges, request)


def options(answer: pb.ListPlanChangesResponse) -> dict[str, tuple[str, str, str]]:
    """Direction, time of effect and refusal by plan."""
    directions = subscription_pb2.ChangeDirection
    return {
        option.plan.code: (
            directions.Name(option.direction).removeprefix("CHANGE_DIRECTION_").lower(),
            option.effective_at.ToJsonString() if option.HasField("effective_at") else "",
            option.refusal,
        )
        for option in answer.options
    }


def test_every_plan_on_sale_says_what_moving_to_it_would_be(tenant: Tenant) -> None:
    """In one call; a move that is not possible has a reason."""
    tenant.plan("euro", currency="EUR", amount_cents=100)
    held = subscribe(tenant, plan_code="pro").change.subscription
    answer = plan_changes(tenant)
    assert (answer.subscription, answer.plan.code, answer.HasField("pending_plan")) == (held, "pro", False)
    assert options(answer) == {
        "arrears": ("sidegrade", "2024-01-15T12:00:00Z", ""),
        "basic": ("downgrade", "2024-02-01T00:00:00Z", ""),
        "euro": ("downgrade", "", "CURRENCY_MISMATCH"),
        "pro": ("sidegrade", "", "PLAN_UNCHANGED"),
    }


def test_what_is_pending_does_not_hide_the_plans(tenant: Tenant) -> None:
    """They are listed with the reason, beside the plan that is to follow."""
    subscribe(tenant, plan_code="pro")
    change(tenant, "basic")
    answer = plan_changes(tenant)
    assert answer.pending_plan.code == answer.subscription.pending_change.plan_code == "basic"
    assert options(answer)["arrears"] == ("sidegrade", "", "CHANGE_ALREADY_PENDING")


def test_subscriptions_are_listed_by_id_and_currency(tenant: Tenant) -> None:
    """Ids find ended ones, too."""
    tenant.plan("euro", currency="EUR")
    first = subscribe(tenant).change.subscription
    cancel(tenant, timing=pb.CHANGE_TIMING_NOW)
    second = subscribe(tenant, external_customer_id="bob", plan_code="euro", external_id="sub-2").change.subscription
    assert [subscription.id for subscription in listed(tenant, ids=[first.id, second.id])] == [second.id, first.id]
    assert [subscription.id for subscription in listed(tenant, currency="EUR")] == [second.id]
    assert listed(tenant, currency="USD") == []
    with pytest.raises(grpc.RpcError) as refused:
        listed(tenant, ids=["sub-1"])
    assert [violation.field for violation in field_violations(refused.value)] == ["ids"]


def test_two_lives_of_one_external_id_do_not_overlap(tenant: Tenant) -> None:
    """Ended on 16 March and subscribed again from 1 January: what the first life billed is not billed twice."""
    rating = tenant.rating
    began, ended = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 16, tzinfo=UTC)
    rating.clock.move_to(began)
    first = subscribe(tenant, plan_code="arrears").change.subscription
    rating.clock.move_to(ended)
    run_due(rating.deps, ended)
    cancel(tenant, timing=pb.CHANGE_TIMING_NOW)
    rating.clock.move_to(ended + timedelta(days=4))
    second = subscribe(tenant, plan_code="arrears", started_at=timestamp(began)).change.subscription
    assert (second.started_at, second.anchored_at) == (timestamp(ended), first.started_at)
    rating.clock.move_to(datetime(2024, 4, 1, tzinfo=UTC))
    run_due(rating.deps, datetime(2024, 4, 1, tzinfo=UTC))
    invoices = tenant.call(rating.invoices.ListInvoices, invoice_service_pb2.ListInvoicesRequest()).invoices
    billed = sorted((invoice.period.start.ToJsonString()[:10], invoice.fees_amount_cents) for invoice in invoices)
    # 31.00 a month: 1 to 16 March are sixteen days of the first life, 16 to 31 March sixteen of the second.
    assert billed == [("2024-01-01", 3100), ("2024-02-01", 3100), ("2024-03-01", 1600), ("2024-03-16", 1600)]


def test_a_life_that_would_end_before_it_begins_is_refused(tenant: Tenant) -> None:
    """The end that was asked for lies within the earlier life."""
    subscribe(tenant)
    cancel(tenant, timing=pb.CHANGE_TIMING_NOW)
    past = {"started_at": timestamp(NOW - timedelta(days=9)), "ending_at": timestamp(NOW - timedelta(days=1))}
    with pytest.raises(grpc.RpcError) as refused:
        subscribe(tenant, **past)
    assert [violation.field for violation in field_violations(refused.value)] == ["ending_at"]
