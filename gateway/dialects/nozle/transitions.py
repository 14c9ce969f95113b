"""The Engine's self-service changes: options, quotes, transitions and their withdrawal."""

from __future__ import annotations

import asyncio
from typing import Any

from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1 import subscription_service_pb2 as service
from farebox.rating.v1.plan_pb2 import Plan
from farebox.rating.v1.subscription_pb2 import Subscription, SubscriptionChange
from gateway.call import Call
from gateway.dialects.lago.plan import interval_word
from gateway.dialects.nozle import write
from gateway.dialects.nozle.read import Reader
from gateway.dialects.nozle.subscriptions import (
    CREDIT_ACTIONS,
    SKIPS_FINAL_INVOICE,
    STATES,
    TIMINGS,
    change_plan,
    identity_of,
    require_owner,
)
from gateway.problem import Problem, not_available
from services.kernel.ids import new_id

# Plans that are offered at a time: each is priced by a preview, and nobody chooses among more.
MAX_OPTIONS = 50
OPERATIONS = {"cancel": "cancel", "downgrade": "downgrade", "uncancel": "uncancel"}


async def options(call: Call) -> Any:
    """`GET /subscriptions/options`: the subscription, what is agreed to follow, and the plans it could move to."""
    held = await _held(call, Reader(call.query))
    request = catalog_service_pb2.ListPlansRequest(page=PageRequest(page_size=MAX_OPTIONS))
    offered = (await call.ask(call.clients.catalog.ListPlans, request)).plans
    by_code = {plan.code: plan for plan in offered}
    others = [plan for plan in offered if plan.code != held.plan_code and plan.currency == held.plan_currency]
    changes = await asyncio.gather(*(_preview(call, held, plan.code) for plan in others))
    return {
        "subscription": {**_identity(held), "ending_at": write.instant(held, "ending_at"), **_plan(held, by_code)},
        "pending_change": _pending(held, by_code),
        "eligible_plans": [
            {**_plan_json(plan), **_direction(change, plan.code)} for plan, change in zip(others, changes, strict=True)
        ],
        "checkout": None,
    }


async def preview_plan(call: Call) -> Any:
    """`POST /subscriptions/preview`: a quote for another plan."""
    body = Reader(call.json())
    held, plan = await _held(call, body), body.required("plan_code")
    change = await _preview(call, held, plan)
    due, credit = change.due_amount_cents, change.credit_amount_cents
    direction = _direction(change, plan)
    is_now = direction["timing"] == "immediate"
    return {
        "quote_id": new_id(),
        "currency": change.currency,
        "credit_amount_cents": credit,
        "debit_amount_cents": due,
        "net_amount_cents": due - credit,
        "amount_due_now_cents": due if is_now else 0,
        "amount_due_at_effective_cents": 0 if is_now else due,
        "transition_direction": direction["direction"],
        "timing": direction["timing"],
        "effective_at": write.instant(change, "effective_at"),
        "renewal_at": _renewal(change),
    }


async def preview(call: Call) -> Any:
    """`POST /subscriptions/transitions/preview`: what a transition would do."""
    body = Reader(call.json())
    change = await _transition(call, body, validate_only=True)
    return {"subscription_transition": _transition_json(body, change)}


async def apply(call: Call) -> Any:
    """`POST /subscriptions/transitions`: cancel, downgrade or take a cancellation back."""
    body = Reader(call.json())
    expected = body.instant("expected_effective_at")
    if expected is not None:
        planned = (await _transition(call, body, validate_only=True)).effective_at
        if planned.ToDatetime(tzinfo=expected.tzinfo) != expected:
            raise Problem(409, "effective_at_changed", "the transition would take effect at another time")
    change = await _transition(call, body, validate_only=False)
    held = change.subscription
    applied = {
        "id": call.headers.get("idempotency-key") or held.id,
        "replayed": False,
        "subscription_id": held.id,
        "external_subscription_id": held.external_id,
        "plan_code": held.plan_code,
        "status": write.word(STATES, held.state),
        "invoice_id": next(iter(change.invoice_ids), None),
    }
    return {"subscription_transition": {**_transition_json(body, change), **applied}}


async def withdraw(call: Call) -> Any:
    """`POST /subscriptions/transitions/withdraw`: take a pending change back."""
    body = Reader(call.json())
    held = await _held(call, body)
    change = await _withdraw(call, held, validate_only=False)
    return {
        "subscription": _identity(change.subscription),
        "withdrawn_pending_subscription_id": body.text("pending_subscription_id"),
        "replayed": False,
    }


