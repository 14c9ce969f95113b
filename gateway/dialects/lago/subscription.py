"""Subscriptions in Lago's way: created, moved to another plan by creating them again, terminated."""

from __future__ import annotations

from datetime import date
from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import subscription_service_pb2 as rpc
from farebox.rating.v1.subscription_pb2 import Subscription as SubscriptionMessage
from gateway.dialects.lago.common import Identified, first_instant, last_second
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ByCustomer, Listed, Nothing, Request, operation
from gateway.problem import invalid, refuse_both_names
from gateway.projection import aware, callers_names, instant_or_none, patch, project
from gateway.schema import Cents, Code, Instant, InstantInput, Words, keys, of

STATE = Words(SubscriptionMessage.State, "STATE_")
BILLING_TIME = Words(SubscriptionMessage.BillingTime, "BILLING_TIME_")
CREDIT_ACTION = Words(rpc.CreditAction, "CREDIT_ACTION_", synonyms={"skip": "none"})
# The Engine's words for the time at which a change takes effect.
TIMING = Words(rpc.ChangeTiming, "CHANGE_TIMING_", synonyms={"immediate": "now", "end_of_period": "period_end"})

# `GET /subscriptions/options` is a route of the Engine.
RESERVED_ID = "options"

State = Annotated[str, STATE.meta, of("states")]
CreditActionWord = Annotated[str, CREDIT_ACTION.meta, of("credit_action")]
FinalInvoice = Annotated[
    Literal["generate", "skip"], Meta(description="Whether usage since the last invoice is invoiced.")
]


class NewSubscription(Struct, kw_only=True):
    """Who subscribes to what. If the `external_id` is subscribed already, it moves to the plan."""

    NOT_OFFERED: ClassVar = keys(
        "plan_overrides activation_rules payment_method invoice_custom_section consolidate_invoice "
        "billing_entity_code purchase_order_number progressive_billing_disabled"
    )

    external_customer_id: Code
    plan_code: Code
    plan_version: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    external_id: Code | UnsetType = UNSET
    name: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    billing_time: Annotated[str, BILLING_TIME.meta] = "calendar"
    subscription_at: Annotated[InstantInput, of("started_at")] | UnsetType | None = UNSET
    ending_at: InstantInput | UnsetType | None = UNSET


class SubscriptionUpdate(Struct, kw_only=True):
    """What changes of a subscription; null takes the name, or the end, away. Another plan is asked for by `POST`."""

    NOT_OFFERED: ClassVar = keys(
        "activation_rules billing_entity_code billing_time consolidate_invoice external_customer_id external_id "
        "invoice_custom_section on_termination_credit_note on_termination_invoice payment_method plan_code "
        "plan_overrides progressive_billing_disabled purchase_order_number subscription_at"
    )

    name: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    ending_at: InstantInput | UnsetType | None = UNSET


class UpdateQuery(Struct):
    """The subscription is the one that has not ended, whether it has begun or not."""

    NOT_OFFERED: ClassVar = keys("status")


class SubscriptionFilters(PageQuery, kw_only=True):
    """Which subscriptions; without a status, the active ones."""

    NOT_OFFERED: ClassVar = keys("overriden exclude_next_subscriptions")

    plan_code: Code | UnsetType = UNSET
    status: Annotated[list[State], of("states")] | UnsetType = UNSET
    currency: Annotated[str, Meta(max_length=3)] | UnsetType = UNSET


class SubscriptionQuery(SubscriptionFilters, kw_only=True):
    """Which subscriptions, and whose."""

    external_customer_id: Code | UnsetType = UNSET


class EndQuery(Struct, kw_only=True):
    """How a subscription ends: in Lago's words or, if the customer is named, in those of Nozle's Engine."""

    NOT_OFFERED: ClassVar = keys("status")

    customer_id: Annotated[Code, of("external_customer_id")] | UnsetType = UNSET
    cancellation_policy: Annotated[str, TIMING.meta, of("timing")] = "now"
    credit_action: CreditActionWord | UnsetType = UNSET
    on_termination_credit_note: CreditActionWord | UnsetType = UNSET
    final_invoice_action: FinalInvoice | UnsetType = UNSET
    on_termination_invoice: FinalInvoice | UnsetType = UNSET


class BySubscription(Struct):
    """A subscription, by the organization's id."""

    external_id: str


class Subscription(Identified, kw_only=True):
    """A customer on a plan, over time."""

    external_id: str
    lago_customer_id: Annotated[str | None, of("customer_id")]
    external_customer_id: str
    name: str | None
    plan_code: str
    plan_version: int
    plan_amount_cents: Cents
    plan_amount_currency: Annotated[str | None, of("plan_currency")]
    status: Annotated[str, STATE.told, of("state")] | None
    billing_time: Annotated[str, BILLING_TIME.told]
    subscription_at: Annotated[Instant | None, of("started_at")]
    started_at: Instant | None
    trial_ended_at: Annotated[Instant | None, of("trial_ends_at")]
    ending_at: Annotated[Instant | None, Meta(description="When it ends by itself, or by an agreed cancellation.")]
    terminated_at: Instant | None
    canceled_at: Annotated[Instant | None, Meta(description="When it ended before it began.")]
    previous_plan_code: str | None
    next_plan_code: str | None
    downgrade_plan_date: Annotated[date | None, Meta(description="The day, UTC, on which the next plan begins.")]
    current_billing_period_started_at: Instant | None
    current_billing_period_ending_at: Instant | None
    created_at: Instant | None


