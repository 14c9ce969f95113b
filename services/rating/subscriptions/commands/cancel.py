"""Ending a subscription, and taking back a change that is not in effect yet."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId
from services.rating.agreements import store
from services.rating.agreements import subscription as verbs
from services.rating.agreements.agreement import EndTerms
from services.rating.agreements.change import ChangeKind, ChangeTiming, request_cancellation
from services.rating.agreements.subscription_change import SubscriptionChange
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.subscriptions.announcing import announce_subscription
from services.rating.subscriptions.commands.change_plan import living
from services.rating.subscriptions.commands.replace import end_agreement
from services.rating.usage.commands.refuse_usage_after_end import refuse_usage_after_end


def cancel_subscription(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    external_id: str,
    *,
    external_customer_id: str = "",
    timing: ChangeTiming = ChangeTiming.PERIOD_END,
    terms: EndTerms,
) -> SubscriptionChange:
    """End a subscription now or at the end of its billing period; one that has not begun is canceled.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, also if it is not the named customer's.
        FailedPreconditionError: `CHANGE_ALREADY_PENDING`.
    """
    agreement = living(tx, organization, external_id, external_customer_id)
    now = now_of(deps, tx, organization)
    if agreement.subscription.state is SubscriptionState.PENDING:
        called_off = agreement.moved(verbs.cancel(agreement.subscription, at=now))
        store.save_agreements(tx, [called_off])
        refuse_usage_after_end(deps, tx, called_off, called_off.subscription.starts_at)
        announce_subscription(deps, tx, called_off, now)
        return SubscriptionChange(called_off, now, now)
    effect = request_cancellation(
        agreement.subscription, agreement.plan, at=now, timezone=agreement.timezone, timing=timing
    )
    moved = agreement.moved(effect.subscription)
    if moved.is_active:
        moved = replace(moved, end_terms=terms)
        store.save_agreements(tx, [moved])
        announce_subscription(deps, tx, moved, now)
        return SubscriptionChange(moved, effect.effective_at, now)
    return end_agreement(deps, tx, moved, reason=ChangeKind.CANCELLATION, terms=terms, now=now)


def withdraw_change(
    deps: Deps, tx: Connection, organization: OrganizationId, external_id: str, *, external_customer_id: str = ""
) -> SubscriptionChange:
    """Take back a change or a cancellation that is not in effect yet.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, also if it is not the named customer's.
        FailedPreconditionError: `NO_CHANGE_PENDING`, `SUBSCRIPTION_NOT_ACTIVE`.
    """
    agreement = living(tx, organization, external_id, external_customer_id)
    now = now_of(deps, tx, organization)
    kept = replace(agreement.moved(verbs.withdraw_change(agreement.subscription)), end_terms=EndTerms())
    store.save_agreements(tx, [kept])
    announce_subscription(deps, tx, kept, now)
    return SubscriptionChange(kept, now, now)
