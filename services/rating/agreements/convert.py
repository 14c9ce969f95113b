"""Subscriptions and the results of their verbs: messages to domain and back."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1 import subscription_pb2 as pb
from farebox.rating.v1 import subscription_service_pb2 as service_pb2
from services.kernel.cadence import Alignment
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import uuid_or_none
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.change import ChangeKind, ChangeTiming
from services.rating.agreements.queries import PlanChanges
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.store import SubscriptionsWanted
from services.rating.agreements.subscription_change import NewSubscription, Reuse, SubscriptionChange, VersionMove
from services.rating.catalog.convert.plans import plan_to_pb
from services.rating.shared.subscription_state import SubscriptionState
from services.wire.masks import patched
from services.wire.values import instant_or_none_of, instant_to_pb, page_to_pb, period_to_pb

C = TypeVar("C", service_pb2.ChangeSubscriptionPlanRequest, service_pb2.CancelSubscriptionRequest)

# Keyed by number: an enum on the wire is a number, possibly one that we do not know.
_STATES: dict[int, SubscriptionState] = {
    pb.Subscription.STATE_PENDING: SubscriptionState.PENDING,
    pb.Subscription.STATE_ACTIVE: SubscriptionState.ACTIVE,
    pb.Subscription.STATE_TERMINATED: SubscriptionState.TERMINATED,
    pb.Subscription.STATE_CANCELED: SubscriptionState.CANCELED,
}
_ALIGNMENTS: dict[int, Alignment] = {
    pb.Subscription.BILLING_TIME_UNSPECIFIED: Alignment.CALENDAR,
    pb.Subscription.BILLING_TIME_CALENDAR: Alignment.CALENDAR,
    pb.Subscription.BILLING_TIME_ANNIVERSARY: Alignment.ANNIVERSARY,
}
_TIMINGS: dict[int, ChangeTiming] = {
    service_pb2.CHANGE_TIMING_UNSPECIFIED: ChangeTiming.DEFAULT,
    service_pb2.CHANGE_TIMING_NOW: ChangeTiming.NOW,
    service_pb2.CHANGE_TIMING_PERIOD_END: ChangeTiming.PERIOD_END,
}
_REUSES: dict[int, Reuse] = {
    service_pb2.REUSE_SUBSCRIPTION_UNSPECIFIED: Reuse.NONE,
    service_pb2.REUSE_SUBSCRIPTION_OF_PLAN: Reuse.OF_PLAN,
    service_pb2.REUSE_SUBSCRIPTION_OF_CUSTOMER: Reuse.OF_CUSTOMER,
}
_RESOLUTIONS: dict[int, Resolution] = {
    service_pb2.CREDIT_ACTION_UNSPECIFIED: Resolution.CREDIT,
    service_pb2.CREDIT_ACTION_CREDIT: Resolution.CREDIT,
    service_pb2.CREDIT_ACTION_REFUND: Resolution.REFUND,
    service_pb2.CREDIT_ACTION_OFFSET: Resolution.OFFSET,
    service_pb2.CREDIT_ACTION_NONE: Resolution.NONE,
}
_DIRECTIONS = {
    ChangeKind.UPGRADE: pb.CHANGE_DIRECTION_UPGRADE,
    ChangeKind.DOWNGRADE: pb.CHANGE_DIRECTION_DOWNGRADE,
    ChangeKind.SIDEGRADE: pb.CHANGE_DIRECTION_SIDEGRADE,
}
_STATES_TO_PB = {
    SubscriptionState.PENDING: pb.Subscription.STATE_PENDING,
    SubscriptionState.ACTIVE: pb.Subscription.STATE_ACTIVE,
    SubscriptionState.TERMINATED: pb.Subscription.STATE_TERMINATED,
    SubscriptionState.CANCELED: pb.Subscription.STATE_CANCELED,
}
_ALIGNMENTS_TO_PB = {
    Alignment.CALENDAR: pb.Subscription.BILLING_TIME_CALENDAR,
    Alignment.ANNIVERSARY: pb.Subscription.BILLING_TIME_ANNIVERSARY,
}


def new_subscription_from_pb(message: service_pb2.CreateSubscriptionRequest) -> NewSubscription:
    """Who subscribes to what, or a refusal that names the wrong fields."""
    alignment = _ALIGNMENTS.get(message.billing_time)
    if alignment is None:
        raise _unknown("billing_time")
    reuse = _REUSES.get(message.reuse)
    if reuse is None:
        raise _unknown("reuse")
    return NewSubscription(
        external_customer_id=message.external_customer_id,
        plan_code=message.plan_code,
        plan_version=message.plan_version,
        external_id=message.external_id,
        name=message.name,
        alignment=alignment,
        starts_at=instant_or_none_of(message, "started_at"),
        ending_at=instant_or_none_of(message, "ending_at"),
        change_existing=message.change_existing,
        reuse=reuse,
    )


def revised_from_pb(request: service_pb2.UpdateSubscriptionRequest, current: Agreement, now: datetime) -> Agreement:
    """A subscription after a request that changes its name, its end or both, or a refusal that names the fields."""
    message = subscription_to_pb(current, None)
    fixed = set(message.DESCRIPTOR.fields_by_name) - {"name", "ending_at", "external_id"}
    changed = patched(message, request, "subscription", key="external_id", given=fixed)
    return current.renewed(name=changed.name, ending_at=instant_or_none_of(changed, "ending_at"), now=now)


def checked(request: C) -> C:
    """A change or cancellation, or a refusal that names every unknown word in it."""
    with inside() as checks:
        checks(timing_from_pb, request.timing)
        checks(resolution_from_pb, request.credit_action)
    return request


def timing_from_pb(timing: int) -> ChangeTiming:
    """When a change takes effect."""
    found = _TIMINGS.get(timing)
    if found is None:
        raise _unknown("timing")
    return found


def resolution_from_pb(action: int) -> Resolution:
    """Where the unused part of a base price goes."""
    found = _RESOLUTIONS.get(action)
    if found is None:
        raise _unknown("credit_action")
    return found


def wanted_from_pb(request: service_pb2.ListSubscriptionsRequest) -> SubscriptionsWanted:
    """The filters of a list of subscriptions. Without states it lists active ones, or any if ids are given."""
    with inside() as checks:
        if any(state not in _STATES for state in request.states):
            checks.refuse("states", "value_is_invalid", "is not one of the known values")
        if any(uuid_or_none(subscription_id) is None for subscription_id in request.ids):
            checks.refuse("ids", "value_is_invalid", "are Farebox ids")
        by_default = tuple(_STATES.values()) if request.ids else (SubscriptionState.ACTIVE,)
        return SubscriptionsWanted(
            states=tuple(_STATES[state] for state in request.states if state in _STATES) or by_default,
            external_customer_id=request.external_customer_id,
            plan_code=request.plan_code,
            ids=tuple(request.ids),
            currency=request.currency,
        )


def subscription_to_pb(agreement: Agreement, current_period: Period | None) -> pb.Subscription:
    """The subscription as it is, with the billing period that holds the organization's present time."""
    subscription = agreement.subscription
    return pb.Subscription(
        id=subscription.subscription_id,
        external_id=subscription.external_id,
        external_customer_id=agreement.external_customer_id,
        customer_id=subscription.customer_id,
        plan_code=subscription.plan_code,
        plan_version=subscription.plan_version,
        name=agreement.name,
        state=_STATES_TO_PB[subscription.state],
        billing_time=_ALIGNMENTS_TO_PB[subscription.alignment],
        started_at=instant_to_pb(subscription.starts_at),
        terminated_at=instant_to_pb(subscription.ended_at),
        ending_at=instant_to_pb(agreement.ending_at),
        trial_ends_at=instant_to_pb(agreement.trial_ends_at),
        current_period=period_to_pb(current_period),
        pending_change=_pending_to_pb(agreement),
        created_at=instant_to_pb(agreement.created_at),
        plan_amount_cents=agreement.plan_version.base_amount_cents,
        plan_currency=agreement.plan.currency.code,
        previous_subscription_id=subscription.previous_id or "",
        plan_id=agreement.plan_version.plan_id,
        previous_plan_code=subscription.previous_plan_code or "",
        anchored_at=instant_to_pb(subscription.anchor),
    )


