"""The billing period to which an event belongs, for a batch of entries in one transaction.

An event is placed once: into a period whose row is locked FOR SHARE, or into a period that is still to come. In the
second case something is locked that keeps that period from being opened: the subscription's open period or, if it has
none, the subscription's own row. So no period is opened, closed or cut between the moment an event is placed and the
commit that counts it, and a change of the subscription that would place it differently is announced after what was
announced about the event.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from services.kernel.errors import UnavailableError
from services.kernel.ids import SubscriptionId
from services.kernel.period import Period
from services.rating.agreements import store
from services.rating.agreements.agreement import Agreement
from services.rating.shared.subscription_state import SubscriptionState
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.billing_period import BillingPeriod, PeriodState
from services.rating.usage.store import periods

# While years of periods are closed one after another, the open period may be gone at each look.
MAX_LOOKS = 16
# An empty period ends where it starts.
_INSTANT = timedelta(microseconds=1)


class Places:
    """The billing periods to which the entries of one transaction may belong."""

    def __init__(self, tx: Connection, entries: Sequence[UsageEntry]) -> None:
        self._tx = tx
        self._since = _since(entries)
        self._known = periods.share_for_counting(tx, self._since.values())
        # The subscriptions whose open period, or own row, is locked, as they are now.
        self._held: dict[SubscriptionId, Agreement] = {}
        # Closed periods by whether an invoice can still bill what comes late for them.
        self._billable: dict[PeriodKey, bool] = {}

    def held(self, agreement: Agreement) -> tuple[Agreement, Sequence[BillingPeriod]]:
        """A subscription's current state and all its periods, in order; both stay so until the transaction ends."""
        subscription = agreement.subscription_id
        since = agreement.subscription.starts_at - _INSTANT
        if subscription not in self._since or since < self._since[subscription].since:
            self._since[subscription] = periods.Occurred(agreement.organization_id, subscription, since)
            self._known.update(periods.share_for_counting(self._tx, [self._since[subscription]]))
        present = self._hold(agreement)
        return present, self._known.get(subscription, ())

    def is_pending(self, subscription: SubscriptionId) -> bool:
        """Whether a subscription has not begun, although an event lies in its time: it may still be canceled."""
        agreement = self._held.get(subscription)
        return agreement is not None and agreement.subscription.state is SubscriptionState.PENDING

    def is_opened(self, period: BillingPeriod) -> bool:
        """Whether a period that was found here is stored already, and not still to come."""
        known = self._known.get(period.subscription_id, ())
        return len(known) > 0 and period.period.start <= known[-1].period.start

    def is_billable(self, period: BillingPeriod) -> bool:
        """Whether an invoice will bill what is counted in a period: its own, or a later one that adjusts it."""
        if period.state is not PeriodState.CLOSED:
            return True
        known = self._billable.get(period.key)
        if known is None:
            known = self._billable[period.key] = periods.is_adjustable(self._tx, period)
        return known

    def find(self, agreement: Agreement, at: datetime) -> BillingPeriod | None:
        """The period that takes an event: open, closed or still to come; None if there is none.

        Raises:
            UnavailableError: the subscription's periods change too fast to be locked; the same entry will be placed
                later.
        """
        if agreement.ending_at is not None and agreement.ending_at <= at:
            return None
        return self._kept_at(agreement, at) or self._to_come(agreement, at)

    def of_counted(self, agreement: Agreement, at: datetime) -> BillingPeriod:
        """The period in which an event was counted, wherever its subscription ends by now.

        Raises:
            UnavailableError: as `find`.
        """
        kept = self._kept_at(agreement, at)
        if kept is not None:
            return kept
        self._hold(agreement)
        nominal = agreement.nominal_period_at(at)
        span = Period(max(nominal.start, agreement.subscription.starts_at), nominal.end)
        cut = periods.find(self._tx, agreement.organization_id, agreement.subscription_id, span.start)
        return cut or _period(agreement, span)

    def _kept_at(self, agreement: Agreement, at: datetime) -> BillingPeriod | None:
        """The period that holds an instant, if it is stored already."""
        known = self._known.get(agreement.subscription_id, [])
        index = bisect_right(known, at, key=lambda period: period.period.start)
        return known[index - 1] if index and at in known[index - 1].period else None

    def _to_come(self, agreement: Agreement, at: datetime) -> BillingPeriod | None:
        """The period after the stored ones that takes an event; None if its subscription ends before."""
        present = self._hold(agreement)
        kept = self._kept_at(agreement, at)
        if kept is not None:
            return kept
        known = self._known.get(agreement.subscription_id)
        if known and at < known[-1].period.end:
            # It lies before the first period, or in a time that was cut off.
            return None
        span = present.period_to_come(at)
        return _period(agreement, span) if span else None

    def _hold(self, agreement: Agreement) -> Agreement:
        """Keep the subscription's periods from moving until the transaction ends; the subscription as it is then."""
        present = self._held.get(agreement.subscription_id)
        if present is None:
            present = self._held[agreement.subscription_id] = self._look(agreement)
        return present

    def _look(self, agreement: Agreement) -> Agreement:
        """Look for the open period until it is locked, or for the row of a subscription without one."""
        organization, subscription = agreement.organization_id, agreement.subscription_id
        for _ in range(MAX_LOOKS):
            if self._has_open(subscription):
                # Nobody changes the subscription while its open period is locked.
                return store.agreement(self._tx, organization, subscription)
            present = store.agreement(self._tx, organization, subscription, share=True)
            # Asked again: a transaction that waited for a period while it was being closed could not see the next one.
            self._known.update(periods.share_for_counting(self._tx, [self._since[subscription]]))
            if not present.is_active and not self._has_open(subscription):
                return present
        raise UnavailableError("PERIODS_MOVE", f"the billing periods of subscription {subscription} are being closed")

    def _has_open(self, subscription: SubscriptionId) -> bool:
        known = self._known.get(subscription)
        return known is not None and known[-1].state is PeriodState.OPEN


def _period(agreement: Agreement, span: Period) -> BillingPeriod:
    subscription = agreement.subscription
    return BillingPeriod(agreement.organization_id, subscription.subscription_id, subscription.customer_id, span)


def _since(entries: Iterable[UsageEntry]) -> dict[SubscriptionId, periods.Occurred]:
    """The earliest time for which each subscription's periods are needed."""
    since: dict[SubscriptionId, periods.Occurred] = {}
    for entry in entries:
        known = since.get(entry.subscription_id)
        if known is None or entry.occurred_at < known.since:
            since[entry.subscription_id] = periods.Occurred(
                entry.organization_id, entry.subscription_id, entry.occurred_at
            )
    return since
