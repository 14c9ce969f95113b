"""Counting the entries of the usage-event log, in the transaction that also moves the log's position.

An entry asks to count an event or to take it back. For one subscription, an event is first counted or refused, and may
then be taken back; docs/flows-ingest-rating.md draws the states. Refused events are remembered until the log takes them
back, so that no event is ever taken out of an aggregate that had not counted it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from itertools import islice

from sqlalchemy.engine import Connection

from services.chassis.db import is_passing
from services.chassis.log import logger
from services.kernel.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements
from services.rating.catalog.store.metrics import metrics_by_code, removed_metrics
from services.rating.deps import Deps
from services.rating.organizations.clock_store import test_clocks
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.metric import Measurement
from services.rating.shared.set_aside import Work, try_again
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.aggregate import PeriodKey, UsageAggregate
from services.rating.usage.billing_period import BillingPeriod, PeriodState
from services.rating.usage.commands.carry_over import carry_late
from services.rating.usage.commands.group_limit import GroupLimit, Remembered
from services.rating.usage.commands.place import Places
from services.rating.usage.counting import METRIC_TOTAL, Counted, CountedBucket, Counter, tally, units_by_day
from services.rating.usage.events import Refusal, UsageAggregated, UsageRefused, UsageTotal
from services.rating.usage.store import additions, corrections, future_usage, periods, refused_usage
from services.rating.usage.store.refused_usage import RefusedUsage

log = logger(__name__)

# Subscriptions whose agreements a process remembers; at a few kB each some 200 MB at most.
MAX_REMEMBERED = 80_000
# Of one message: a refusal has at most some 120 bytes and a total, whose texts are the organization's, some 2.3 kB, so
# that both stay below the 1 MiB that NATS takes.
MAX_REFUSALS = 4_000
MAX_TOTALS = 400


@dataclass(slots=True)
class Memory:
    """What is remembered between batches: only what never changes of a subscription, its plan and customer.

    A plan version is immutable, and a subscription keeps its plan version and time zone for life, so nothing here
    becomes stale. The end of a subscription may change, so it is read again (`Places`). An organization that has data
    and no test clock never gets one.
    """

    agreements: dict[SubscriptionId, Agreement] = field(default_factory=dict)
    clockless: set[OrganizationId] = field(default_factory=set)
    groups: Remembered = field(default_factory=dict)

    def know(self, tx: Connection, wanted: Iterable[SubscriptionId]) -> Mapping[SubscriptionId, Agreement]:
        """The agreements of subscriptions; subscriptions that do not exist are missing."""
        missing = [subscription for subscription in wanted if subscription not in self.agreements]
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
    """Add entries of the log to the aggregates of their billing periods, and announce the result.

    Events that no period takes are announced as refused, so that the log quarantines them. A late event changes the
    aggregate of its closed period and marks it, so that the next invoice adjusts it.

    An event that fails for an unforeseen reason is refused as `USAGE_NOT_COUNTABLE`, and the others are counted: it
    must not hold up the other customers of its shard.
    """
    try:
        with tx.begin_nested():
            _count_together(deps, tx, memory, entries)
    except Exception as error:
        if is_passing(error):
            raise
        if len(entries) > 1:
            middle = len(entries) // 2
            count_usage(deps, tx, memory, entries[:middle])
            count_usage(deps, tx, memory, entries[middle:])
        elif entries[0].is_void:
            raise
        else:
            log.exception("usage_not_countable", transaction_id=entries[0].transaction_id)
            refused_usage.keep(tx, [RefusedUsage.of(entries[0])])
            announce_refusals(deps, tx, [_refusal(entries[0], "USAGE_NOT_COUNTABLE")])


def _count_together(deps: Deps, tx: Connection, memory: Memory, entries: Sequence[UsageEntry]) -> None:
    batch = Batch(tx, memory, entries, deps.clock.now())
    for entry in entries:
        batch.count(entry)
    keep_batch(deps, tx, batch)
    future_usage.keep(tx, batch.ahead.values())
    announce_refusals(deps, tx, batch.refusals)
    if voided := {entry.subscription_id for entry in entries if entry.is_void}:
        # A period that could not be priced may be priceable without the events that were taken back.
        try_again(tx, [Work.CHANGE, Work.CLOSE, Work.ACCRUE], voided, deps.clock.now())


def announce_refusals(deps: Deps, tx: Connection, refusals: Sequence[Refusal]) -> None:
    """Announce refused events to the log, in messages of a size that NATS takes."""
    for start in range(0, len(refusals), MAX_REFUSALS):
        deps.announce(tx, UsageRefused(tuple(refusals[start : start + MAX_REFUSALS])))


def _refusal(entry: UsageEntry, reason: str) -> Refusal:
    return Refusal(entry.organization_id, entry.event_key, reason, entry.catalog_revision)


def keep_batch(deps: Deps, tx: Connection, batch: Batch) -> None:
    """Add what a batch has gathered, remember what it refused, and announce the new totals."""
    kept = additions.add(tx, batch.additions()) if batch.counted else []
    batch.groups.keep(kept)
    if batch.late:
        corrections.note(tx, batch.late)
        periods.mark(tx, {key for key, _ in batch.late} | batch.carry_late(), dirty=True)
    refused_usage.keep(tx, batch.refused)
    if kept:
        periods.mark(tx, {aggregate.period for aggregate in kept}, accrual_due=True)
        totals = iter(batch.totals(kept))
        while part := tuple(islice(totals, MAX_TOTALS)):
            deps.announce(tx, UsageAggregated(part))


class Batch:
    """The entries of one transaction on their way into aggregates.

    Attributes:
        ahead: counted events, by key, that their subscription may still lose, because they are ahead of their
            organization's time, or the subscription or their period has not begun; remembered until their period is
            closed.
        counted: what was gathered for each aggregate.
        late: events of closed periods.
        refusals: what is announced to the log.
        refused: the events to remember as refused.
        groups: how many groups the periods may have.
    """

    def __init__(self, tx: Connection, memory: Memory, entries: Sequence[UsageEntry], machine_now: datetime) -> None:
        self._tx = tx
        self._times = memory.times(tx, {entry.organization_id for entry in entries}, machine_now)
        self._places = Places(tx, entries)
        self._agreements = memory.know(tx, {entry.subscription_id for entry in entries})
        self._metrics = _metrics(tx, entries)
        self._counters: dict[tuple[SubscriptionId, str], Counter] = {}
        self._spans: dict[PeriodKey, Period] = {}
        self._shards: dict[SubscriptionId, int] = {}
        voids = [entry for entry in entries if entry.is_void]
        self.refused: set[RefusedUsage] = refused_usage.take(tx, map(RefusedUsage.of, voids))
        future_usage.drop(tx, voids)
        self.ahead: dict[bytes, UsageEntry] = {}
        self.counted: dict[tuple[PeriodKey, str, CountedBucket], Counted] = {}
        self.late: list[tuple[PeriodKey, UsageEntry]] = []
        self.refusals: list[Refusal] = []
        self.groups = GroupLimit(tx, memory.groups)

    def count(self, entry: UsageEntry) -> None:
        """Gather one entry, or refuse it."""
        if entry.is_void:
            self._take_back(entry)
            return
        try:
            counter, period = self._place(entry)
            buckets = counter.buckets(entry.occurred_at, entry.properties)
            measurement = counter.measure(entry)
            self.groups.require(period.key, buckets)
        except (InvalidArgumentError, NotFoundError, FailedPreconditionError) as error:
            self._refuse(entry, error.reason)
            return
        self._gather(entry, period, counter, buckets, measurement)
        if self._may_be_lost(entry, period):
            self.ahead[entry.event_key] = entry

    def _place(self, entry: UsageEntry) -> tuple[Counter, BillingPeriod]:
        """What counts an event, and the billing period that takes it.

        Raises:
            NotFoundError: `SUBSCRIPTION_NOT_FOUND`, `METRIC_UNKNOWN`.
            FailedPreconditionError: `SUBSCRIPTION_NOT_ACTIVE`; `SUBSCRIPTION_BILLED` if no invoice will ever bill it.
        """
        agreement = self._agreement(entry)
        if agreement is None:
            raise NotFoundError("SUBSCRIPTION_NOT_FOUND", "the organization has no such subscription")
        counter = self._counter(agreement, entry.code)
        if counter is None or counter.metric.deleted_at is not None:
            raise NotFoundError("METRIC_UNKNOWN", "no metric has this code")
        period = self._places.find(agreement, entry.occurred_at)
        if period is None:
            raise FailedPreconditionError("SUBSCRIPTION_NOT_ACTIVE", "the subscription has no period at this time")
        if not self._places.is_billable(period):
            raise FailedPreconditionError("SUBSCRIPTION_BILLED", "the period is closed and no invoice will adjust it")
        return counter, period

    def _take_back(self, entry: UsageEntry) -> None:
        """Take an event out of the aggregate that counted it; a refused event is in none."""
        refused = RefusedUsage.of(entry)
        if refused in self.refused:
            self.refused.discard(refused)
            return
        self.ahead.pop(entry.event_key, None)
        agreement = self._agreement(entry)
        counter = None if agreement is None else self._counter(agreement, entry.code)
        if agreement is None or counter is None:
            # No aggregate can have counted it.
            return
        period = self._places.of_counted(agreement, entry.occurred_at)
        buckets = counter.buckets(entry.occurred_at, entry.properties)
        self._gather(entry, period, counter, buckets, counter.measure(entry))

    def _agreement(self, entry: UsageEntry) -> Agreement | None:
        agreement = self._agreements.get(entry.subscription_id)
        return agreement if agreement and agreement.organization_id == entry.organization_id else None

    def _may_be_lost(self, entry: UsageEntry, period: BillingPeriod) -> bool:
        """Whether the subscription may still end, or be canceled, before the event's time.

        Where a period ends, the next may be another subscription's: one in its customer's new time zone.
        """
        if period.state is PeriodState.CLOSED:
            return False
        is_ahead = entry.occurred_at >= self._times[entry.organization_id]
        return is_ahead or self._places.is_pending(entry.subscription_id) or not self._places.is_opened(period)

    def _gather(
        self,
        entry: UsageEntry,
        period: BillingPeriod,
        counter: Counter,
        buckets: Iterable[CountedBucket],
        measurement: Measurement,
    ) -> None:
        self._spans[period.key] = period.period
        self._shards[entry.subscription_id] = entry.shard
        for bucket in buckets:
            key = (period.key, entry.code, bucket)
            counted = self.counted.get(key)
            if counted is None:
                counted = self.counted[key] = Counted()
            is_held = counter.is_held(bucket, entry.occurred_at)
            counted.count(measurement, is_void=entry.is_void, is_held=is_held)
        if period.state is PeriodState.CLOSED:
            self.late.append((period.key, entry))

    def _refuse(self, entry: UsageEntry, reason: str) -> None:
        """Return an event to the log, which will take it back."""
        self.refusals.append(_refusal(entry, reason))
        self.refused.add(RefusedUsage.of(entry))

    def _counter(self, agreement: Agreement, code: str) -> Counter | None:
        key = (agreement.subscription_id, code)
        counter = self._counters.get(key)
        if counter is None:
            metric = self._metrics.get((agreement.organization_id, code))
            if metric is None:
                return None
            counter = self._counters[key] = Counter.of(agreement, metric)
        return counter

    def carry_late(self) -> set[PeriodKey]:
        """Carry late changes of recurring metrics through the later periods; returns the closed ones among them."""
        changed: set[PeriodKey] = set()
        for key, code in {(key, entry.code) for key, entry in self.late}:
            metric = self._metrics[(key.organization_id, code)]
            if metric.definition.recurring:
                agreement, span = self._agreements[key.subscription_id], self._spans[key]
                later = carry_late(self._tx, self._places, agreement, span, metric)
                changed |= {period.key for period in later if period.state is PeriodState.CLOSED}
        return changed

    def additions(self) -> list[additions.Addition]:
        """What the batch adds, one entry for each aggregate."""
        gathered = []
        for (key, code, bucket), counted in self.counted.items():
            counter = self._counters[(key.subscription_id, code)]
            charge = counter.charge_of(bucket)
            summed = tally(counted, counter, charge)
            shard = self._shards[key.subscription_id]
            gathered.append(additions.Addition(key, code, bucket, summed, shard, charge, counted.added, counted.voided))
        return gathered

    def totals(self, kept: Iterable[UsageAggregate]) -> Iterable[UsageTotal]:
        """The totals of the metrics that the batch changed, as they are now."""
        for aggregate in kept:
            if aggregate.counted.charge_id:
                continue
            agreement = self._agreements[aggregate.period.subscription_id]
            period = self._spans[aggregate.period]
            window = replace(agreement.window(period), free_until=None)
            metric = self._metrics[(aggregate.period.organization_id, aggregate.metric_code)]
            yield UsageTotal(
                organization_id=aggregate.period.organization_id,
                subscription_id=aggregate.period.subscription_id,
                external_customer_id=agreement.external_customer_id,
                metric_code=aggregate.metric_code,
                period=period,
                units=aggregate.units(metric, window),
                event_count=aggregate.event_count,
                revision=aggregate.revision,
                days=self._days(aggregate),
            )

    def _days(self, aggregate: UsageAggregate) -> Mapping[date, Decimal | None]:
        """What the batch added to each day of an aggregate; empty if it was changed by events of other days."""
        counted = self.counted.get((aggregate.period, aggregate.metric_code, METRIC_TOTAL))
        counter = self._counters.get((aggregate.period.subscription_id, aggregate.metric_code))
        return units_by_day(counted, counter) if counted and counter else {}


def _metrics(tx: Connection, entries: Sequence[UsageEntry]) -> dict[tuple[OrganizationId, str], MetricVersion]:
    """The current versions of the metrics of a batch; what a metric measures is fixed once it has counted.

    For a removed metric, its last version, for events that it counted before.
    """
    codes: dict[OrganizationId, set[str]] = {}
    for entry in entries:
        codes.setdefault(entry.organization_id, set()).add(entry.code)
    found: dict[tuple[OrganizationId, str], MetricVersion] = {}
    for organization, named in codes.items():
        metrics = metrics_by_code(tx, organization, named)
        if missing := named - metrics.keys():
            metrics = {**removed_metrics(tx, organization, missing), **metrics}
        found |= {(organization, code): metric for code, metric in metrics.items()}
    return found
