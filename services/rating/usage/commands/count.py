"""Counting the entries of the usage-event log, in the transaction that also moves the log's position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.catalog.store.metrics import metrics_by_code
from services.rating.deps import Deps
from services.rating.organizations.clock_store import test_clocks
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charge_usage import Window
from services.rating.pricing.metric import Measurement
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.billing_period import BillingPeriod, PeriodState
from services.rating.usage.commands.carry_over import carry_on
from services.rating.usage.counting import Counted, CountedBucket, Counter, tally
from services.rating.usage.events import Refusal, UsageAggregated, UsageRefused, UsageTotal
from services.rating.usage.store import additions, corrections, future_usage, periods

# Subscriptions whose agreements a shard remembers; with sixteen shards at a few kB each some 200 MB at most.
MAX_REMEMBERED = 5_000


class _Place(NamedTuple):
    """The billing period of an entry; `closed` when its invoice was already made."""

    key: PeriodKey
    period: Period
    closed: bool


@dataclass(slots=True)
class Memory:
    """What a shard remembers between batches: only what never changes of a subscription, its plan and customer.

    A plan version is immutable and a subscription keeps its plan version and time zone for life, so nothing here is
    ever stale. Where a subscription ends may change, so that is asked anew (`Batch`). An organization that has data and
    no test clock never gets one.
    """

    agreements: dict[SubscriptionId, Agreement] = field(default_factory=dict)
    clockless: set[OrganizationId] = field(default_factory=set)

    def know(self, tx: Connection, wanted: Iterable[SubscriptionId]) -> Mapping[SubscriptionId, Agreement]:
        """The agreements of subscriptions; those that do not exist are missing."""
        missing = [each for each in wanted if each not in self.agreements]
        if missing:
            if len(self.agreements) + len(missing) > MAX_REMEMBERED:
                self.agreements.clear()
            self.agreements.update(agreements(tx, None, missing))
        return self.agreements

    def times(
        self, tx: Connection, wanted: Iterable[OrganizationId], machine_now: datetime
    ) -> Mapping[OrganizationId, datetime]:
        """The present time of organizations."""
        times = dict.fromkeys(wanted, machine_now)
        unknown = times.keys() - self.clockless
        if unknown:
            clocks = test_clocks(tx, unknown)
            times.update(clocks)
            if len(self.clockless) > MAX_REMEMBERED:
                self.clockless.clear()
            self.clockless |= unknown - clocks.keys()
        return times


def count_usage(deps: Deps, tx: Connection, memory: Memory, entries: Sequence[UsageEntry]) -> None:
    """Add entries of the log to the aggregates of their billing periods, and announce what came of it.

    Entries that no period takes are announced as refused, so that the log quarantines them. A late entry changes the
    aggregate of its closed period and marks it, so that the next invoice adjusts it.
    """
    batch = Batch(tx, memory, entries, deps.clock.now())
    for entry in entries:
        batch.count(entry)
    keep_batch(deps, tx, batch)
    future_usage.keep(tx, batch.ahead.values())
    if batch.refusals:
        deps.announce(tx, UsageRefused(tuple(batch.refusals)))


def keep_batch(deps: Deps, tx: Connection, batch: Batch) -> None:
    """Add what a batch has gathered, and announce the new totals."""
    kept = additions.add(tx, batch.additions()) if batch.counted else []
    if batch.late:
        corrections.note(tx, batch.late)
        periods.mark(tx, {key for key, _ in batch.late} | batch.carry_late(), dirty=True)
    if kept:
        periods.mark(tx, {each.period for each in kept}, accrual_due=True)
        deps.announce(tx, UsageAggregated(tuple(batch.totals(kept))))


class Batch:
    """The entries of one transaction on their way into aggregates.

    An event that is ahead of its organization's time is remembered (`ahead`) until its time has come, since its
    subscription may end before it.
    """

    def __init__(self, tx: Connection, memory: Memory, entries: Sequence[UsageEntry], machine_now: datetime) -> None:
        self._tx = tx
        self._times = memory.times(tx, {entry.organization_id for entry in entries}, machine_now)
        self._periods = periods.share_for_counting(tx, _occurred(entries))
        self._agreements = memory.know(tx, {entry.subscription_id for entry in entries})
        self._metrics = _metrics(tx, entries)
        self._counters: dict[tuple[SubscriptionId, str], Counter] = {}
        self._spans: dict[PeriodKey, Period] = {}
        self._shards: dict[SubscriptionId, int] = {}
        self._taken = future_usage.take(tx, [entry for entry in entries if entry.is_void])
        self.ahead: dict[bytes, UsageEntry] = {}
        self.counted: dict[tuple[PeriodKey, str, CountedBucket], Counted] = {}
        self.late: list[tuple[PeriodKey, UsageEntry]] = []
        self.refusals: list[Refusal] = []

    def count(self, entry: UsageEntry) -> None:
        """Gather one entry, or refuse it."""
        agreement = self._agreements.get(entry.subscription_id)
        if agreement is None or agreement.organization_id != entry.organization_id:
            return self._refuse(entry, "SUBSCRIPTION_NOT_FOUND")
        counter = self._counter(agreement, entry.code)
        if counter is None:
            return self._refuse(entry, "METRIC_UNKNOWN")
        place = self._place_of(agreement, entry)
        if place is None:
            return self._refuse(entry, "SUBSCRIPTION_NOT_ACTIVE")
        try:
            measurement = counter.measure(entry)
        except InvalidArgumentError as error:
            return self._refuse(entry, error.reason)
        return self._gather(entry, place, counter, measurement)

    def _place_of(self, agreement: Agreement, entry: UsageEntry) -> _Place | None:
        """The period that takes an entry."""
        if entry.is_void and (self.ahead.pop(entry.event_key, None) is not None or entry.event_key in self._taken):
            # It was counted, wherever its subscription ends by now.
            return self._place(agreement, entry.occurred_at, lives_on=True)
        place = self._place(agreement, entry.occurred_at)
        # An event that is ahead and was counted would be remembered: this one was refused, for an end promised then.
        was_refused = place is not None and entry.is_void and self._is_ahead(entry, place)
        return None if was_refused else place

    def _is_ahead(self, entry: UsageEntry, place: _Place) -> bool:
        """Whether an event's time has not come, so that the end of its subscription may still come before it."""
        return not place.closed and entry.occurred_at >= self._times[entry.organization_id]

    def _gather(self, entry: UsageEntry, place: _Place, counter: Counter, measurement: Measurement) -> None:
        self._spans[place.key] = place.period
        self._shards[entry.subscription_id] = entry.shard
        for bucket in counter.buckets(entry.occurred_at, entry.properties):
            key = (place.key, entry.code, bucket)
            counted = self.counted.get(key)
            if counted is None:
                counted = self.counted[key] = Counted([], [])
            counted.count(measurement, is_void=entry.is_void)
        if place.closed:
            self.late.append((place.key, entry))
        elif not entry.is_void and self._is_ahead(entry, place):
            self.ahead[entry.event_key] = entry

    def _refuse(self, entry: UsageEntry, reason: str) -> None:
        """Hand an entry back to the log; one that is to be taken back was never counted, so nothing is to be done."""
        if not entry.is_void:
            self.refusals.append(Refusal(entry.organization_id, entry.event_key, reason))

    def _counter(self, agreement: Agreement, code: str) -> Counter | None:
        key = (agreement.subscription_id, code)
        counter = self._counters.get(key)
        if counter is None:
            metric = self._metrics.get((agreement.organization_id, code))
            if metric is None:
                return None
            counter = self._counters[key] = Counter.of(agreement, metric)
        return counter

    def _place(self, agreement: Agreement, at: datetime, *, lives_on: bool = False) -> _Place | None:
        """The period that takes an event: an open or closed one, or one that is still to come."""
        if not lives_on and agreement.ending_at is not None and agreement.ending_at <= at:
            return None
        known = self._periods.get(agreement.subscription_id, [])
        for each in known:
            if at in each.period:
                return _Place(each.key, each.period, each.state is PeriodState.CLOSED)
        if known and at < known[-1].period.end:
            return None
        to_come = self._period_to_come(agreement, at, lives_on=lives_on)
        if to_come is None:
            return None
        if not lives_on:
            known.append(to_come)
            self._periods[agreement.subscription_id] = known
        return _Place(to_come.key, to_come.period, to_come.state is PeriodState.CLOSED)

    def _period_to_come(self, agreement: Agreement, at: datetime, *, lives_on: bool) -> BillingPeriod | None:
        """The period after the known ones that takes an event of a time to come; None where its subscription ends."""
        owner, subscription = agreement.organization_id, agreement.subscription_id
        # Asked again: who has waited for a period that was being closed could not see the next one.
        newest = periods.share_for_counting(self._tx, [periods.Occurred(owner, subscription, at)])
        for each in newest.get(subscription, ()):
            if at in each.period:
                return each
        if lives_on:
            nominal = agreement.nominal_period_at(at)
            span: Period | None = Period(max(nominal.start, agreement.subscription.starts_at), nominal.end)
        else:
            span = agreements(self._tx, owner, [subscription])[subscription].period_to_come(at)
        return BillingPeriod(owner, subscription, agreement.subscription.customer_id, span) if span else None

    def carry_late(self) -> set[PeriodKey]:
        """Carry what late events changed of recurring metrics through the later periods; the closed ones of those."""
        changed: set[PeriodKey] = set()
        for key, code in {(key, entry.code) for key, entry in self.late}:
            metric = self._metrics[(key.organization_id, code)]
            if metric.definition.recurring:
                agreement, known = self._agreements[key.subscription_id], self._periods[key.subscription_id]
                later = carry_on(self._tx, agreement, self._spans[key], known, metric)
                changed |= {each.key for each in later if each.state is PeriodState.CLOSED}
        return changed

    def additions(self) -> list[additions.Addition]:
        """What the batch adds, one entry an aggregate."""
        gathered = []
        for (key, code, bucket), counted in self.counted.items():
            counter = self._counters[(key.subscription_id, code)]
            charge = counter.charge_of(bucket)
            summed = tally(counted, counter, charge)
            shard = self._shards[key.subscription_id]
            gathered.append(additions.Addition(key, code, bucket, summed, shard, charge, counted.added, counted.voided))
        return gathered

    def totals(self, kept: Iterable[UsageAggregate]) -> Iterable[UsageTotal]:
        """The metrics' totals that the batch changed, as they are now."""
        for each in kept:
            if each.counted.charge_id:
                continue
            agreement = self._agreements[each.period.subscription_id]
            period = self._spans[each.period]
            window = Window(period, agreement.nominal_period_at(period.start), agreement.timezone)
            metric = self._metrics[(each.period.organization_id, each.metric_code)]
            yield UsageTotal(
                organization_id=each.period.organization_id,
                subscription_id=each.period.subscription_id,
                external_customer_id=agreement.external_customer_id,
                metric_code=each.metric_code,
                period=period,
                units=each.units(metric, window),
                event_count=each.event_count,
                revision=each.revision,
            )


def _occurred(entries: Sequence[UsageEntry]) -> list[periods.Occurred]:
    """Since when each subscription's periods are needed."""
    since: dict[SubscriptionId, periods.Occurred] = {}
    for entry in entries:
        known = since.get(entry.subscription_id)
        if known is None or entry.occurred_at < known.since:
            since[entry.subscription_id] = periods.Occurred(
                entry.organization_id, entry.subscription_id, entry.occurred_at
            )
    return list(since.values())


def _metrics(tx: Connection, entries: Sequence[UsageEntry]) -> dict[tuple[OrganizationId, str], MetricVersion]:
    """The current versions of the metrics of a batch; what a metric measures is fixed once it has counted."""
    codes: dict[OrganizationId, set[str]] = {}
    for entry in entries:
        codes.setdefault(entry.organization_id, set()).add(entry.code)
    return {
        (organization, code): metric
        for organization, wanted in codes.items()
        for code, metric in metrics_by_code(tx, organization, wanted).items()
    }
