"""Recording cost events, each once, and pricing the requests of which they are parts.

One rule decides which of several sources says what a call cost: **cost events that name a usage event take precedence
over the cost model of its metric**. So the first cost event that names a usage event reverses what the cost model had
booked, and a usage event that arrives later is not costed by its cost model at all (commands/usage.py). If both are
under way at once, neither may see the other; so what was named is looked at again when all that ran then has ended
(`settle_named`, a job).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import OrganizationId, new_id
from services.margin.deps import Deps
from services.margin.domain import ledger
from services.margin.domain.cost_event import (
    MAX_BATCH,
    MAX_SIBLINGS,
    CostEvent,
    Outcome,
    by_request,
    cost_of_events,
    require_valid,
)
from services.margin.domain.costing import CostLine
from services.margin.domain.ledger import CostEntry, Origin, Source
from services.margin.domain.price import Prices
from services.margin.domain.projection import Subscription, subscription_at
from services.margin.store import cost_event as store
from services.margin.store import ledger as ledger_store
from services.margin.store import price as price_store
from services.margin.store import projection as projection_store
from services.margin.store import usage_parent as usage_parent_store
from services.margin.store.usage_parent import Owner, ParentKey

_NOBODY = Owner("", None)


def record_cost_events(
    deps: Deps, tx: Connection, organization: OrganizationId, events: Sequence[CostEvent]
) -> list[Outcome]:
    """Record events and book what their requests cost; a repeat changes nothing.

    Returns one outcome for each, in order.

    Raises:
        InvalidArgumentError: the batch is empty or too large, or an event is wrong.
        FailedPreconditionError: `TOO_MANY_COST_EVENTS`, a request would have more than `MAX_SIBLINGS` parts.
    """
    if not 1 <= len(events) <= MAX_BATCH:
        raise InvalidArgumentError.of_field("cost_events", "value_is_out_of_range", f"needs 1 to {MAX_BATCH} events")
    for place, event in enumerate(events):
        require_valid(event, field=f"cost_events[{place}]")
    now = projection_store.clock_of(tx, organization) or deps.clock.now()
    dated = [replace(event, occurred_at=event.occurred_at or now) for event in events]
    # Locks come first, so that a transaction that waits for identities below holds none that the other one needs.
    parents = {event.parent_transaction_id for event in dated if event.parent_transaction_id}
    owners = _owners(tx, organization, dated, usage_parent_store.name(tx, organization, parents), now)
    store.lock_requests(tx, organization, by_request(dated))
    added = store.add_once(tx, organization, dated, [owner.external_customer_id for owner in owners])
    lines = _book(deps, tx, organization, _added(dated, owners, added))
    _supersede(tx, organization, parents)
    unpriced = {cost_event_id for cost_event_id, line in lines.items() if line.amount is None}
    return _outcomes(tx, organization, dated, added, unpriced)


def claim_waiting(tx: Connection, parents: Sequence[ParentKey]) -> None:
    """Book costs that arrived before these usage events again, now for the usage events' customers."""
    claimed = store.claim_waiting(tx, parents)
    owners = {(event.organization_id, event.cost_event_id): event.owner for event in claimed}
    moved: list[CostEntry] = []
    for entry in ledger_store.standing(tx, Source.COST_EVENT, owners):
        owner = owners[entry.origin.organization_id, entry.origin.source_id]
        moved += [
            ledger.reverse(entry, new_id),
            ledger.owned_by(entry, owner.external_customer_id, owner.subscription_id, new_id),
        ]
    ledger_store.add(tx, moved)


def settle_named(tx: Connection) -> int:
    """Look again at usage events that cost events named while they may have been costed; how many they were.

    Usage that was costed meanwhile is reversed, and the cost events are booked to its customers.
    """
    settled = usage_parent_store.take_settled(tx, MAX_BATCH)
    by_organization: dict[str, set[str]] = {}
    for organization, transaction_id in settled:
        by_organization.setdefault(organization, set()).add(transaction_id)
    for organization, parents in by_organization.items():
        found = usage_parent_store.owners(tx, organization, parents)
        usage_parent_store.keep_owners(tx, organization, found)
        _supersede(tx, organization, parents)
    if settled:
        claim_waiting(tx, settled)
    return len(settled)


