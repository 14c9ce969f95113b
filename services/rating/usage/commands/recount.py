"""Keeping aggregates that were counted again from the log (store/event_log.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.deps import Deps
from services.rating.pricing.catalog import MetricVersion
from services.rating.usage.kept_usage import KeptUsage
from services.rating.usage.store import event_log, recounted


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
    exact = event_log.recount(deps.usage_log, agreement, period, kept, metrics)
    return event_log.with_recounted(kept, [recounted.save(tx, each) for each in exact])
