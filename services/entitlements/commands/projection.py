"""Apply what rating announces: plans, subscriptions, usage totals, test clocks.

Each function applies announcements of one kind, in order, inside the follower's transaction. Every announcement says
how a thing is now, so an earlier announcement of the same thing in the same batch is skipped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from services.entitlements.commands import resolution
from services.entitlements.commands.changes import Batch
from services.entitlements.domain.event import ClockMoved, PlanVersion, SubscriptionMoved, TestClockReached
from services.entitlements.domain.feature import Feature
from services.entitlements.domain.subscription import Subscription, calendar_windows
from services.entitlements.domain.usage import Growth, UsageTotal, growths, newest
from services.entitlements.store import entitlement as entitlement_store
from services.entitlements.store import feature as feature_store
from services.entitlements.store import feature_terms as terms_store
from services.entitlements.store import organization as organization_store
from services.entitlements.store import subscription as subscription_store
from services.entitlements.store import usage as usage_store
from services.entitlements.store.access_change import EVERYBODY
from services.kernel.cadence import ResetWindow, midnight
from services.kernel.ids import OrganizationId, new_id
from services.kernel.money import ZERO

# The days of a subscription that rating has not announced are counted in this zone, until its own is announced.
UNKNOWN_ZONE = "UTC"


def apply_plans(batch: Batch, plans: Sequence[PlanVersion]) -> None:
    """Store plan versions, register the features they name, and update their active subscriptions."""
    tx, now = batch.tx, batch.deps.clock.now()
    by_organization: defaultdict[OrganizationId, dict[str, PlanVersion]] = defaultdict(dict)
    for plan in plans:
        by_organization[plan.organization_id][plan.id] = plan
    for organization, versions in sorted(by_organization.items()):
        for plan in versions.values():
            terms_store.save_plan(tx, plan)
        feature_store.register(tx, organization, _features_named(versions.values(), now))
        active = subscription_store.active_on_plans(tx, organization, versions)
        resolution.refresh(tx, organization, active, batch.changes)
        # How long a plan's periods are tells of every subscription to it where its windows end.
        batch.changes.note_customers(organization, [EVERYBODY])


def apply_subscriptions(batch: Batch, moves: Sequence[SubscriptionMoved]) -> None:
    """Store subscriptions and their rights; a new period changes what is counted in it."""
    tx = batch.tx
    by_organization: defaultdict[OrganizationId, dict[str, SubscriptionMoved]] = defaultdict(dict)
    for move in moves:
        by_organization[move.organization_id][move.subscription.id] = move
    for organization, latest in sorted(by_organization.items()):
        before = subscription_store.by_ids(tx, organization, latest)
        subscription_store.save(tx, list(latest.values()))
        resolution.refresh(tx, organization, list(latest), batch.changes)
        batch.changes.note_customers(organization, _customers_of(before.values(), latest.values()))
        altered = [key for key, move in latest.items() if _answers_differ(before.get(key), move.subscription)]
        batch.changes.note(organization, entitlement_store.keys_of(tx, organization, altered))


def apply_usage(batch: Batch, totals: Sequence[UsageTotal]) -> None:
    """Store totals, count what was added on each day, and note whose answers have changed."""
    tx, latest = batch.tx, newest(totals)
    known = usage_store.known(tx, list(latest))
    fresh = [total for place, total in latest.items() if total.revision > known.get(place, (ZERO, -1))[1]]
    if not fresh:
        return
    usage_store.save(tx, fresh)
    places = subscription_store.places(tx, {(total.key.organization_id, total.key.subscription_id) for total in fresh})
    for total in fresh:
        if total.key.subscription_id in places:
            batch.changes.note_customers(total.key.organization_id, [places[total.key.subscription_id][0]])
    times = organization_store.times(tx, {total.key.organization_id for total in fresh}, batch.deps.clock.now())
    grown = growths([total for total in totals if total.key.organization_id in times], known, times)
    if grown:
        usage_store.add(tx, grown)
        for organization, subscription_id, feature_code in usage_store.counting(
            tx, grown, _touched(places, grown, times)
        ):
            batch.changes.note(organization, [(subscription_id, feature_code)])


def _touched(
    places: Mapping[str, tuple[str, str]], grown: Sequence[Growth], times: Mapping[OrganizationId, datetime]
) -> list[set[ResetWindow]]:
    """For each growth, the calendar windows that contain both the present and a day that grew."""
    touched = []
    for growth in grown:
        _, zone = places.get(growth.key.subscription_id, ("", UNKNOWN_ZONE))
        windows = calendar_windows(zone, times[growth.key.organization_id])
        days = [midnight(day, zone) for day in growth.days]
        touched.append({reset for reset, window in windows.items() if any(day in window for day in days)})
    return touched


def apply_clocks(batch: Batch, moves: Sequence[ClockMoved]) -> None:
    """Store the time of organizations with a test clock, and announce that everything due until then is done.

    Nothing here waits for a job: windows and holds end when they are evaluated, and what rating announced before has
    been applied.
    """
    for move in moves:
        organization_store.move_clock(batch.tx, move)
        batch.changes.note_customers(move.organization_id, [EVERYBODY])
        batch.deps.announce(batch.tx, [TestClockReached(move.organization_id, move.revision, move.now)])


def _features_named(plans: Iterable[PlanVersion], now: datetime) -> list[Feature]:
    named = {terms.feature_code: terms for plan in plans for terms in plan.terms}
    return [Feature(new_id(), code, code, "", terms.type, terms.metric_code, now) for code, terms in named.items()]


def _customers_of(before: Iterable[Subscription], moves: Iterable[SubscriptionMoved]) -> set[str]:
    """Whose subscriptions moved, from whom and to whom."""
    now = (move.subscription for move in moves)
    return {subscription.external_customer_id for subscription in (*before, *now)}


def _answers_differ(before: Subscription | None, now: Subscription) -> bool:
    """Whether two answers with the same rights differ all the same: in their window, end or id."""
    return before is not None and (
        before.current_period,
        before.timezone,
        before.ending_at,
        before.external_id,
        before.external_customer_id,
    ) != (now.current_period, now.timezone, now.ending_at, now.external_id, now.external_customer_id)
