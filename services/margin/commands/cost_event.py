"""Recording cost events, each once, and giving those that came before their parent to its customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, new_id
from services.margin.deps import Deps
from services.margin.domain import ledger
from services.margin.domain.cost_event import MAX_BATCH, CostEvent, Outcome, cost_of_event, require_valid
from services.margin.domain.ledger import CostEntry, Origin, Source
from services.margin.domain.price import Prices
from services.margin.domain.projection import Subscription, subscription_at
from services.margin.store import cost_event as store
from services.margin.store import ledger as ledger_store
from services.margin.store import price as price_store
from services.margin.store import projection as projection_store
from services.margin.store.cost_event import Owner

# A parent that has not arrived by then will not: usage events may come late, but not the rest of one request.
WAIT_FOR_PARENT = timedelta(hours=72)
# Given to their customers in one transaction: short enough to repeat.
CLAIM_BATCH = 500
_NOBODY = Owner("", None)


def record_cost_events(
    deps: Deps, tx: Connection, organization: OrganizationId, events: Sequence[CostEvent]
) -> list[Outcome]:
    """Record events and book their costs; a repeat changes nothing. One outcome for each event, in order.

    Raises:
        InvalidArgumentError: the batch is empty or too large, or an event is wrong.
    """
    if not 1 <= len(events) <= MAX_BATCH:
        raise InvalidArgumentError.of_field("cost_events", "value_is_out_of_range", f"needs 1 to {MAX_BATCH} events")
    for index, event in enumerate(events):
        require_valid(event, field=f"cost_events[{index}]")
    now = projection_store.clock_of(tx, organization) or deps.clock.now()
    owners = _owners(tx, organization, events, now)
    customers = [owner.external_customer_id for owner in owners]
    added = store.add_once(tx, organization, events, customers, [event.occurred_at or now for event in events])
    entries = _book(deps, tx, organization, _added(events, owners, added), now)
    unpriced = {entry.origin.source_id for entry in entries if not entry.is_priced}
    return _outcomes(tx, organization, events, added, unpriced)


def _added(
    events: Sequence[CostEvent], owners: Sequence[Owner], added: set[tuple[str, bytes]]
) -> list[tuple[CostEvent, Owner]]:
    """The events that were added, each once, with whose they are."""
    found: dict[tuple[str, bytes], tuple[CostEvent, Owner]] = {}
    for event, owner in zip(events, owners, strict=True):
        if event.identity in added:
            found.setdefault(event.identity, (event, owner))
    return list(found.values())


def _owners(tx: Connection, organization: OrganizationId, events: Sequence[CostEvent], now: datetime) -> list[Owner]:
    """Whose each event is: its parent's customer and subscription, else the customer it names."""
    parents = store.parents(tx, organization, [e.parent_transaction_id for e in events if e.parent_transaction_id])
    customers = {event.external_customer_id for event in events if event.external_customer_id}
    running: dict[str, list[Subscription]] = {}
    for subscription in projection_store.subscriptions(tx, organization, customers):
        running.setdefault(subscription.external_customer_id, []).append(subscription)
    owners = []
    for event in events:
        customer, owner = event.external_customer_id, parents.get(event.parent_transaction_id, _NOBODY)
        if customer and customer != owner.external_customer_id:
            subscription_ = subscription_at(running.get(customer, ()), event.occurred_at or now)
            owner = Owner(customer, subscription_.id if subscription_ else None)
        owners.append(owner)
    return owners


def _book(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    events: Sequence[tuple[CostEvent, Owner]],
    now: datetime,
) -> list[CostEntry]:
    prices = Prices(deps.prices, price_store.overrides(tx, [organization]).get(organization, ()))
    entries = []
    for event, owner in events:
        at = event.occurred_at or now
        origin = Origin(
            organization,
            Source.COST_EVENT,
            event.cost_event_id,
            owner.external_customer_id,
            owner.subscription_id,
            event.cost_meter_code,
            at,
            event.parent_transaction_id,
            event.request_id,
            event.operation_key,
        )
        entries += ledger.book(origin, cost_of_event(event, prices, at=at), new_id)
    ledger_store.add(tx, entries)
    return entries


def _outcomes(
    tx: Connection,
    organization: OrganizationId,
    events: Sequence[CostEvent],
    added: set[tuple[str, bytes]],
    unpriced: set[str],
) -> list[Outcome]:
    known = store.known(tx, organization, events)
    by_id = {event.cost_event_id: event for event in known}
    by_key = {event.natural_key: event for event in known}
    fresh, outcomes = set(added), []
    for event in events:
        if event.identity in fresh:
            fresh.discard(event.identity)
            outcomes.append(Outcome.UNPRICED if event.cost_event_id in unpriced else Outcome.ACCEPTED)
            continue
        stored = by_id.get(event.cost_event_id) or by_key[event.natural_key]
        same = stored.content_hash == event.content_hash
        outcomes.append(Outcome.DUPLICATE if same else Outcome.CONFLICT)
    return outcomes


def claim_waiting(deps: Deps, tx: Connection) -> int:
    """Book the costs that came before their parent again, now to its customer; how many events that were."""
    claimed = store.claim_waiting(tx, deps.clock.now() - WAIT_FOR_PARENT, CLAIM_BATCH)
    owners = {(event.organization_id, event.cost_event_id): event.owner for event in claimed}
    standing = ledger_store.standing(tx, Source.COST_EVENT, owners)
    moved = []
    for entry in standing:
        owner = owners[entry.origin.organization_id, entry.origin.source_id]
        moved += [
            ledger.reverse(entry, new_id),
            ledger.owned_by(entry, owner.external_customer_id, owner.subscription_id, new_id),
        ]
    ledger_store.add(tx, moved)
    return len(claimed)
