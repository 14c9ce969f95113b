"""Rating from the log: a period's aggregates built anew from its events, for rebuilding and for what-if."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from services.kernel.money import ZERO
from services.rating.pricing.aggregation import Sum, UniqueCount
from services.rating.pricing.charges import Percentage, Transactions
from services.rating.pricing.metric import Aggregation
from services.rating.shared.usage_log import ListedEvent
from services.rating.usage.counting import METRIC_TOTAL, Counted, CountedBucket, Counter, tally
from services.rating.usage.kept_usage import KeptTransactions, KeptUsage, PeriodKey


def gather(counter: Counter, events: Iterable[ListedEvent]) -> dict[CountedBucket, Counted]:
    """The measurements of events by bucket; the metric's own bucket is always among them."""
    counted = {METRIC_TOTAL: Counted([], [])}
    for event in events:
        measurement = counter.measure(event)
        for bucket in counter.buckets(event.occurred_at, event.properties):
            counted.setdefault(bucket, Counted([], [])).count(measurement, is_void=False)
    return counted


def kept_from_log(
    key: PeriodKey, counter: Counter, events: Iterable[ListedEvent], before: Iterable[ListedEvent] = ()
) -> list[KeptUsage]:
    """What a store would keep of one metric after exactly these events; a recurring one goes on from those before."""
    counted, carried = gather(counter, events), gather(counter, before)
    return [
        _kept(key, counter, bucket, counted.get(bucket, Counted([], [])), carried.get(bucket, Counted([], [])))
        for bucket in dict.fromkeys((*counted, *carried))
    ]


def _kept(key: PeriodKey, counter: Counter, bucket: CountedBucket, counted: Counted, carried: Counted) -> KeptUsage:
    charge = counter.charge_of(bucket)
    summed = tally(counted, counter, charge)
    present = UniqueCount().add(carried.added).carry().add(counted.added) if summed.values is not None else None
    return KeptUsage(
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


def recounted(kept: KeptUsage, counted: Counted, counter: Counter) -> KeptUsage:
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


def _transactions(bucket: CountedBucket, counted: Counted, counter: Counter) -> KeptTransactions | None:
    charge = counter.charge_of(bucket)
    model = charge.model_for(bucket.bucket.filter_key) if charge is not None else None
    if not isinstance(model, Percentage) or not model.needs_transactions:
        return None
    state = Transactions(model.terms).add(counted.added)
    return KeptTransactions(state.earliest, state.later)