def _owners(
    tx: Connection,
    organization: OrganizationId,
    events: Sequence[CostEvent],
    parents: Mapping[str, Owner],
    now: datetime,
) -> list[Owner]:
    """The owner of each event: its parent's customer and subscription, otherwise the customer it names."""
    customers = {event.external_customer_id for event in events if event.external_customer_id}
    running: dict[str, list[Subscription]] = {}
    for subscription in projection_store.subscriptions(tx, organization, customers):
        running.setdefault(subscription.external_customer_id, []).append(subscription)
    owners = []
    for event in events:
        customer, owner = event.external_customer_id, parents.get(event.parent_transaction_id, _NOBODY)
        if customer and customer != owner.external_customer_id:
            current = subscription_at(running.get(customer, ()), event.occurred_at or now)
            owner = Owner(customer, current.id if current else None)
        owners.append(owner)
    return owners


def _added(
    events: Sequence[CostEvent], owners: Sequence[Owner], added: set[tuple[str, bytes]]
) -> dict[str, tuple[CostEvent, Owner]]:
    """The events that were added, each once, with their owners; by id."""
    fresh: dict[str, tuple[CostEvent, Owner]] = {}
    for event, owner in zip(events, owners, strict=True):
        if event.identity in added:
            fresh.setdefault(event.cost_event_id, (event, owner))
    return fresh


def _book(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    added: Mapping[str, tuple[CostEvent, Owner]],
) -> dict[str, CostLine]:
    """Price the requests of which the added events are parts, and book what is new; returns the lines by event."""
    prices = Prices(deps.prices, price_store.overrides(tx, [organization]).get(organization, ()))
    touched = {event.request for event, _ in added.values() if event.request is not None}
    lines = _lines(store.parts(tx, organization, touched, MAX_SIBLINGS + 1), prices)
    for event, _ in added.values():
        if event.request is None:
            lines |= _priced([event], prices)
    booked = {
        entry.origin.source_id: entry
        for entry in ledger_store.standing(tx, Source.COST_EVENT, [(organization, source_id) for source_id in lines])
    }
    entries: list[CostEntry] = []
    for cost_event_id, line in lines.items():
        before = booked.get(cost_event_id)
        if before is None:
            entries += ledger.book(_origin(organization, *added[cost_event_id]), [line], new_id)
        elif before.line != line:
            entries += [ledger.reverse(before, new_id), *ledger.book(before.origin, [line], new_id)]
    ledger_store.add(tx, entries)
    return lines


def _lines(parts: Sequence[CostEvent], prices: Prices) -> dict[str, CostLine]:
    """The cost of each part of some requests, by event."""
    lines: dict[str, CostLine] = {}
    for request, siblings in by_request(parts).items():
        if len(siblings) > MAX_SIBLINGS:
            raise FailedPreconditionError(
                "TOO_MANY_COST_EVENTS",
                f"a request has at most {MAX_SIBLINGS} cost events",
                request_id=request.request_id,
                parent_transaction_id=request.parent_transaction_id,
            )
        lines |= _priced(siblings, prices)
    return lines


def _priced(siblings: Sequence[CostEvent], prices: Prices) -> dict[str, CostLine]:
    ids = [event.cost_event_id for event in siblings]
    return dict(zip(ids, cost_of_events(siblings, prices), strict=True))


def _origin(organization: OrganizationId, event: CostEvent, owner: Owner) -> Origin:
    if event.occurred_at is None:
        raise ValueError("an event is booked at an instant")
    return Origin(
        organization,
        Source.COST_EVENT,
        event.cost_event_id,
        owner.external_customer_id,
        owner.subscription_id,
        event.cost_meter_code,
        event.occurred_at,
        event.parent_transaction_id,
        event.request_id,
        event.operation_key,
    )


def _supersede(tx: Connection, organization: str, parents: set[str]) -> None:
    """Reverse what cost models had booked for usage events that cost events now name."""
    standing = ledger_store.standing(tx, Source.USAGE_EVENT, [(organization, parent) for parent in parents])
    ledger_store.add(tx, [ledger.reverse(entry, new_id) for entry in standing])


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
        is_same = stored.content_hash == event.content_hash
        outcomes.append(Outcome.DUPLICATE if is_same else Outcome.CONFLICT)
    return outcomes
