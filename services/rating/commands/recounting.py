"""Counting again from the log what a voided event took away: the largest value, the latest reading, a last word.

Sums can be taken back, a maximum cannot: the next largest is known to the log alone. Rare, so it is done when the
aggregate is next priced. The listed events are the counted ones exactly when their digest is the aggregate's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from services.kernel.errors import UnavailableError
from services.kernel.period import Period
from services.rating.deps import Deps
from services.rating.domain.agreement import Agreement
from services.rating.domain.catalog import MetricVersion
from services.rating.domain.counting import METRIC_TOTAL, Counted, Counter, tally
from services.rating.domain.kept_usage import KeptUsage
from services.rating.domain.log_rating import gather
from services.rating.domain.usage_log import EventsWanted, listed_events
from services.rating.store import recounted


def recount(
    deps: Deps,
    tx: Connection,
    agreement: Agreement,
    period: Period,
    kept: Sequence[KeptUsage],
    metrics: Mapping[str, MetricVersion],
) -> list[KeptUsage]:
    """The aggregates of a period, those that need it counted again from the log and kept so.

    Raises:
        UnavailableError: the log is away, or rating has not yet applied all it lists; try again.
    """
    stale = {each.metric_code for each in kept if each.needs_recount}
    found = [each for each in kept if each.metric_code not in stale]
    for code in sorted(stale):
        of_metric = [each for each in kept if each.metric_code == code]
        found += _recount_metric(deps, tx, agreement, period, of_metric, metrics[code])
    return found


def _recount_metric(
    deps: Deps,
    tx: Connection,
    agreement: Agreement,
    period: Period,
    kept: Sequence[KeptUsage],
    metric: MetricVersion,
) -> list[KeptUsage]:
    counter = Counter.of(agreement, metric)
    wanted = EventsWanted(agreement.organization_id, agreement.subscription_id, metric.metric.code, period)
    events = [each for each in listed_events(deps.usage_log, wanted) if not each.is_voided]
    counted = gather(counter, events)
    total = next(each for each in kept if each.counted == METRIC_TOTAL)
    if tally(counted[METRIC_TOTAL], counter, None).digest != total.digest:
        raise UnavailableError("USAGE_LOG_AHEAD", "the log lists other events than were counted so far")
    return [
        recounted.save(tx, each, counted.get(each.counted, Counted([], [])), counter) if each.needs_recount else each
        for each in kept
    ]
