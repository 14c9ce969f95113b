"""The Engine's self-service changes: options, quotes, transitions and taking them back; amounts are in minor units."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Struct, UnsetType

from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import subscription_pb2
from farebox.rating.v1 import subscription_service_pb2 as rpc
from farebox.rating.v1.plan_pb2 import Plan
from farebox.rating.v1.subscription_pb2 import Subscription, SubscriptionChange
from gateway.call import Call
from gateway.dialects.lago.plan import interval_word
from gateway.dialects.lago.subscription import STATE, TIMING, CreditActionWord
from gateway.dialects.nozle.transition_shapes import (
    AppliedTransition,
    Direction,
    EligiblePlan,
    ManagedSubscription,
    OfferedPlan,
    PendingChange,
    PlanChangeQuote,
    PlanQuote,
    SubscriptionOptions,
    Transition,
    TransitionPreview,
    WhichSubscription,
    Withdrawal,
    WithdrawnChange,
    WithdrawnSubscription,
)
from gateway.operation import Nothing, Request, operation
from gateway.problem import Problem, invalid, not_found
from gateway.projection import aware, instant_or_none, patch, project

# How many plans are offered at a time; nobody chooses among more.
MAX_OPTIONS = 50
_DIRECTIONS: dict[int, Direction] = {
    subscription_pb2.CHANGE_DIRECTION_UPGRADE: "upgrade",
    subscription_pb2.CHANGE_DIRECTION_DOWNGRADE: "downgrade",
    subscription_pb2.CHANGE_DIRECTION_SIDEGRADE: "sidegrade",
}


async def options(request: Request[Nothing, WhichSubscription, Nothing]) -> SubscriptionOptions:
    """List the plans to which a subscription could move, and what is agreed already."""
    call = request.call
    asked, _ = patch(rpc.ListPlanChangesRequest(page=PageRequest(page_size=MAX_OPTIONS)), request.query)
    answer = await call.ask(call.clients.subscriptions.ListPlanChanges, asked)
    held = answer.subscription
    return SubscriptionOptions(
        subscription=ManagedSubscription(
            id=held.id,
            external_id=held.external_id,
            plan_code=held.plan_code,
            status=STATE.word(held.state),
            ending_at=instant_or_none(held, "ending_at"),
            plan=_plan(answer.plan),
        ),
        pending_change=_pending(answer),
        eligible_plans=[_eligible(option) for option in answer.options if _is_offered(option, held)],
    )


async def preview_plan(request: Request[Nothing, Nothing, PlanQuote]) -> PlanChangeQuote:
    """Quote a move to another plan."""
    body = request.body
    return _quote(
        await quoted_change(request.call, body.customer_id, body.subscription_id, body.plan_code), body.plan_code
    )


async def preview(request: Request[Nothing, Nothing, Transition]) -> TransitionPreview:
    """Preview what a transition would do."""
    change = await _transition(request.call, request.body, validate_only=True)
    return project(TransitionPreview, change, **_said(request.body, change))


async def apply(request: Request[Nothing, Nothing, Transition]) -> AppliedTransition:
    """Cancel, downgrade, or take a cancellation back."""
    call, body = request.call, request.body
    if body.expected_effective_at is not UNSET:
        planned = (await _transition(call, body, validate_only=True)).effective_at
        if aware(planned) != body.expected_effective_at:
            raise Problem(409, "effective_at_changed", "the transition would take effect at another time")
    change = await _transition(call, body, validate_only=False)
    held = change.subscription
    return project(
        AppliedTransition,
        change,
        id=call.headers.get("idempotency-key") or held.id,
        subscription_id=held.id,
        external_subscription_id=held.external_id,
        plan_code=held.plan_code,
        status=STATE.word(held.state),
        invoice_id=next(iter(change.invoice_ids), None),
        **_said(body, change),
    )


async def withdraw(request: Request[Nothing, Nothing, Withdrawal]) -> WithdrawnChange:
    """Take a pending change back."""
    call, body = request.call, request.body
    found = rpc.GetSubscriptionRequest(external_id=body.subscription_id, external_customer_id=body.customer_id)
    held = (await call.ask(call.clients.subscriptions.GetSubscription, found)).subscription
    if body.pending_subscription_id not in (UNSET, held.id):
        raise not_found("pending_subscription", "the subscription has no such pending change")
    asked, _ = patch(
        rpc.WithdrawSubscriptionChangeRequest(request_id=call.mutation_id), body, skip=("pending_subscription_id",)
    )
    change = (await call.ask(call.clients.subscriptions.WithdrawSubscriptionChange, asked)).change
    kept = change.subscription
    return WithdrawnChange(
        subscription=WithdrawnSubscription(
            id=kept.id, external_id=kept.external_id, plan_code=kept.plan_code, status=STATE.word(kept.state)
        ),
        withdrawn_pending_subscription_id=held.id,
    )


async def quoted_change(call: Call, customer: str, subscription: str, plan: str) -> SubscriptionChange:
    """What a move to a plan would do; nothing is stored."""
    asked = rpc.ChangeSubscriptionPlanRequest(
        external_id=subscription, external_customer_id=customer, plan_code=plan, validate_only=True
    )
    return (await call.ask(call.clients.subscriptions.ChangeSubscriptionPlan, asked)).change


def quote_id(change: SubscriptionChange, plan: str) -> str:
    """A name for exactly these terms.

    It is the same for everybody: a caller who quotes it wants the terms that were shown.
    """
    terms = (
        *(change.subscription.id if not change.HasField("previous_subscription") else change.previous_subscription.id,),
        *(plan, change.currency, str(change.due_amount_cents), str(change.credit_amount_cents)),
        str(change.direction),
    )
    return hashlib.blake2b("\0".join(terms).encode(), digest_size=16).hexdigest()


async def _transition(call: Call, body: Transition, *, validate_only: bool) -> SubscriptionChange:
    """Request the transition. A preview has no identity, so the key stays free for the transition itself."""
    _require_consistency(body)
    identity = "" if validate_only else call.mutation_id
    stub, which = (
        call.clients.subscriptions,
        WhichSubscription(customer_id=body.customer_id, subscription_id=body.subscription_id),
    )
    if body.operation == "uncancel":
        undo = rpc.WithdrawSubscriptionChangeRequest(request_id=identity, validate_only=validate_only)
        return (await call.ask(stub.WithdrawSubscriptionChange, patch(undo, which)[0])).change
    if body.operation == "downgrade":
        move = rpc.ChangeSubscriptionPlanRequest(request_id=identity, validate_only=validate_only)
        patch(move, _Move(body.timing, body.credit_action, body.target_plan_code))
        return (await call.ask(stub.ChangeSubscriptionPlan, patch(move, which)[0])).change
    end = rpc.CancelSubscriptionRequest(request_id=identity, validate_only=validate_only)
    patch(end, _End(body.timing, body.credit_action))
    end.skip_final_invoice = body.final_invoice_action == "skip"
    return (await call.ask(stub.CancelSubscription, patch(end, which)[0])).change


class _End(Struct):
    """The options of an end."""

    timing: Annotated[str, TIMING.meta] | UnsetType
    credit_action: CreditActionWord | UnsetType


class _Move(_End):
    """The options of a move."""

    plan_code: str | UnsetType


def _require_consistency(body: Transition) -> None:
    """Refuse options that mean nothing for the operation, or that contradict each other."""
    if (body.operation == "downgrade") is (body.target_plan_code is UNSET):
        raise invalid("target_plan_code", "value_is_invalid", "belongs to a downgrade, which needs it")
    if body.operation != "cancel" and body.final_invoice_action is not UNSET:
        raise invalid("final_invoice_action", "value_is_invalid", "belongs to cancel")
    if body.operation == "uncancel" and (body.timing, body.credit_action) != (UNSET, UNSET):
        raise invalid("operation", "value_is_invalid", "uncancel takes no options")
    is_credited = body.credit_action not in (UNSET, "none", "skip")
    if body.proration_behavior == "none" and is_credited:
        raise invalid(
            "credit_action", "value_is_invalid", "credits the unused days, which proration_behavior none forbids"
        )


def _said(body: Transition, change: SubscriptionChange) -> dict[str, object]:
    """What the caller asked for, repeated in the answer, and the next renewal."""
    return {
        "operation": body.operation,
        "timing": None if body.timing is UNSET else body.timing,
        "proration_behavior": None if body.proration_behavior is UNSET else body.proration_behavior,
        "credit_action": None if body.credit_action is UNSET else body.credit_action,
        "final_invoice_action": "generate" if body.final_invoice_action is UNSET else body.final_invoice_action,
        "renewal_at": _renewal(change),
    }


def _quote(change: SubscriptionChange, plan: str) -> PlanChangeQuote:
    due, credit = change.due_amount_cents, change.credit_amount_cents
    is_now = change.subscription.plan_code == plan
    return PlanChangeQuote(
        quote_id=quote_id(change, plan),
        currency=change.currency,
        credit_amount_cents=credit,
        debit_amount_cents=due,
        net_amount_cents=due - credit,
        amount_due_now_cents=due if is_now else 0,
        amount_due_at_effective_cents=0 if is_now else due,
        transition_direction=_DIRECTIONS.get(change.direction),
        timing="immediate" if is_now else "end_of_period",
        effective_at=instant_or_none(change, "effective_at"),
        renewal_at=_renewal(change),
    )


def _renewal(change: SubscriptionChange) -> datetime | None:
    return instant_or_none(change.subscription.current_period, "end")


def _is_offered(option: rpc.ListPlanChangesResponse.Option, held: Subscription) -> bool:
    """Whether a plan is a different one for which the customer could be billed."""
    return option.plan.code != held.plan_code and option.plan.currency == held.plan_currency


def _eligible(option: rpc.ListPlanChangesResponse.Option) -> EligiblePlan:
    is_down = option.direction == subscription_pb2.CHANGE_DIRECTION_DOWNGRADE
    return project(
        EligiblePlan,
        option.plan,
        interval=interval_word(option.plan.interval),
        direction=_DIRECTIONS.get(option.direction),
        timing="end_of_period" if is_down else "immediate",
        effective_at=instant_or_none(option, "effective_at"),
    )


def _plan(plan: Plan) -> OfferedPlan:
    return project(OfferedPlan, plan, interval=interval_word(plan.interval))


def _pending(answer: rpc.ListPlanChangesResponse) -> PendingChange | None:
    held = answer.subscription
    change = held.pending_change
    if not change.plan_code:
        return None
    plan = answer.pending_plan if answer.HasField("pending_plan") else None
    return PendingChange(
        id=held.id,
        plan_code=change.plan_code,
        name=plan.name if plan else change.plan_code,
        effective_at=aware(change.effective_at),
        plan=_plan(plan) if plan else None,
    )


_NAMES = {
    "external_id": "subscription_id",
    "external_customer_id": "customer_id",
    "plan_code": "target_plan_code",
    "timing": "timing",
    "credit_action": "credit_action",
}
_SUBSCRIPTIONS = "/subscriptions"
OPERATIONS = (
    operation("GET", f"{_SUBSCRIPTIONS}/options", options, names=_NAMES, also=frozenset({404})),
    operation("POST", f"{_SUBSCRIPTIONS}/preview", preview_plan, names={**_NAMES, "plan_code": "plan_code"}),
    operation("POST", f"{_SUBSCRIPTIONS}/transitions", apply, answer_root="subscription_transition", names=_NAMES),
    operation(
        "POST", f"{_SUBSCRIPTIONS}/transitions/preview", preview, answer_root="subscription_transition", names=_NAMES
    ),
    operation("POST", f"{_SUBSCRIPTIONS}/transitions/withdraw", withdraw, names=_NAMES),
)