async def create(request: Request[Nothing, Nothing, NewSubscription]) -> Subscription:
    """Put a customer on a plan.

    If the customer has a subscription with this `external_id` that has not ended, it moves to the plan; another
    customer's is refused.
    """
    call = request.call
    if request.body.external_id == RESERVED_ID:
        raise invalid(
            "external_id", "value_is_invalid", f"{RESERVED_ID!r} is a word of a route, so it could not be read"
        )
    asked, _ = patch(rpc.CreateSubscriptionRequest(request_id=call.mutation_id, change_existing=True), request.body)
    return subscription_to_api(
        (await call.ask(call.clients.subscriptions.CreateSubscription, asked)).change.subscription
    )


async def find(request: Request[BySubscription, Nothing, Nothing]) -> Subscription:
    """Find a subscription by the organization's id."""
    call, asked = request.call, rpc.GetSubscriptionRequest(external_id=request.path.external_id)
    return subscription_to_api((await call.ask(call.clients.subscriptions.GetSubscription, asked)).subscription)


async def find_all(request: Request[Nothing, SubscriptionQuery, Nothing]) -> Listed[Subscription]:
    """List subscriptions, newest first; without a status, only active ones."""
    return await listed(request.call, rpc.ListSubscriptionsRequest, request.query, subscription_to_api)


async def find_of_customer(request: Request[ByCustomer, SubscriptionFilters, Nothing]) -> Listed[Subscription]:
    """List a customer's subscriptions, newest first; without a status, only active ones."""
    asked, whose = rpc.ListSubscriptionsRequest, request.path.external_customer_id
    return await listed(request.call, asked, request.query, subscription_to_api, external_customer_id=whose)


async def change(request: Request[BySubscription, UpdateQuery, SubscriptionUpdate]) -> Subscription:
    """Change the name of a subscription, or when it ends by itself."""
    call, asked = request.call, rpc.UpdateSubscriptionRequest(external_id=request.path.external_id)
    asked.request_id = call.mutation_id
    asked.update_mask.paths.extend(patch(asked.subscription, request.body)[1])
    return subscription_to_api((await call.ask(call.clients.subscriptions.UpdateSubscription, asked)).subscription)


async def terminate(request: Request[BySubscription, EndQuery, Nothing]) -> Subscription:
    """End a subscription now, or at the end of its period if the cancellation policy says so."""
    call, query = request.call, request.query
    asked = rpc.CancelSubscriptionRequest(request_id=call.mutation_id, external_id=request.path.external_id)
    refuse_both_names(query, "credit_action", "on_termination_credit_note")
    refuse_both_names(query, "final_invoice_action", "on_termination_invoice")
    patch(asked, query, skip=("final_invoice_action", "on_termination_invoice"))
    asked.skip_final_invoice = "skip" in (query.final_invoice_action, query.on_termination_invoice)
    return subscription_to_api(
        (await call.ask(call.clients.subscriptions.CancelSubscription, asked)).change.subscription
    )


def subscription_to_api(subscription: SubscriptionMessage) -> Subscription:
    """A subscription as Lago's clients read it."""
    is_canceled = subscription.state == SubscriptionMessage.STATE_CANCELED
    ended_at = instant_or_none(subscription, "terminated_at")
    change = subscription.pending_change
    changes_at = aware(change.effective_at) if subscription.HasField("pending_change") else None
    period = subscription.current_period if subscription.HasField("current_period") else None
    return project(
        Subscription,
        subscription,
        billing_time=BILLING_TIME.word(subscription.billing_time) or "calendar",
        ending_at=instant_or_none(subscription, "ending_at") or (None if change.plan_code else changes_at),
        terminated_at=None if is_canceled else ended_at,
        canceled_at=ended_at if is_canceled else None,
        next_plan_code=change.plan_code or None,
        downgrade_plan_date=changes_at.date() if changes_at is not None and change.plan_code else None,
        current_billing_period_started_at=first_instant(period) if period else None,
        current_billing_period_ending_at=last_second(period) if period else None,
    )


_ONE = "/subscriptions/{external_id}"
OPERATIONS = (
    operation(
        "POST",
        "/subscriptions",
        create,
        root="subscription",
        names=callers_names(NewSubscription, rpc.CreateSubscriptionRequest),
    ),
    operation("GET", "/subscriptions", find_all, answer_root="subscriptions"),
    operation("GET", _ONE, find, answer_root="subscription"),
    operation(
        "PUT",
        _ONE,
        change,
        root="subscription",
        names=callers_names(SubscriptionUpdate, SubscriptionMessage, "subscription."),
    ),
    operation("DELETE", _ONE, terminate, answer_root="subscription"),
    operation("GET", "/customers/{external_customer_id}/subscriptions", find_of_customer, answer_root="subscriptions"),
)
