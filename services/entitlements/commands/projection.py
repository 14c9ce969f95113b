"""Take over what rating announces: plans, subscriptions, usage totals, test clocks.

Each function takes announcements of one kind, in order, inside the follower's transaction; since every announcement
says how a thing is now, an earlier one of the same thing in the same batch is passed over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from services.entitlements.commands import resolution
from services.entitlements.commands.changes import Batch
from services.entitlements.domain.event import ClockMoved, PlanVersion, SubscriptionMoved, TestClockReached
from services.entitlements.domain.feature import Feature
from services.entitlements.domain.subscription import Subscription
from services.entitlements.domain.usage import Growth, UsageKey, UsageTotal, growth, newest
from services.entitlements.store import entitlement, feature, grant, organization, subscription, usage
from services.kernel.ids import new_id
from services.kernel.money import ZERO

# A subscription that rating has not announced counts its days here; its own zone takes over with its announcement.
UNKNOWN_ZONE = "UTC"


def apply_plans(batch: Batch, plans: Sequence[PlanVersion]) -> None:
    """Store plan versions, register the features they name, and move their active subscriptions along."""
    tx, now = batch.tx, batch.deps.clock.now()
    by_owner: defaultdict[str, dict[str, PlanVersion]] = defaultdict(dict)
    for plan in plans:
        by_owner[plan.organization_id][plan.id] = plan
    for owner, versions in sorted(by_owner.items()):
        for plan in versions.values():
            grant.save_plan(tx, plan)
        feature.register(tx, owner, _features_named(versions.values(), now))
        resolution.refresh(tx, owner, subscription.active_on_plans(tx, owner, versions), batch.changes)


def apply_subscriptions(batch: Batch, moved: Sequence[SubscriptionMoved]) -> None:
    """Store subscriptions and what they are entitled to; a new period alters what is counted in it."""
    tx = batch.tx
    by_owner: defaultdict[str, dict[str, SubscriptionMoved]] = defaultdict(dict)
    for one in moved:
        by_owner[one.organization_id][one.subscription.id] = one
    for owner, latest in sorted(by_owner.items()):
        before = subscription.by_ids(tx, owner, latest)
        subscription.save(tx, list(latest.values()))
        resolution.refresh(tx, owner, list(latest), batch.changes)
        altered = [key for key, one in latest.items() if _answers_differ(before.get(key), one.subscription)]
        batch.changes.note(owner, entitlement.granted_to(tx, owner, altered))


def apply_usage(batch: Batch, totals: Sequence[UsageTotal]) -> None:
    """Store totals and count their growth in every window that limits reset in."""
    tx, latest = batch.tx, newest(totals)
    known = usage.known(tx, list(latest))
    fresh = [total for place, total in latest.items() if total.revision > known.get(place, (ZERO, -1))[1]]
    if not fresh:
        return
    usage.save(tx, fresh)
    growths = _growths(batch, fresh, known)
    if growths:
        usage.add(tx, growths)
        for owner, *key in usage.counting(tx, growths):
            batch.changes.note(owner, [(key[0], key[1])])


def apply_clocks(batch: Batch, clocks: Sequence[ClockMoved]) -> None:
    """Keep the time of organizations with a test clock, and say that everything due until then is done.

    Nothing waits for a job here: windows and holds end by evaluation, and what rating announced before was applied.
    """
    for moved in clocks:
        organization.move_clock(batch.tx, moved)
        batch.deps.announce(batch.tx, [TestClockReached(moved.organization_id, moved.revision, moved.now)])


def _features_named(plans: Iterable[PlanVersion], now: datetime) -> list[Feature]:
    grants = {one.feature_code: one for plan in plans for one in plan.grants}
    return [Feature(new_id(), code, code, "", one.type, one.metric_code, now) for code, one in grants.items()]


def _answers_differ(before: Subscription | None, now: Subscription) -> bool:
    """Whether answers that name no other right are different all the same: another window, end or id."""
    return before is not None and (
        before.current_period,
        before.timezone,
        before.ending_at,
        before.external_id,
        before.external_customer_id,
    ) != (now.current_period, now.timezone, now.ending_at, now.external_id, now.external_customer_id)


def _growths(
    batch: Batch,
    fresh: Sequence[UsageTotal],
    known: Mapping[tuple[UsageKey, datetime], tuple[Decimal, int]],
) -> list[Growth]:
    by_key: defaultdict[UsageKey, list[tuple[UsageTotal, Decimal]]] = defaultdict(list)
    for total in fresh:
        before, _ = known.get((total.key, total.period.start), (ZERO, 0))
        by_key[total.key].append((total, before))
    times = organization.times(batch.tx, {key.organization_id for key in by_key}, batch.deps.clock.now())
    zones = subscription.timezones(batch.tx, {(key.organization_id, key.subscription_id) for key in by_key})
    found = (
        growth(
            key,
            changes,
            timezone=zones.get(key.subscription_id, UNKNOWN_ZONE),
            at=times[key.organization_id],
        )
        for key, changes in sorted(by_key.items())
    )
    return [one for one in found if one is not None]
