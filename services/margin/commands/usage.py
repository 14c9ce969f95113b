"""Costing usage events as the log announces them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.kernel.ids import id_maker
from services.margin.commands.cost_event import claim_waiting
from services.margin.deps import Deps
from services.margin.domain import ledger
from services.margin.domain.cost_model import CostModel, PerUnit, model_at
from services.margin.domain.costing import cost_of_usage, signed_number_of
from services.margin.domain.ledger import CostEntry, Origin, Source
from services.margin.domain.price import Prices
from services.margin.domain.projection import Metric, UsageEvent
from services.margin.store import cost_model as cost_model_store
from services.margin.store import ledger as ledger_store
from services.margin.store import price as price_store
from services.margin.store import projection as projection_store
from services.margin.store import usage_parent as usage_parent_store
from services.margin.store import waiting_usage as waiting_usage_store
from services.margin.store.usage_parent import ParentKey
from services.wire.properties import read_properties

# An organization and the code of one of its metrics.
MetricKey = tuple[str, str]

_ONE = Decimal(1)


def cost_usage(deps: Deps, tx: Connection, events: Sequence[UsageEvent]) -> None:
    """Book what usage events cost, and reverse what voided events cost, in their order in the log.

    Events of a metric without a cost model cost nothing and leave no entry. Events that cost events name cost what
    those say (commands/cost_event.py). A cost per unit of a metric that rating has not announced yet is booked when it
    is announced: only the usage waits, not the log, which carries the messages of all organizations.
    """
    accepted = [event for event in events if not event.is_voided]
    if accepted:
        named = usage_parent_store.meet(tx, accepted)
        if named:
            claim_waiting(tx, sorted(named))
        costed = [event for event in accepted if (event.organization_id, event.transaction_id) not in named]
        booked = _cost(deps, tx, costed)
        # Of the others the ledger knows whose they are.
        usage_parent_store.add(
            tx, [event for event in costed if (event.organization_id, event.transaction_id) not in booked]
        )
    voided = [(event.organization_id, event.transaction_id) for event in events if event.is_voided]
    if voided:
        waiting_usage_store.remove(tx, voided)
        standing = ledger_store.standing(tx, Source.USAGE_EVENT, voided)
        new_id = id_maker()
        ledger_store.add(tx, [ledger.reverse(entry, new_id) for entry in standing])


def save_metric(deps: Deps, tx: Connection, metric: Metric) -> None:
    """Store a metric as it is now, and cost the usage that waited for it."""
    projection_store.lock_metrics(tx, [(metric.organization_id, metric.code)])
    projection_store.save_metric(tx, metric)
    waiting = waiting_usage_store.take(tx, metric.organization_id, metric.code)
    if waiting:
        cost_usage(deps, tx, waiting)


def _cost(deps: Deps, tx: Connection, events: Sequence[UsageEvent]) -> set[ParentKey]:
    """Book what events cost by the cost models of their metrics; those that left an entry."""
    models = cost_model_store.holding(tx, [(event.organization_id, event.code) for event in events])
    costed = [event for event in events if (event.organization_id, event.code) in models]
    if not costed:
        return set()
    metrics = _metrics(tx, models)
    overrides = price_store.overrides(tx, [event.organization_id for event in costed])
    entries: list[CostEntry] = []
    waiting: list[UsageEvent] = []
    prices = {
        organization: Prices(deps.prices, overrides.get(organization, ()))
        for organization in {event.organization_id for event in costed}
    }
    new_id = id_maker()
    for event in costed:
        key = (event.organization_id, event.code)
        model, metric = model_at(models[key], event.occurred_at), metrics.get(key)
        if model is None:
            continue
        if isinstance(model.rule, PerUnit) and metric is None:
            waiting.append(event)
            continue
        origin = _origin(event)
        properties = read_properties(event.properties)
        units = _units(metric, properties)
        lines = cost_of_usage(model, prices[event.organization_id], properties, units, at=event.occurred_at)
        entries += ledger.book(origin, lines, new_id)
    ledger_store.add(tx, entries)
    waiting_usage_store.add(tx, waiting)
    return {(entry.origin.organization_id, entry.origin.source_id) for entry in entries}


def _metrics(tx: Connection, models: Mapping[MetricKey, Sequence[CostModel]]) -> Mapping[MetricKey, Metric]:
    """The metrics of cost models; an unknown metric is read again under the lock of its announcement."""
    known = projection_store.metrics(tx, models)
    missing = models.keys() - known.keys()
    if missing:
        projection_store.lock_metrics(tx, missing)
        known = projection_store.metrics(tx, models)
    return known


def _origin(event: UsageEvent) -> Origin:
    return Origin(
        event.organization_id,
        Source.USAGE_EVENT,
        event.transaction_id,
        event.external_customer_id,
        event.subscription_id,
        event.code,
        event.occurred_at,
    )


def _units(metric: Metric | None, properties: Mapping[str, object]) -> Decimal | None:
    """What an event adds to its metric: the summed value, or 1 for the event itself."""
    return signed_number_of(properties, metric.field_name) if metric is not None and metric.is_sum else _ONE
