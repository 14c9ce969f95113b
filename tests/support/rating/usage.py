"""Usage of a charge, put together event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from services.rating.pricing.charge_usage import ChargeUsage
from services.rating.pricing.charges import ChargeModel
from services.rating.pricing.metric import BillableMetric, Measurement


def used(metric: BillableMetric, model: ChargeModel, measurements: Sequence[Measurement], **how: Any) -> ChargeUsage:
    """The usage that a charge is priced on after these events; `how` is as for `ChargeUsage.empty`."""
    empty = ChargeUsage.empty(metric, model, **how)
    aggregate: Any = empty.aggregate
    return replace(
        empty,
        aggregate=aggregate.add(measurements),
        transactions=empty.transactions.add(measurements) if empty.transactions is not None else None,
        precise_amount=sum((measurement.precise_amount for measurement in measurements), Decimal(0)),
    )
