"""The Engine's ways onto a plan: `checkout` and `subscribe`. Without a payment provider they take effect at once.

A call that names no subscription means the customer's only one. Rating decides that under the customer's lock, so that
any number of simultaneous calls make one subscription.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import subscription_service_pb2 as rpc
from farebox.rating.v1.subscription_pb2 import Subscription, SubscriptionChange
from gateway.call import Call
from gateway.dialects.lago.subscription import STATE
from gateway.dialects.nozle.transition import quote_id
from gateway.operation import Nothing, Request, operation
from gateway.problem import Problem
from gateway.schema import Cents, Code, Instant, keys


class Pong(Struct):
    """Shows that the gateway answers."""

    ok: bool = True
    engine: Literal["ok"] = "ok"


class Checkout(Struct, kw_only=True):
    """A customer and the plan it wants; `quote_id` ties the checkout to the terms that were shown."""

    NOT_OFFERED: ClassVar = keys("external_entity_id register_mandate metadata")

    plan_code: Code | UnsetType = UNSET
    customer_id: Code | UnsetType = UNSET
    subscription_id: Code | UnsetType = UNSET
    quote_id: Code | UnsetType = UNSET
    return_url: (
        Annotated[
            str,
            Meta(
                max_length=2000,
                description="Not used: customers are not sent elsewhere to pay, so they need no way back.",
            ),
        ]
        | UnsetType
    ) = UNSET
    invoice_id: (
        Annotated[
            Code,
            Meta(description="Refused: invoices are paid outside of Farebox, and the payment is reported on them."),
        ]
        | UnsetType
    ) = UNSET


class CheckoutResult(Struct, kw_only=True):
    """`completed`, or `scheduled` if the change takes effect later; amounts are in minor units."""

    type: Literal["completed", "scheduled"]
    status: Literal["succeeded", "pending"]
    subscription_id: str
    plan_code: str
    # The only source that the SDK's types know. Nothing is collected here; the invoice follows.
    payment_source: Literal["credits"] | UnsetType = UNSET
    invoice_id: str | UnsetType | None = UNSET
    amount_cents: Annotated[Cents, Meta(description="Collected now: always 0.")] | UnsetType = UNSET
    effective_at: Instant | UnsetType = UNSET


class Subscribe(Struct, kw_only=True):
    """A customer and its new plan."""

    NOT_OFFERED: ClassVar = keys("external_entity_id")

    plan_code: Code
    customer_id: Code
    plan_version: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    subscription_id: Code | UnsetType = UNSET


class Subscribed(Struct, kw_only=True):
    """The subscription, by the organization's id."""

    subscription_id: str
    status: str | None


async def ping(_: Request[Nothing, Nothing, Nothing]) -> Pong:
    """Check that the gateway answers."""
    return Pong()


async def checkout(request: Request[Nothing, Nothing, Checkout]) -> CheckoutResult:
    """Bring a customer onto a plan: by a new subscription, or by a change of the existing one."""
    call, body = request.call, request.body
    if body.invoice_id is not UNSET:
        message = "invoices are paid outside of Farebox; report the payment on the invoice"
        raise Problem(422, "payment_provider_required", message, fields={"invoice_id": ["payment_provider_required"]})
    customer, plan = _named("customer_id", body.customer_id), _named("plan_code", body.plan_code)
    asked = rpc.CreateSubscriptionRequest(external_customer_id=customer, plan_code=plan)
    if body.subscription_id is UNSET:
        asked.reuse = rpc.REUSE_SUBSCRIPTION_OF_CUSTOMER
    else:
        asked.external_id, asked.change_existing = body.subscription_id, True
    if body.quote_id is not UNSET:
        await _require_quoted_terms(call, asked, body.quote_id)
    asked.request_id = call.mutation_id
    return _result((await call.ask(call.clients.subscriptions.CreateSubscription, asked)).change, plan)


async def subscribe(request: Request[Nothing, Nothing, Subscribe]) -> Subscribed:
    """Put a customer on a plan. For the same customer and plan again, the existing subscription stays."""
    call, body = request.call, request.body
    asked = rpc.CreateSubscriptionRequest(
        request_id=call.mutation_id, external_customer_id=body.customer_id, plan_code=body.plan_code
    )
    if body.subscription_id is UNSET:
        asked.reuse = rpc.REUSE_SUBSCRIPTION_OF_PLAN
    else:
        asked.external_id = body.subscription_id
    if body.plan_version is not UNSET:
        asked.plan_version = body.plan_version
        await _require_no_other_version(call, body.customer_id, body.plan_code, body.plan_version)
    made = (await call.ask(call.clients.subscriptions.CreateSubscription, asked)).change.subscription
    return Subscribed(subscription_id=made.external_id, status=STATE.word(made.state))


def _named(field: str, value: str | UnsetType) -> str:
    if value is UNSET:
        raise Problem(422, "validation_errors", f"{field}: is missing", fields={field: ["value_is_mandatory"]})
    return value


async def _require_quoted_terms(call: Call, asked: rpc.CreateSubscriptionRequest, quoted: str) -> None:
    """Refuse a checkout whose terms are not those of the quote, also if the quote was made up."""
    trial = rpc.CreateSubscriptionRequest()
    trial.CopyFrom(asked)
    trial.validate_only = True
    change = (await call.ask(call.clients.subscriptions.CreateSubscription, trial)).change
    if quote_id(change, asked.plan_code) != quoted:
        raise Problem(409, "quote_expired", "the terms are not those of this quote; ask for a new one")


async def _require_no_other_version(call: Call, customer: str, plan: str, version: int) -> None:
    """Refuse to subscribe a customer to a version of a plan while it has another version."""
    asked = rpc.ListSubscriptionsRequest(page=PageRequest(page_size=1), external_customer_id=customer, plan_code=plan)
    for held in (await call.ask(call.clients.subscriptions.ListSubscriptions, asked)).subscriptions:
        if held.plan_version != version:
            code, message = "plan_version_change_not_supported", "the customer has another version of the plan"
            raise Problem(422, "validation_errors", message, fields={"plan_version": [code]})


def _result(change: SubscriptionChange, plan: str) -> CheckoutResult:
    held = change.subscription
    if held.state == Subscription.STATE_ACTIVE and held.plan_code == plan:
        return CheckoutResult(
            type="completed",
            status="succeeded",
            payment_source="credits",
            subscription_id=held.external_id,
            plan_code=plan,
            invoice_id=next(iter(change.invoice_ids), None),
            amount_cents=0,
        )
    return CheckoutResult(type="scheduled", status="pending", subscription_id=held.external_id, plan_code=plan)


_NAMES = {"external_customer_id": "customer_id", "external_id": "subscription_id"}
OPERATIONS = (
    operation("GET", "/ping", ping),
    operation("POST", "/checkout", checkout, names=_NAMES),
    operation("POST", "/subscribe", subscribe, names=_NAMES),
)
