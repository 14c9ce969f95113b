"""The shapes of the Engine's self-service changes; amounts are in minor units."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.dialects.lago.subscription import TIMING, CreditActionWord, FinalInvoice
from gateway.schema import Cents, Code, Instant, InstantInput, keys, of

TransitionName = Literal["cancel", "downgrade", "uncancel"]
Direction = Literal["upgrade", "downgrade", "sidegrade"]
When = Literal["immediate", "end_of_period"]


class WhichSubscription(Struct, kw_only=True):
    """A customer's subscription, by the organization's ids."""

    customer_id: Annotated[Code, of("external_customer_id")]
    subscription_id: Annotated[Code, of("external_id")]


class PlanQuote(WhichSubscription, kw_only=True):
    """A plan to move to."""

    NOT_OFFERED: ClassVar = keys("external_entity_id")

    plan_code: Code


class Transition(WhichSubscription, kw_only=True):
    """The requested change: `cancel`, `downgrade` to a plan, or `uncancel`."""

    NOT_OFFERED: ClassVar = keys("quote_id")
    FIXED: ClassVar = {"billing_anchor": "keep_anchor", "refund_mode": "prorated"}

    operation: TransitionName
    timing: Annotated[str, TIMING.meta] | UnsetType = UNSET
    target_plan_code: Code | UnsetType = UNSET
    proration_behavior: Literal["prorate_immediately", "none"] | UnsetType = UNSET
    credit_action: CreditActionWord | UnsetType = UNSET
    final_invoice_action: FinalInvoice | UnsetType = UNSET
    expected_effective_at: InstantInput | UnsetType = UNSET


class Withdrawal(WhichSubscription, kw_only=True):
    """The pending change to withdraw; its id, if given, is the subscription's own."""

    pending_subscription_id: Code | UnsetType = UNSET


class OfferedPlan(Struct, kw_only=True):
    """A plan, by its current version."""

    code: str
    name: str
    amount_cents: Cents
    currency: str
    interval: str


class EligiblePlan(OfferedPlan, kw_only=True):
    """A plan to which the subscription could move, and when that would take effect."""

    direction: Direction | None
    timing: When
    effective_at: Instant | None


class ManagedSubscription(Struct, kw_only=True):
    """A subscription with its plan."""

    id: str
    external_id: str
    plan_code: str
    status: str | None
    ending_at: Instant | None
    plan: OfferedPlan


class PendingChange(Struct, kw_only=True):
    """A change that is agreed; it has its subscription's id."""

    id: str
    plan_code: str
    name: str
    effective_at: Instant | None
    plan: OfferedPlan | None


class SubscriptionOptions(Struct, kw_only=True):
    """A subscription, what is agreed to follow, and the plans it could move to."""

    subscription: ManagedSubscription
    pending_change: PendingChange | None
    eligible_plans: list[EligiblePlan]
    checkout: Annotated[None, Meta(description="Always null: without a payment provider, checkouts end at once.")] = (
        None
    )


class PlanChangeQuote(Struct, kw_only=True):
    """What a move would cost; `quote_id` names exactly these terms, and is refused once they differ."""

    quote_id: str
    currency: str
    credit_amount_cents: Cents
    debit_amount_cents: Cents
    net_amount_cents: Cents
    amount_due_now_cents: Cents
    amount_due_at_effective_cents: Cents
    transition_direction: Direction | None
    timing: When
    effective_at: Instant | None
    renewal_at: Instant | None


class TransitionPreview(Struct, kw_only=True):
    """What a transition does, or in a preview would do."""

    operation: TransitionName
    timing: str | None
    billing_anchor: Literal["keep_anchor"] = "keep_anchor"
    proration_behavior: str | None
    credit_action: str | None
    refund_mode: Literal["prorated"] = "prorated"
    final_invoice_action: str
    effective_at: Instant | None
    renewal_at: Instant | None
    credit_amount_cents: Cents
    refund_amount_cents: Cents
    offset_amount_cents: Cents
    amount_due_cents: Annotated[Cents, of("due_amount_cents")]
    currency: str


class AppliedTransition(TransitionPreview, kw_only=True):
    """What a transition did; its `id` is the Idempotency-Key, or the subscription's."""

    id: str
    subscription_id: str
    external_subscription_id: str
    plan_code: str
    status: str | None
    invoice_id: str | None


class WithdrawnSubscription(Struct, kw_only=True):
    """The subscription without its pending change."""

    id: str
    external_id: str
    plan_code: str
    status: str | None


class WithdrawnChange(Struct, kw_only=True):
    """The subscription, and the id of the withdrawn change."""

    subscription: WithdrawnSubscription
    withdrawn_pending_subscription_id: str