async def _held(call: Call, body: Reader) -> Subscription:
    return await require_owner(call, body.required("subscription_id"), body.required("customer_id"))


async def _preview(call: Call, held: Subscription, plan: str) -> SubscriptionChange:
    return await change_plan(call, held.external_id, plan, validate_only=True)


async def _transition(call: Call, body: Reader, *, validate_only: bool) -> SubscriptionChange:
    held = await _held(call, body)
    timing = body.choice("timing", TIMINGS, service.CHANGE_TIMING_UNSPECIFIED)
    credit = body.choice("credit_action", CREDIT_ACTIONS, service.CREDIT_ACTION_UNSPECIFIED)
    if body.text("refund_mode") == "full":
        raise not_available("refund_mode")
    operation = body.choice("operation", OPERATIONS, "")
    if operation == "uncancel":
        return await _withdraw(call, held, validate_only=validate_only)
    if operation == "downgrade":
        plan = body.required("target_plan_code")
        return await change_plan(
            call, held.external_id, plan, timing=timing, credit_action=credit, validate_only=validate_only
        )
    if operation != "cancel":
        raise body.refusal("operation", "value_is_mandatory", f"must be one of {', '.join(OPERATIONS)}")
    request = service.CancelSubscriptionRequest(
        external_id=held.external_id,
        timing=timing,
        credit_action=credit,
        skip_final_invoice=body.choice("final_invoice_action", SKIPS_FINAL_INVOICE, default=False),
        validate_only=validate_only,
    )
    request.request_id = identity_of(call, request)
    change: SubscriptionChange = (await call.ask(call.clients.subscriptions.CancelSubscription, request)).change
    return change


async def _withdraw(call: Call, held: Subscription, *, validate_only: bool) -> SubscriptionChange:
    request = service.WithdrawSubscriptionChangeRequest(external_id=held.external_id, validate_only=validate_only)
    request.request_id = identity_of(call, request)
    answer = await call.ask(call.clients.subscriptions.WithdrawSubscriptionChange, request)
    change: SubscriptionChange = answer.change
    return change


def _direction(change: SubscriptionChange, plan: str) -> dict[str, str]:
    """Rating decides what is an upgrade; it shows by taking effect at once."""
    if change.subscription.plan_code == plan:
        return {"direction": "upgrade", "timing": "immediate"}
    return {"direction": "downgrade", "timing": "end_of_period"}


def _transition_json(body: Reader, change: SubscriptionChange) -> dict[str, Any]:
    return {
        "operation": body.text("operation"),
        "timing": body.text("timing") or None,
        "billing_anchor": "keep_anchor",
        "proration_behavior": body.text("proration_behavior") or None,
        "credit_action": body.text("credit_action") or None,
        "refund_mode": body.text("refund_mode") or None,
        "final_invoice_action": body.text("final_invoice_action") or "generate",
        "effective_at": write.instant(change, "effective_at"),
        "renewal_at": _renewal(change),
        "credit_amount_cents": change.credit_amount_cents,
        "refund_amount_cents": change.refund_amount_cents,
        "offset_amount_cents": change.offset_amount_cents,
        "amount_due_cents": change.due_amount_cents,
        "currency": change.currency,
    }


def _renewal(change: SubscriptionChange) -> str | None:
    period = change.subscription.current_period
    return write.instant(period, "end")


def _identity(held: Subscription) -> dict[str, Any]:
    return {
        "id": held.id,
        "external_id": held.external_id,
        "plan_code": held.plan_code,
        "status": write.word(STATES, held.state),
    }


def _plan(held: Subscription, by_code: dict[str, Plan]) -> dict[str, Any]:
    plan = by_code.get(held.plan_code)
    known = _plan_json(plan) if plan is not None else {"code": held.plan_code, "name": held.plan_code}
    # The subscription's own version may cost something else than the current one.
    return {"plan": {**known, "amount_cents": held.plan_amount_cents, "currency": held.plan_currency}}


def _plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "code": plan.code,
        "name": plan.name,
        "amount_cents": plan.amount_cents,
        "currency": plan.currency,
        "interval": interval_word(plan.interval),
    }


def _pending(held: Subscription, by_code: dict[str, Plan]) -> dict[str, Any] | None:
    change = held.pending_change
    if not change.plan_code:
        return None
    plan = by_code.get(change.plan_code)
    return {
        # A pending change belongs to its subscription and has no id of its own.
        "id": held.id,
        "plan_code": change.plan_code,
        "name": plan.name if plan is not None else change.plan_code,
        "effective_at": write.instant(change, "effective_at"),
        "plan": _plan_json(plan) if plan is not None else None,
    }
