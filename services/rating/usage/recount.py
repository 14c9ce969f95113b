"""Counting again from the usage-event log: for unsure aggregates, for rebuilding an invoice, for what-if.

Sums can be taken back when an event is voided, a maximum cannot: only the log knows the next largest. And after a
change to a plan that splits a recurring metric otherwise than the plan before, only the log knows what of the running
value falls into each filter and group. Both are rare, so it is done when the aggregate is next priced. The events that
the log lists are the counted ones exactly when their digest is the aggregates'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.errors import UnavailableError
from services.kernel.money import ZERO
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import lineage
from services.rating.deps import Deps
from services.rating.pricing.aggregation import Sum, UniqueCount
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charges import Percentage, Transactions
from services.rating.pricing.metric import Aggregation
from services.rating.shared.usage_log import ListedUsageEvent, UsageEventsWanted, UsageLog
from services.rating.usage.aggregate import PeriodKey, StoredTransactions, UsageAggregate
from services.rating.usage.counting import (
    DIGEST_MODULUS,
    METRIC_TOTAL,
    Counted,
    CountedBucket,
    Counter,
    event_digest,
    tally,
    value_changes,
    value_key,
)
from services.rating.usage.store import carry_over
from services.rating.usage.store import recount as store
from services.rating.usage.store.aggregates import of_periods

# How many events are requested from the log at a time: its largest page.
PAGE_SIZE = 1000


def recount(
    deps: Deps,
    tx: Connection,
    agreement: Agreement,
    period: Period,
    aggregates: Sequence[UsageAggregate],
    metrics: Mapping[str, MetricVersion],
) -> list[UsageAggregate]:
    """The aggregates of a period; unsure ones are counted again from the log and stored.

    Raises:
        UnavailableError: the log is unavailable, or rating has not applied everything it lists yet; try again.
    """
    key = PeriodKey(agreement.organization_id, agreement.subscription_id, period.start)
    uncarried = [aggregate for aggregate in aggregates if aggregate.needs_carry and aggregate.metric_code in metrics]
    for total in uncarried:
        code = total.metric_code
        counter, before = _events_before(deps.usage_log, tx, agreement, period.start, metrics[code])
        known = [
            aggregate.counted
            for aggregate in aggregates
            if aggregate.metric_code == code and aggregate.counted.charge_id
        ]
        carry_over.set_carried(tx, key, code, total.shard, _carried(counter, before, known))
    if uncarried:
        aggregates = of_periods(tx, [key])[key]
    exact = {}
    for code in _unsure(aggregates, metrics):
        counter, counted = _count_again(deps.usage_log, agreement, period, aggregates, metrics[code])
        for aggregate in _unsure_of(aggregates, code):
            own = counted.get(aggregate.counted, Counted())
            distinct = counter.metric.definition.aggregation is Aggregation.UNIQUE_COUNT
            changes = value_changes([*own.added, *own.held], ()) if distinct else None
            exact[_identity(aggregate)] = store.save(tx, _exact(aggregate, own, counter), changes)
    return [exact.get(_identity(aggregate), aggregate) for aggregate in aggregates]


def preview_recount(
    log: UsageLog,
    tx: Connection,
    agreement: Agreement,
    period: Period,
    aggregates: Sequence[UsageAggregate],
    metrics: Mapping[str, MetricVersion],
) -> list[UsageAggregate]:
    """Like `recount`, for a query: what is counted again is not stored.

    Carried values that are not known are computed, with everything else, from all events up to now.

    Raises:
        UnavailableError: as `recount`.
    """
    for total in [aggregate for aggregate in aggregates if aggregate.needs_carry and aggregate.metric_code in metrics]:
        code = total.metric_code
        counter, before = _events_before(log, tx, agreement, period.start, metrics[code])
        wanted = UsageEventsWanted(agreement.organization_id, agreement.subscription_id, code, period)
        anew = aggregates_from_log(total.period, counter, _living(listed_events(log, wanted)), before)
        aggregates = [*(aggregate for aggregate in aggregates if aggregate.metric_code != code), *anew]
    exact = {}
    for code in _unsure(aggregates, metrics):
        counter, counted = _count_again(log, agreement, period, aggregates, metrics[code])
        for aggregate in _unsure_of(aggregates, code):
            exact[_identity(aggregate)] = _exact(aggregate, counted.get(aggregate.counted, Counted()), counter)
    return [exact.get(_identity(aggregate), aggregate) for aggregate in aggregates]


def _events_before(
    log: UsageLog, tx: Connection, agreement: Agreement, start: datetime, metric: MetricVersion
) -> tuple[Counter, list[ListedUsageEvent]]:
    """The events that make a running value at a period's start; refused unless they are the counted ones."""
    code, chain = metric.definition.code, lineage(tx, agreement)
    listed = [event for query in wanted_before(chain, code, start) for event in _living(listed_events(log, query))]
    counted = store.digest_before(tx, [agreement.subscription_id for agreement in chain], agreement, start, code)
    if sum(event_digest(event.transaction_id) for event in listed) % DIGEST_MODULUS != counted:
        raise UnavailableError("USAGE_LOG_AHEAD", "the log lists other events than were counted so far")
    return Counter.of(agreement, metric), listed


