"""Reading the usage-event log through ingest: whole spans of events, and aggregates counted again from them.

Sums can be taken back when an event is voided, a maximum cannot: the next largest is known to the log alone. Rare, so
it is done when the aggregate is next priced. The listed events are the counted ones exactly when their digest is the
aggregate's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.kernel.errors import UnavailableError
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.pricing.catalog import MetricVersion
from services.rating.shared.usage_log import EventsWanted, ListedEvent, UsageLog
from services.rating.usage.counting import METRIC_TOTAL, Counted, Counter, tally
from services.rating.usage.kept_usage import KeptUsage
from services.rating.usage.log_rating import gather, recounted

# Events asked of the log at a time: its largest page.
PAGE_SIZE = 1000


def listed_events(log: UsageLog, wanted: EventsWanted) -> Iterator[ListedEvent]:
    """Every event that the log lists, page by page."""
    token = ""
    while True:
        page = log.page(wanted, size=PAGE_SIZE, token=token)
        yield from page.events
        token = page.next_token
        if not token:
            return


@dataclass(frozen=True, slots=True)
class Recounted:
    """An aggregate that was counted again.

    Attributes:
        kept: the aggregate, exact.
        counted: the measurements of its events.
        counter: what they were measured with.
    """

    kept: KeptUsage
    counted: Counted
    counter: Counter


def recount(
    log: UsageLog,
    agreement: Agreement,
    period: Period,
    kept: Sequence[KeptUsage],
    metrics: Mapping[str, MetricVersion],
) -> list[Recounted]:
    """Those aggregates of a period that need it, counted again from the log.

    Raises:
        UnavailableError: the log is away, or rating has not yet applied all it lists; try again.
    """
    found = []
    for code in sorted({each.metric_code for each in kept if each.needs_recount}):
        counter = Counter.of(agreement, metrics[code])
        wanted = EventsWanted(agreement.organization_id, agreement.subscription_id, code, period)
        counted = gather(counter, (each for each in listed_events(log, wanted) if not each.is_voided))
        of_metric = [each for each in kept if each.metric_code == code]
        total = next(each for each in of_metric if each.counted == METRIC_TOTAL)
        if tally(counted[METRIC_TOTAL], counter, None).digest != total.digest:
            raise UnavailableError("USAGE_LOG_AHEAD", "the log lists other events than were counted so far")
        for each in of_metric:
            if each.needs_recount:
                own = counted.get(each.counted, Counted([], []))
                found.append(Recounted(recounted(each, own, counter), own, counter))
    return found


def with_recounted(kept: Sequence[KeptUsage], exact: Sequence[Recounted]) -> list[KeptUsage]:
    """The aggregates with those that were counted again in their places."""
    found = {(each.kept.metric_code, each.kept.counted): each.kept for each in exact}
    return [found.get((each.metric_code, each.counted), each) for each in kept]
