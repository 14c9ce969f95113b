"""Costing usage events as the log announces them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from services.kernel.errors import UnavailableError
from services.kernel.ids import new_id
from services.kernel.money import ZERO
from services.margin.deps import Deps
from services.margin.domain import ledger
from services.margin.domain.cost_model import CostModel, PerUnit, model_at
from services.margin.domain.costing import cost_of_usage, number_of
from services.margin.domain.ledger import CostEntry, Origin, Source
from services.margin.domain.price import Prices
from services.margin.domain.projection import Metric, UsageEvent
from services.margin.store import cost_event as cost_event_store
from services.margin.store import cost_model as cost_model_store
from services.margin.store import ledger as ledger_store
from services.margin.store import price as price_store
from services.margin.store import projection as projection_store

_ONE = Decimal(1)
# Numbers stay exact: a JSON number with a point becomes a Decimal, never a float.
_properties = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def cost_usage(deps: Deps, tx: Connection, events: Sequence[UsageEvent]) -> None:
    """Book what usage events cost and take back what voided ones did, in their order in the log.

    Events of a metric without a cost model cost nothing and leave no entry; they are remembered as parents.

    Raises:
        UnavailableError: a metric with a cost per unit is not known here yet; rating announces it on another stream.
    """
    accepted = [event for event in events if not event.is_voided]
    if accepted:
        cost_event_store.add_parents(tx, accepted)
        ledger_store.add(tx, _costs(deps, tx, accepted))
    voided = [(event.organization_id, event.transaction_id) for event in events if event.is_voided]
    if voided:
        standing = ledger_store.standing(tx, Source.USAGE_EVENT, voided)
        ledger_store.add(tx, [ledger.reverse(entry, new_id) for entry in standing])


def _costs(deps: Deps, tx: Connection, events: Sequence[UsageEvent]) -> list[CostEntry]:
    models = cost_model_store.holding(tx, [(event.organization_id, event.code) for event in events])
    costed = [event for event in events if (event.organization_id, event.code) in models]
    if not costed:
        return []
    metrics = projection_store.metrics(tx, models)
    overrides = price_store.overrides(tx, [event.organization_id for event in costed])
    entries: list[CostEntry] = []
    for event in costed:
        key = (event.organization_id, event.code)
        model = model_at(models[key], event.occurred_at)
        if model is not None:
            prices = Prices(deps.prices, overrides.get(event.organization_id, ()))
            entries += _entries(event, model, metrics.get(key), prices)
    return entries


def _entries(event: UsageEvent, model: CostModel, metric: Metric | None, prices: Prices) -> list[CostEntry]:
    properties = _properties.decode(event.properties or b"{}")
    units = _units(event, model, metric, properties)
    origin = Origin(
        event.organization_id,
        Source.USAGE_EVENT,
        event.transaction_id,
        event.external_customer_id,
        event.subscription_id,
        event.code,
        event.occurred_at,
    )
    return ledger.book(origin, cost_of_usage(model, prices, properties, units, at=event.occurred_at), new_id)


def _units(event: UsageEvent, model: CostModel, metric: Metric | None, properties: dict[str, Any]) -> Decimal:
    """What an event adds to its metric: the value that is summed, else the event itself."""
    if not isinstance(model.rule, PerUnit):
        return ZERO
    if metric is None:
        raise UnavailableError("METRIC_NOT_YET_KNOWN", f"the metric {event.code!r} was not announced yet")
    return (number_of(properties, metric.field_name) or ZERO) if metric.is_sum else _ONE
