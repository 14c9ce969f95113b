"""The Engine's ways onto a plan: `checkout` and `subscribe`. Without a payment provider they are done at once."""

from __future__ import annotations

from typing import Any

from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import subscription_service_pb2 as service
from farebox.rating.v1.subscription_pb2 import Subscription, SubscriptionChange
from gateway.call import Call
from gateway.dialects.nozle import write
from gateway.dialects.nozle.read import Reader
from gateway.dialects.nozle.subscriptions import STATES, change_plan, live, require_owner, subscribe
from gateway.problem import Problem, not_available


async def ping(_: Call) -> Any:
    """`GET /ping`."""
    return {"ok": True, "engine": "ok"}


async def checkout(call: Call) -> Any:
    """`POST /checkout`: answers `completed`, or `scheduled` where the change takes effect later."""
    body = Reader(call.json())
    if body.has("invoice_id"):
        raise Problem(
            422,
            "payment_provider_required",
            "invoices are paid outside of Farebox; report the payment on the invoice",
            fields={"invoice_id": ["payment_provider_required"]},
        )
    if body.has("external_entity_id"):
        raise not_available("external_entity_id")
    customer, plan = body.required("customer_id"), body.required("plan_code")
    external_id = body.text("subscription_id")
    held = await live(call, external_id)
    if held is not None:
        await require_owner(call, external_id, customer)
    else:
        held = None if external_id else await _on_plan(call, customer, plan)
    return _checkout_json(await _reach(call, held, customer, plan, external_id), plan)


async def subscribe_to_plan(call: Call) -> Any:
    """`POST /subscribe`: the same customer and plan again keep the subscription they have."""
    body = Reader(call.json())
    customer, plan, version = body.required("customer_id"), body.required("plan_code"), body.integer("plan_version")
    held = await _on_plan(call, customer, plan)
    if held is None:
        request = service.CreateSubscriptionRequest(
            external_customer_id=customer,
            plan_code=plan,
            plan_version=version,
            external_id=body.text("subscription_id"),
            # Whoever asks at the same moment gets the same subscription.
            reuse=service.REUSE_SUBSCRIPTION_OF_PLAN,
        )
        held = (await subscribe(call, request)).subscription
    elif version not in (0, held.plan_version):
        raise body.refusal("plan_version", "plan_version_change_not_supported", "is not the subscription's own")
    return {"subscription_id": held.external_id, "status": write.word(STATES, held.state)}


async def _reach(
    call: Call, held: Subscription | None, customer: str, plan: str, external_id: str
) -> SubscriptionChange:
    """Whatever brings the customer onto the plan."""
    if held is None:
        # Without an id, a checkout is of the customer's one subscription: made once, then moved.
        reuse = service.REUSE_SUBSCRIPTION_UNSPECIFIED if external_id else service.REUSE_SUBSCRIPTION_OF_CUSTOMER
        request = service.CreateSubscriptionRequest(
            external_customer_id=customer, plan_code=plan, external_id=external_id, reuse=reuse
        )
        return await subscribe(call, request)
    if held.plan_code == plan:
        return SubscriptionChange(subscription=held)
    return await change_plan(call, held.external_id, plan)


async def _on_plan(call: Call, customer: str, plan: str) -> Subscription | None:
    """The customer's active subscription to the plan, or None."""
    request = service.ListSubscriptionsRequest(
        page=PageRequest(page_size=1), external_customer_id=customer, plan_code=plan
    )
    answer = await call.ask(call.clients.subscriptions.ListSubscriptions, request)
    return next(iter(answer.subscriptions), None)


def _checkout_json(change: SubscriptionChange, plan: str) -> dict[str, Any]:
    held = change.subscription
    if held.state == Subscription.STATE_ACTIVE and held.plan_code == plan:
        return {
            "type": "completed",
            "status": "succeeded",
            # The one source that the SDK's types know; nothing is collected here, the invoice follows.
            "payment_source": "credits",
            "subscription_id": held.external_id,
            "plan_code": plan,
            "invoice_id": next(iter(change.invoice_ids), None),
            "amount_cents": 0,
        }
    return {"type": "scheduled", "status": "pending", "subscription_id": held.external_id, "plan_code": plan}