def _pending_to_pb(agreement: Agreement) -> pb.Subscription.PendingChange | None:
    change = agreement.subscription.pending_change
    if change is None:
        return None
    return pb.Subscription.PendingChange(
        plan_code=change.plan_code or "",
        plan_version=change.plan_version or 0,
        effective_at=instant_to_pb(change.effective_at),
    )


def change_to_pb(change: SubscriptionChange, *, is_preview: bool) -> pb.SubscriptionChange:
    """What a verb did; in a preview, what it would do."""
    agreement, previous, billed = change.agreement, change.previous, change.billed
    return pb.SubscriptionChange(
        subscription=subscription_to_pb(agreement, agreement.period_at(change.now)),
        effective_at=instant_to_pb(change.effective_at),
        credit_amount_cents=billed.credit_amount_cents,
        refund_amount_cents=billed.refund_amount_cents,
        offset_amount_cents=billed.offset_amount_cents,
        due_amount_cents=billed.due_amount_cents,
        currency=agreement.plan.currency.code,
        previous_subscription=None if previous is None else subscription_to_pb(previous, None),
        invoice_ids=() if is_preview else billed.invoice_ids,
        direction=_DIRECTIONS[change.kind] if change.kind is not None else None,
    )


def plan_changes_to_pb(found: PlanChanges) -> service_pb2.ListPlanChangesResponse:
    """The plans a subscription could move to."""
    held = found.subscription
    return service_pb2.ListPlanChangesResponse(
        subscription=subscription_to_pb(held.agreement, held.current_period),
        plan=plan_to_pb(held.agreement.plan_version),
        options=[
            service_pb2.ListPlanChangesResponse.Option(
                plan=plan_to_pb(option.version),
                direction=_DIRECTIONS[option.kind],
                effective_at=instant_to_pb(option.effective_at),
                refusal=option.refusal,
            )
            for option in found.options.items
        ],
        page=page_to_pb(found.options),
        pending_plan=plan_to_pb(found.pending) if found.pending is not None else None,
    )


def move_to_pb(move: VersionMove) -> catalog_service_pb2.MigratePlanVersionResponse.Move:
    """One subscription's move to another version."""
    return catalog_service_pb2.MigratePlanVersionResponse.Move(
        external_subscription_id=move.external_id,
        effective_at=instant_to_pb(move.effective_at),
        current_amount_cents=move.current_amount_cents,
        new_amount_cents=move.new_amount_cents,
        skip_reason=move.skip_reason,
    )


def _unknown(field: str) -> InvalidArgumentError:
    return InvalidArgumentError.of_field(field, "value_is_invalid", "is not one of the known values")
