"""Rating from the log: a period's aggregates built anew from its events, for rebuilding and for what-if."""

from __future__ import annotations

from collections.abc import Iterable

from services.kernel.money import ZERO
from services.rating.domain.aggregation import Sum, UniqueCount
from services.rating.domain.charges import Percentage, Transactions
from services.rating.domain.counting import METRIC_TOTAL, Counted, CountedBucket, Counter, tally
from services.rating.domain.kept_usage import KeptTransactions, KeptUsage, PeriodKey
from services.rating.domain.usage_log import ListedEvent


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
    transactions = None
    model = charge.model_for(bucket.bucket.filter_key) if charge is not None else None
    if isinstance(model, Percentage) and model.needs_transactions:
        state = Transactions(model.terms).add(counted.added)
        transactions = KeptTransactions(state.earliest, state.later)
    present = UniqueCount().add(carried.added).carry().add(counted.added) if summed.values is not None else None
    return KeptUsage(
        period=key,
        metric_code=counter.metric.metric.code,
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
        transactions=transactions,
    )
