"""Checks quarantined events again after the catalog has changed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy.engine import Connection

from services.chassis.db import is_unavailable, lost_a_race
from services.chassis.isolate import isolated
from services.chassis.log import logger
from services.ingest.commands.entries import entry_of
from services.ingest.deps import Deps
from services.ingest.domain.stored_usage_event import State, StoredUsageEvent
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.effects import drafts_of
from services.ingest.pipeline.prepare import PreparedUsageEvents
from services.ingest.store import log as log_store
from services.ingest.store import quarantine, shards, stored_usage_events
from services.ingest.store.quarantine import Request
from services.kernel.ids import OrganizationId

log = logger(__name__)

# How many events are checked in one transaction: as many as in a sender's batch, and as fast.
RELEASE_BATCH = 1_000


def release_next(deps: Deps) -> int | None:
    """Check the next quarantined events that a change of the catalog may have made billable.

    Returns:
        How many events were looked at; None if no request waits.
    """
    with deps.db.worker_transaction(quiet=True) as tx:
        log_store.hold_catalog(tx)
        request = quarantine.next_request(tx)
        if request is None:
            return None
        keys = quarantine.candidates(tx, request, RELEASE_BATCH)
        drafts = _release_possible(deps, tx, request, keys)
        if len(keys) < RELEASE_BATCH:
            quarantine.close(tx, request)
        else:
            quarantine.advance(tx, request, keys[-1])
        shards.append(tx, drafts)
    return len(keys)


def _release_possible(deps: Deps, tx: Connection, request: Request, keys: Sequence[uuid.UUID]) -> list[shards.Draft]:
    """Release every event that can be released.

    An event that fails on its own stays in quarantine and delays no other.
    """
    released, failed = isolated(tx, keys, partial(_release, deps, tx, request), is_passing=_is_passing)
    for key, error in failed:
        log.error("release_failed", event_key=key.hex, exc_info=error)
    return [draft for drafts in released for draft in drafts]


def _is_passing(error: BaseException) -> bool:
    """Whether the error is temporary.

    A statement that took too long counts as such, because nothing would check the events again if they were left in
    quarantine.
    """
    return is_unavailable(error) or lost_a_race(error)


def _release(deps: Deps, tx: Connection, request: Request, keys: Sequence[uuid.UUID]) -> list[shards.Draft]:
    organization = request.organization
    by_key = stored_usage_events.by_keys(tx, organization, keys)
    events = [event for event in by_key.values() if event.state is State.QUARANTINED]
    # The log filled in missing times at receipt, so the present time does not matter.
    now_us = 0
    again = UsageEvents.of(event.as_sent() for event in events)
    preparation = deps.preparer.prepare_again(tx, organization, again, now_us)
    batch = preparation.events
    _note(tx, organization, events, batch, deps.clock.now())
    # An entry has the event's own time of receipt, not the time of its release.
    batch.entries = [
        b"" if index in batch.reasons else entry_of(batch.targets[index].head, event, preparation.revision)
        for index, event in enumerate(events)
    ]
    return drafts_of([batch])


def _note(
    tx: Connection,
    organization: OrganizationId,
    events: Sequence[StoredUsageEvent],
    batch: PreparedUsageEvents,
    at: datetime,
) -> None:
    """Mark the released events, and store the reason of each that stays."""
    released = [
        (uuid.UUID(bytes=event.key), target.subscription_id or "", target.customer)
        for index, (event, target) in enumerate(zip(events, batch.targets, strict=True))
        if index not in batch.reasons
    ]
    quarantine.release(tx, organization, released, at)
    kept = [(uuid.UUID(bytes=events[index].key), *reason) for index, reason in batch.reasons.items()]
    quarantine.give_reason(tx, organization, kept)
