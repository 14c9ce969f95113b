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
from services.rating.deps import Deps
from services.rating.domain.agreement import Agreement
from services.rating.domain.billing_events import Refusal, UsageAggregated, UsageRefused, UsageTotal
from services.rating.domain.billing_period import BillingPeriod, PeriodState
from services.rating.domain.catalog import MetricVersion
from services.rating.domain.charge_usage import Window
from services.rating.domain.counting import Counted, CountedBucket, Counter, tally
from services.rating.domain.kept_usage import KeptUsage, PeriodKey
from services.rating.domain.metric import Measurement
from services.rating.domain.usage_log import UsageEntry
from services.rating.store import counting, periods
from services.rating.store.catalog.metrics import metrics_by_code
from services.rating.store.subscriptions import agreements

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
    ever stale. Where a subscription ends may change, so that is asked anew (`_Batch.place`).
    """

    agreements: dict[SubscriptionId, Agreement] = field(default_factory=dict)

    def know(self, tx: Connection, wanted: Iterable[SubscriptionId]) -> Mapping[SubscriptionId, Agreement]:
        """The agreements of subscriptions; those that do not exist are missing."""
        missing = [each for each in wanted if each not in self.agreements]
        if missing:
            if len(self.agreements) + len(missing) > MAX_REMEMBERED:
                self.agreements.clear()
            self.agreements.update(agreements(tx, None, missing))
        return self.agreements


def count_usage(deps: Deps, tx: Connection, memory: Memory, entries: Sequence[UsageEntry]) -> None:
    """Add entries of the log to the aggregates of their billing periods, and announce what came of it.

    Entries that no period takes are announced as refused, so that the log quarantines them. A late entry changes the
    aggregate of its closed period and marks it, so that the next invoice adjusts it.
    """
    batch = _Batch(tx, memory, entries)
    for entry in entries:
        batch.count(entry)
    kept = counting.add(tx, batch.additions()) if batch.counted else []
    if batch.late:
        counting.note_corrections(tx, batch.late)
        periods.mark(tx, {key for key, _ in batch.late}, dirty=True)
    if kept:
        periods.mark(tx, {each.period for each in kept}, accrual_due=True)
        deps.announce(tx, UsageAggregated(tuple(batch.totals(kept))))
    if batch.refusals:
        deps.announce(tx, UsageRefused(tuple(batch.refusals)))


class _Batch:
    """The entries of one transaction on their way into aggregates."""

    def __init__(self, tx: Connection, memory: Memory, entries: Sequence[UsageEntry]) -> None:
        self._tx = tx
        self._periods = periods.share_for_counting(tx, _occurred(entries))
        self._agreements = memory.know(tx, {entry.subscription_id for entry in entries})
        self._metrics = _metrics(tx, entries)
        self._counters: dict[tuple[SubscriptionId, str], Counter] = {}
        self._spans: dict[PeriodKey, Period] = {}
        self._shards: dict[SubscriptionId, int] = {}
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
        place = self._place(agreement, entry.occurred_at)
        if place is None:
            return self._refuse(entry, "SUBSCRIPTION_NOT_ACTIVE")
        try:
            measurement = counter.measure(entry)
        except InvalidArgumentError as error:
            return self._refuse(entry, error.reason)
        return self._gather(entry, place, counter, measurement)

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

    def _place(self, agreement: Agreement, at: datetime) -> _Place | None:
        """The period that takes an event: an open or closed one, or one that is still to come."""
        known = self._periods.get(agreement.subscription_id, [])
        for each in known:
            if at in each.period:
                return _Place(each.key, each.period, each.state is PeriodState.CLOSED)
        if known and at < known[-1].period.end:
            return None
        # After the newest period: an event that claims a time to come, or one of a subscription that has ended.
        current = agreements(self._tx, agreement.organization_id, [agreement.subscription_id])
        to_come = current[agreement.subscription_id].period_at(at)
        if to_come is None:
            return None
        key = PeriodKey(agreement.organization_id, agreement.subscription_id, to_come.start)
        known.append(BillingPeriod(*key[:2], agreement.subscription.customer_id, to_come))
        self._periods[agreement.subscription_id] = known
        return _Place(key, to_come, closed=False)

    def additions(self) -> list[counting.Addition]:
        """What the batch adds, one entry an aggregate."""
        additions = []
        for (key, code, bucket), counted in self.counted.items():
            counter = self._counters[(key.subscription_id, code)]
            charge = counter.charge_of(bucket)
            summed = tally(counted, counter, charge)
            shard = self._shards[key.subscription_id]
            additions.append(counting.Addition(key, code, bucket, summed, shard, charge, counted.added, counted.voided))
        return additions

    def totals(self, kept: Iterable[KeptUsage]) -> Iterable[UsageTotal]:
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
