"""Counting again from the usage-event log: for aggregates that are unsure, for rebuilding an invoice, for what-if.

Sums can be taken back when an event is voided, a maximum cannot: only the log knows the next largest. This is rare, so
it is done when the aggregate is next priced. The events that the log lists are the counted ones exactly when their
digest is the aggregate's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import UnavailableError
from services.kernel.money import ZERO
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.deps import Deps
from services.rating.pricing.aggregation import Sum, UniqueCount
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charges import Percentage, Transactions
from services.rating.pricing.metric import Aggregation
from services.rating.shared.usage_log import ListedUsageEvent, UsageEventsWanted, UsageLog
from services.rating.usage.aggregate import PeriodKey, StoredTransactions, UsageAggregate
from services.rating.usage.counting import METRIC_TOTAL, Counted, CountedBucket, Counter, tally, value_changes
from services.rating.usage.store import recount as store

# Events asked of the log at a time: its largest page.
PAGE_SIZE = 1000


def recount(
    deps: Deps,
    tx: Connection,
    agreement: Agreement,
    period: Period,
    aggregates: Sequence[UsageAggregate],
    metrics: Mapping[str, MetricVersion],
) -> list[UsageAggregate]:
    """The aggregates of a period, those that are unsure counted again from the log and kept so.

    Raises:
        UnavailableError: the log is away, or rating has not yet applied all it lists; try again.
    """
    exact = {}
    for code in _unsure(aggregates):
        counter, counted = _count_again(deps.usage_log, agreement, period, aggregates, metrics[code])
        for aggregate in _unsure_of(aggregates, code):
            own = counted.get(aggregate.counted, Counted([], []))
            distinct = counter.metric.definition.aggregation is Aggregation.UNIQUE_COUNT
            changes = value_changes(own.added, ()) if distinct else None
            exact[_identity(aggregate)] = store.save(tx, _exact(aggregate, own, counter), changes)
    return [exact.get(_identity(aggregate), aggregate) for aggregate in aggregates]


def preview_recount(
    log: UsageLog,
    agreement: Agreement,
    period: Period,
    aggregates: Sequence[UsageAggregate],
    metrics: Mapping[str, MetricVersion],
) -> list[UsageAggregate]:
    """As `recount`, for a query: what is counted again is kept nowhere.

    Raises:
        UnavailableError: as `recount`.
    """
    exact = {}
    for code in _unsure(aggregates):
        counter, counted = _count_again(log, agreement, period, aggregates, metrics[code])
        for aggregate in _unsure_of(aggregates, code):
            exact[_identity(aggregate)] = _exact(aggregate, counted.get(aggregate.counted, Counted([], [])), counter)
    return [exact.get(_identity(aggregate), aggregate) for aggregate in aggregates]


def _unsure(aggregates: Iterable[UsageAggregate]) -> list[str]:
    """The codes of the metrics of which an aggregate is unsure."""
    return sorted({aggregate.metric_code for aggregate in aggregates if aggregate.needs_recount})


def _unsure_of(aggregates: Iterable[UsageAggregate], code: str) -> list[UsageAggregate]:
    return [aggregate for aggregate in aggregates if aggregate.needs_recount and aggregate.metric_code == code]


def _identity(aggregate: UsageAggregate) -> tuple[str, CountedBucket]:
    """What tells the aggregates of one period apart."""
    return aggregate.metric_code, aggregate.counted


def _count_again(
    log: UsageLog,
    agreement: Agreement,
    period: Period,
    aggregates: Iterable[UsageAggregate],
    metric: MetricVersion,
) -> tuple[Counter, dict[CountedBucket, Counted]]:
    """The measurements of the events that the log lists of a metric; refused unless they are the counted ones."""
    code, counter = metric.definition.code, Counter.of(agreement, metric)
    wanted = UsageEventsWanted(agreement.organization_id, agreement.subscription_id, code, period)
    counted = gather(counter, (event for event in listed_events(log, wanted) if not event.is_voided))
    total = next(each for each in aggregates if each.metric_code == code and each.counted == METRIC_TOTAL)
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
    counted = {METRIC_TOTAL: Counted([], [])}
    for event in events:
        measurement = counter.measure(event)
        for bucket in counter.buckets(event.occurred_at, event.properties):
            counted.setdefault(bucket, Counted([], [])).count(measurement, is_void=False)
    return counted


def aggregates_from_log(
    key: PeriodKey, counter: Counter, events: Iterable[ListedUsageEvent], before: Iterable[ListedUsageEvent] = ()
) -> list[UsageAggregate]:
    """What a store would keep of one metric after exactly these events; a recurring one goes on from those before."""
    counted, carried = gather(counter, events), gather(counter, before)
    return [
        _kept(key, counter, bucket, counted.get(bucket, Counted([], [])), carried.get(bucket, Counted([], [])))
        for bucket in dict.fromkeys((*counted, *carried))
    ]


def _kept(
    key: PeriodKey, counter: Counter, bucket: CountedBucket, counted: Counted, carried: Counted
) -> UsageAggregate:
    charge = counter.charge_of(bucket)
    summed = tally(counted, counter, charge)
    present = UniqueCount().add(carried.added).carry().add(counted.added) if summed.values is not None else None
    return UsageAggregate(
        period=key,
        metric_code=counter.metric.definition.code,
        counted=bucket,
        event_count=summed.event_count,
        total=summed.total,
        moment=summed.moment,
        carried=Sum().add(carried.added).total if carried.added else ZERO,
        largest=summed.largest,
        reading=summed.reading,
        present_count=int(present.units) if present is not None else 0,
        precise_amount=summed.precise_amount,
        digest=summed.digest,
        days=summed.days or {},
        transactions=_transactions(bucket, counted, counter),
    )


def _exact(kept: UsageAggregate, counted: Counted, counter: Counter) -> UsageAggregate:
    """An aggregate with what cannot be summed taken from its events; counts and sums were right all along.

    How many values a recurring unique count has present depends on those carried over, which the store knows.
    """
    charge = counter.charge_of(kept.counted)
    summed = tally(counted, counter, charge)
    metric = counter.metric.definition
    present_count = kept.present_count
    if metric.aggregation is Aggregation.UNIQUE_COUNT and not metric.recurring:
        present_count = int(UniqueCount().add(counted.added).units)
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
