"""Subscriptions, Lago's way: created, moved to another plan by creating them again, terminated."""

from __future__ import annotations

from typing import Any

import grpc

from farebox.rating.v1 import subscription_service_pb2 as service
from farebox.rating.v1.subscription_pb2 import Subscription, SubscriptionChange
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from gateway.problem import not_available, not_found

STATES = {
    "pending": Subscription.STATE_PENDING,
    "active": Subscription.STATE_ACTIVE,
    "terminated": Subscription.STATE_TERMINATED,
    "canceled": Subscription.STATE_CANCELED,
}
BILLING_TIMES = {
    "calendar": Subscription.BILLING_TIME_CALENDAR,
    "anniversary": Subscription.BILLING_TIME_ANNIVERSARY,
}
CREDIT_ACTIONS = {
    "credit": service.CREDIT_ACTION_CREDIT,
    "refund": service.CREDIT_ACTION_REFUND,
    "offset": service.CREDIT_ACTION_OFFSET,
    "none": service.CREDIT_ACTION_NONE,
    "skip": service.CREDIT_ACTION_NONE,
}
TIMINGS = {
    "immediate": service.CHANGE_TIMING_NOW,
    "end_of_period": service.CHANGE_TIMING_PERIOD_END,
}
# Lago's and the Engine's words for whether what was used since the last invoice is invoiced.
SKIPS_FINAL_INVOICE = {"generate": False, "skip": True}
_LIVE = {Subscription.STATE_PENDING, Subscription.STATE_ACTIVE}


async def create(call: Call) -> Any:
    """`POST /subscriptions`: subscribe, or move to another plan where the external id is already subscribed."""
    body = Reader(call.wrapped("subscription"))
    for name in ("plan_overrides", "activation_rules"):
        if body.value(name):
            raise not_available(name)
    external_id, plan_code = body.text("external_id"), body.required("plan_code")
    held = await live(call, external_id)
    if held is None:
        return {"subscription": subscription_json((await subscribe(call, _read(body))).subscription)}
    if held.plan_code == plan_code:
        return {"subscription": subscription_json(held)}
    return {"subscription": subscription_json((await change_plan(call, external_id, plan_code)).subscription)}


async def find(call: Call) -> Any:
    """`GET /subscriptions/{external_id}`."""
    return {"subscription": subscription_json(await get(call, call.path["external_id"]))}


async def find_all(call: Call) -> Any:
    """`GET /subscriptions`: active ones, unless `status[]` says otherwise."""
    return await _list(call, call.query.get("external_customer_id", ""))


async def find_of_customer(call: Call) -> Any:
    """`GET /customers/{external_customer_id}/subscriptions`."""
    return await _list(call, call.path["external_customer_id"])


async def terminate(call: Call) -> Any:
    """`DELETE /subscriptions/{external_id}`: now, as Lago does, or as the Engine's query asks."""
    query, external_id = Reader(call.query), call.path["external_id"]
    if query.has("customer_id"):
        await require_owner(call, external_id, query.text("customer_id"))
    credit = query.choice("credit_action", CREDIT_ACTIONS, service.CREDIT_ACTION_UNSPECIFIED)
    request = service.CancelSubscriptionRequest(
        request_id=call.mutation_id,
        external_id=external_id,
        timing=query.choice("cancellation_policy", TIMINGS, service.CHANGE_TIMING_NOW),
        credit_action=query.choice("on_termination_credit_note", CREDIT_ACTIONS, credit),
        skip_final_invoice=query.choice("final_invoice_action", SKIPS_FINAL_INVOICE, default=False)
        or query.choice("on_termination_invoice", SKIPS_FINAL_INVOICE, default=False),
    )
    answer = await call.ask(call.clients.subscriptions.CancelSubscription, request)
    return {"subscription": subscription_json(answer.change.subscription)}


async def get(call: Call, external_id: str) -> Subscription:
    """The subscription with this external id."""
    request = service.GetSubscriptionRequest(external_id=external_id)
    found: Subscription = (await call.ask(call.clients.subscriptions.GetSubscription, request)).subscription
    return found


async def live(call: Call, external_id: str) -> Subscription | None:
    """The subscription with this external id that has not ended, or None."""
    if not external_id:
        return None
    try:
        found = await get(call, external_id)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return None
        raise
    return found if found.state in _LIVE else None


async def require_owner(call: Call, external_id: str, external_customer_id: str) -> Subscription:
    """The subscription, which must be this customer's.

    Raises:
        Problem: 404, it is another's.
    """
    found = await get(call, external_id)
    if found.external_customer_id != external_customer_id:
        raise not_found("subscription", "this customer has no such subscription")
    return found