def wanted_before(chain: Iterable[Agreement], code: str, start: datetime) -> list[UsageEventsWanted]:
    """Queries for a metric's events before an instant, of a subscription and those that it continues (the chain)."""
    found = []
    for agreement in chain:
        since, until = agreement.subscription.starts_at, min(start, agreement.subscription.ended_at or start)
        if since < until:
            span = Period(since, until)
            found.append(UsageEventsWanted(agreement.organization_id, agreement.subscription_id, code, span))
    return found


def _carried(
    counter: Counter, before: Iterable[ListedUsageEvent], known: Iterable[CountedBucket]
) -> list[carry_over.Carried]:
    """The values with which each filter and group of the charges begins; known ones without events begin with zero."""
    gathered = gather(counter, before)
    return [
        _begins_with(counter, bucket, gathered.get(bucket, Counted()))
        for bucket in dict.fromkeys((*gathered, *known))
        if bucket.charge_id
    ]


def _begins_with(counter: Counter, bucket: CountedBucket, before: Counted) -> carry_over.Carried:
    """The value that a filter and group carries over from the earlier events that fell into it."""
    events = [*before.added, *before.held]
    if counter.metric.definition.aggregation is Aggregation.UNIQUE_COUNT:
        present = UniqueCount().add(events).carry().values
        return carry_over.Carried(bucket, ZERO, frozenset(map(value_key, present)))
    return carry_over.Carried(bucket, Sum().add(events).total)


def _living(events: Iterable[ListedUsageEvent]) -> Iterator[ListedUsageEvent]:
    return (event for event in events if not event.is_voided)


def _unsure(aggregates: Iterable[UsageAggregate], metrics: Mapping[str, MetricVersion]) -> list[str]:
    """The codes of the priced metrics that have an unsure aggregate."""
    codes = {aggregate.metric_code for aggregate in aggregates if aggregate.needs_recount}
    return sorted(codes & metrics.keys())


def _unsure_of(aggregates: Iterable[UsageAggregate], code: str) -> list[UsageAggregate]:
    return [aggregate for aggregate in aggregates if aggregate.needs_recount and aggregate.metric_code == code]


def _identity(aggregate: UsageAggregate) -> tuple[str, CountedBucket]:
    """Identifies an aggregate within one period."""
    return aggregate.metric_code, aggregate.counted


def _count_again(
    log: UsageLog,
    agreement: Agreement,
    period: Period,
    aggregates: Iterable[UsageAggregate],
    metric: MetricVersion,
) -> tuple[Counter, dict[CountedBucket, Counted]]:
    """The measurements of the events that the log lists for a metric; refused unless they are the counted ones."""
    code, counter = metric.definition.code, Counter.of(agreement, metric)
    wanted = UsageEventsWanted(agreement.organization_id, agreement.subscription_id, code, period)
    counted = gather(counter, _living(listed_events(log, wanted)))
    total = next(
        aggregate for aggregate in aggregates if aggregate.metric_code == code and aggregate.counted == METRIC_TOTAL
    )
    if tally(counted[METRIC_TOTAL], counter, None).digest != total.digest:
        raise UnavailableError("USAGE_LOG_AHEAD", "the log lists other events than were counted so far")
    return counter, counted


