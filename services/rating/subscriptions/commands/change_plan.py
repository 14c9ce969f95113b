"""Moving a subscription to another plan: an upgrade now, a downgrade at the period's end, or as requested."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import FailedPreconditionError, NotFoundError
from services.kernel.ids import OrganizationId, SubscriptionId, new_id
from services.rating.agreements import store
from services.rating.agreements.agreement import Agreement, EndTerms
from services.rating.agreements.change import ChangeTiming, direction, request_change
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription_change import SubscriptionChange
from services.rating.catalog.store.plans import plan_for_sale
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.shared.set_aside import Work, done
from services.rating.subscriptions.announcing import announce_subscription
from services.rating.subscriptions.commands.billing import lock_open_period
from services.rating.subscriptions.commands.replace import replace_agreement


def change_plan(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    external_id: str,
    plan: tuple[str, int],
    *,
    external_customer_id: str = "",
    timing: ChangeTiming = ChangeTiming.DEFAULT,
    resolution: Resolution = Resolution.CREDIT,
) -> SubscriptionChange:
    """Move to a plan (code, and version or 0 for the current one), now or at the end of the billing period.

    A repeated request for a change that is scheduled already is answered with that change.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, also if it is not the named customer's; `PLAN_UNKNOWN`.
        FailedPreconditionError: `PLAN_UNCHANGED`, `SUBSCRIPTION_NOT_ACTIVE`, `CHANGE_ALREADY_PENDING`.
    """
    agreement = living(tx, organization, external_id, external_customer_id)
    new_version = plan_for_sale(tx, organization, *plan)
    if new_version.plan_id == agreement.plan_version.plan_id:
        raise FailedPreconditionError("PLAN_UNCHANGED", "the subscription has this version of this plan")
    now = now_of(deps, tx, organization)
    promised = agreement.subscription.pending_change
    target = new_version.plan.code, new_version.plan.version
    if promised is not None and promised.target == target and timing is not ChangeTiming.NOW:
        kind = direction(agreement.plan, new_version.plan)
        return SubscriptionChange(agreement, promised.effective_at, now, kind=kind)
    terms = EndTerms(resolution)
    effect = request_change(
        agreement.subscription,
        agreement.plan,
        new_version.plan,
        new_id=SubscriptionId(new_id()),
        at=now,
        timezone=agreement.timezone,
        timing=timing,
    )
    moved = agreement.moved(effect.subscription)
    if effect.successor is None:
        moved = replace(moved, end_terms=terms)
        store.save_agreements(tx, [moved])
        announce_subscription(deps, tx, moved, now)
        return SubscriptionChange(moved, effect.effective_at, now, kind=effect.kind)
    done = replace_agreement(deps, tx, moved, effect.successor, new_version, reason=effect.kind, terms=terms, now=now)
    return replace(done, kind=effect.kind)


def living(tx: Connection, organization: OrganizationId, external_id: str, external_customer_id: str) -> Agreement:
    """The subscription with this external id that has not ended, locked; it must belong to the named customer, if any.

    Its open period is locked too, before the caller reads the time: everything counted until then lies before that
    time, or is stored as future usage.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
    """
    found = store.living_agreement(tx, organization, external_id, lock=True)
    if found is None:
        raise NotFoundError("SUBSCRIPTION_UNKNOWN", "no such subscription that has not ended", external_id=external_id)
    found.require_customer(external_customer_id)
    lock_open_period(tx, found)
    # A request by a person may mend what failed when it was due, so the next try need not wait any longer.
    done(tx, organization, Work.CHANGE, [found.subscription_id])
    return found
