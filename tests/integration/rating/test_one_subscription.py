"""Ways onto a plan that may be pressed twice: however often and at once, the customer has one subscription."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import grpc
import pytest

from farebox.rating.v1 import subscription_service_pb2 as service
from services.chassis.config import Settings
from services.chassis.rpc.errors import error_info
from tests.support.rating.billing import Billing, running_billing

AT_ONCE = 8
OF_PLAN = service.REUSE_SUBSCRIPTION_OF_PLAN
OF_CUSTOMER = service.REUSE_SUBSCRIPTION_OF_CUSTOMER
JANUARY = datetime(2024, 1, 10, tzinfo=UTC)


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(JANUARY)
        running.tenant.plan("basic", amount_cents=1000, pay_in_advance=True)
        running.tenant.plan("pro", amount_cents=3000, pay_in_advance=True)
        yield running


def press(billing: Billing, plan: str, reuse: int, **fields: object) -> service.CreateSubscriptionResponse:
    request = service.CreateSubscriptionRequest(external_customer_id="acme", plan_code=plan, reuse=reuse, **fields)
    return billing.tenant.call(billing.rating.subscriptions.CreateSubscription, request)


@pytest.mark.parametrize("reuse", [OF_PLAN, OF_CUSTOMER])
@pytest.mark.parametrize("is_known", [True, False])
def test_eight_at_once_make_one(billing: Billing, reuse: int, *, is_known: bool) -> None:
    """One paid subscription, whether the customer existed or is made by the same calls; it was eight."""
    if is_known:
        billing.subscribe("basic", customer="other")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda _: press(billing, "pro", reuse), range(AT_ONCE)))
    assert len({answer.change.subscription.id for answer in answers}) == 1
    assert [invoice.customer.external_id for invoice in billing.invoices()].count("acme") == 1


def test_another_plan_is_a_change(billing: Billing) -> None:
    """A second checkout of another plan moves the one subscription."""
    first = press(billing, "basic", OF_CUSTOMER).change.subscription
    moved = press(billing, "pro", OF_CUSTOMER).change
    assert (moved.subscription.external_id, moved.subscription.plan_code) == (first.external_id, "pro")
    assert moved.previous_subscription.id == first.id


def test_another_plan_is_another_subscription_where_plans_are_kept_apart(billing: Billing) -> None:
    """As the Engine's `subscribe` has it."""
    first = press(billing, "basic", OF_PLAN).change.subscription
    second = press(billing, "pro", OF_PLAN).change.subscription
    assert first.external_id != second.external_id
    assert press(billing, "basic", OF_PLAN).change.subscription.id == first.id


def test_several_must_be_told_apart(billing: Billing) -> None:
    """Nobody guesses which subscription a customer wants to move."""
    billing.subscribe("basic", external_id="one")
    billing.subscribe("basic", external_id="two")
    with pytest.raises(grpc.RpcError) as refused:
        press(billing, "pro", OF_CUSTOMER)
    assert error_info(refused.value)[0] == "SUBSCRIPTION_AMBIGUOUS"


def test_a_customer_who_left_may_come_back(billing: Billing) -> None:
    """What has ended is not taken again."""
    first = press(billing, "pro", OF_CUSTOMER).change.subscription
    request = service.CancelSubscriptionRequest(external_id=first.external_id, timing=service.CHANGE_TIMING_NOW)
    billing.tenant.call(billing.rating.subscriptions.CancelSubscription, request)
    assert press(billing, "pro", OF_CUSTOMER).change.subscription.id != first.id