async def subscribe(call: Call, request: service.CreateSubscriptionRequest) -> SubscriptionChange:
    """Put a customer on a plan."""
    request.request_id = call.mutation_id
    change: SubscriptionChange = (await call.ask(call.clients.subscriptions.CreateSubscription, request)).change
    return change


async def change_plan(call: Call, external_id: str, plan_code: str, **options: Any) -> SubscriptionChange:
    """Move a subscription to another plan; `options` are further fields of ChangeSubscriptionPlanRequest."""
    request = service.ChangeSubscriptionPlanRequest(external_id=external_id, plan_code=plan_code, **options)
    request.request_id = identity_of(call, request)
    change: SubscriptionChange = (await call.ask(call.clients.subscriptions.ChangeSubscriptionPlan, request)).change
    return change


def identity_of(
    call: Call,
    request: service.ChangeSubscriptionPlanRequest
    | service.CancelSubscriptionRequest
    | service.WithdrawSubscriptionChangeRequest,
) -> str:
    """The identity of a change; a preview has none, so that the key stays free for the change itself."""
    return "" if request.validate_only else call.mutation_id


def subscription_json(held: Subscription) -> dict[str, Any]:
    """A subscription as Lago's clients read it."""
    is_canceled = held.state == Subscription.STATE_CANCELED
    ended_at = write.instant(held, "terminated_at")
    return {
        **write.ids(held.id),
        "external_id": held.external_id,
        "lago_customer_id": held.customer_id or None,
        "external_customer_id": held.external_customer_id,
        "name": held.name or None,
        "plan_code": held.plan_code,
        "plan_version": held.plan_version,
        "plan_amount_cents": held.plan_amount_cents,
        "plan_amount_currency": held.plan_currency or None,
        "status": write.word(STATES, held.state),
        "billing_time": write.word(BILLING_TIMES, held.billing_time) or "calendar",
        "subscription_at": write.instant(held, "started_at"),
        "started_at": write.instant(held, "started_at"),
        "trial_ended_at": write.instant(held, "trial_ends_at"),
        "ending_at": write.instant(held, "ending_at") or _pending_end(held),
        "terminated_at": None if is_canceled else ended_at,
        "canceled_at": ended_at if is_canceled else None,
        "previous_plan_code": None,
        **_next_plan(held),
        **_period_json(held),
        "on_termination_credit_note": "credit",
        "on_termination_invoice": "generate",
        "created_at": write.instant(held, "created_at"),
    }


def _pending_end(held: Subscription) -> str | None:
    """When it ends by a cancellation that is agreed."""
    change = held.pending_change
    return None if change.plan_code or not held.HasField("pending_change") else write.instant(change, "effective_at")


def _next_plan(held: Subscription) -> dict[str, Any]:
    change = held.pending_change
    starts_at = write.instant(change, "effective_at") if change.plan_code else None
    return {"next_plan_code": change.plan_code or None, "downgrade_plan_date": starts_at[:10] if starts_at else None}


def _period_json(held: Subscription) -> dict[str, Any]:
    has_period = held.HasField("current_period")
    return {
        "current_billing_period_started_at": write.first_instant(held.current_period) if has_period else None,
        "current_billing_period_ending_at": write.last_second(held.current_period) if has_period else None,
    }


def _read(body: Reader) -> service.CreateSubscriptionRequest:
    return service.CreateSubscriptionRequest(
        external_customer_id=body.required("external_customer_id"),
        plan_code=body.required("plan_code"),
        plan_version=body.integer("plan_version"),
        external_id=body.text("external_id"),
        name=body.text("name"),
        billing_time=body.choice("billing_time", BILLING_TIMES, Subscription.BILLING_TIME_CALENDAR),
        started_at=body.instant("subscription_at"),
        ending_at=body.instant("ending_at"),
    )


async def _list(call: Call, external_customer_id: str) -> Any:
    page = pages.read(call.query)
    words = [word for name in ("status[]", "status") for word in call.query.getlist(name)]
    states = [Reader({"status": word}).choice("status", STATES, Subscription.STATE_ACTIVE) for word in words]
    request = service.ListSubscriptionsRequest(
        page=page,
        external_customer_id=external_customer_id,
        plan_code=call.query.get("plan_code", ""),
        states=states,
    )
    answer = await call.ask(call.clients.subscriptions.ListSubscriptions, request)
    held = [subscription_json(each) for each in answer.subscriptions]
    return {"subscriptions": held, "meta": pages.meta(page, answer.page, len(held))}