def listed_events(log: UsageLog, wanted: UsageEventsWanted) -> Iterator[ListedUsageEvent]:
    """Every event that the log lists, page by page."""
    token = ""
    while True:
        page = log.page(wanted, size=PAGE_SIZE, token=token)
        yield from page.events
        token = page.next_token
        if not token:
            return


def gather(counter: Counter, events: Iterable[ListedUsageEvent]) -> dict[CountedBucket, Counted]:
    """The measurements of events by bucket; the metric's own bucket is always among them."""
    counted = {METRIC_TOTAL: Counted()}
    for event in events:
        measurement = counter.measure(event)
        for bucket in counter.buckets(event.occurred_at, event.properties):
            is_held = counter.is_held(bucket, event.occurred_at)
            counted.setdefault(bucket, Counted()).count(measurement, is_void=False, is_held=is_held)
    return counted


def aggregates_from_log(
    key: PeriodKey, counter: Counter, events: Iterable[ListedUsageEvent], before: Iterable[ListedUsageEvent] = ()
) -> list[UsageAggregate]:
    """What a store would hold of one metric after exactly these events; a recurring one continues from those before."""
    counted, carried = gather(counter, events), gather(counter, before)
    return [
        _kept(key, counter, bucket, counted.get(bucket, Counted()), carried.get(bucket, Counted()))
        for bucket in dict.fromkeys((*counted, *carried))
    ]


def _kept(
    key: PeriodKey, counter: Counter, bucket: CountedBucket, counted: Counted, carried: Counted
) -> UsageAggregate:
    charge = counter.charge_of(bucket)
    summed, before = tally(counted, counter, charge), [*carried.added, *carried.held]
    present = None
    if summed.values is not None:
        present = UniqueCount().add(before).carry().add([*counted.added, *counted.held])
    return UsageAggregate(
        period=key,
        metric_code=counter.metric.definition.code,
        counted=bucket,
        event_count=summed.event_count,
        total=summed.total,
        moment=summed.moment,
        carried=Sum().add(before).total,
        held=summed.held,
        largest=summed.largest,
        reading=summed.reading,
        present_count=int(present.units) if present is not None else 0,
        precise_amount=summed.precise_amount,
        digest=summed.digest,
        days=summed.days or {},
        transactions=_transactions(bucket, counted, counter),
    )


def _exact(kept: UsageAggregate, counted: Counted, counter: Counter) -> UsageAggregate:
    """An aggregate in which everything that cannot be summed comes from its events; counts and sums were right already.

    How many values of a recurring unique count are present depends on the carried-over ones, which the store knows.
    """
    charge = counter.charge_of(kept.counted)
    summed = tally(counted, counter, charge)
    metric = counter.metric.definition
    present_count = kept.present_count
    if metric.aggregation is Aggregation.UNIQUE_COUNT and not metric.recurring:
        present_count = int(UniqueCount().add([*counted.added, *counted.held]).units)
    return replace(
        kept,
        present_count=present_count,
        largest=summed.largest,
        reading=summed.reading,
        transactions=_transactions(kept.counted, counted, counter),
        needs_recount=False,
        revision=kept.revision + 1,
    )


def _transactions(bucket: CountedBucket, counted: Counted, counter: Counter) -> StoredTransactions | None:
    charge = counter.charge_of(bucket)
    model = charge.model_for(bucket.bucket.filter_key) if charge is not None else None
    if not isinstance(model, Percentage) or not model.needs_transactions:
        return None
    state = Transactions(model.terms).add(counted.added)
    return StoredTransactions(state.earliest, state.later)
