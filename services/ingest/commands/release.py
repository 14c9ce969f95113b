"""Another look at quarantined events after the catalog changed, and quarantine for what rating could not place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.ingest.commands.codec import EntryCodec
from services.ingest.commands.drafts import drafts_of
from services.ingest.commands.ingest import Deps
from services.ingest.commands.prepare import PreparedEvents
from services.ingest.commands.reread import as_sent
from services.ingest.commands.void import entry_of, void_draft
from services.ingest.domain.found import Found, State
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.store import found as store
from services.ingest.store import log, quarantine, shards, voids
from services.ingest.store.quarantine import Quarantined, Request

# Events looked at in one transaction: as many as a batch of a sender, and as quick.
RELEASE_BATCH = 1_000


def release_next(deps: Deps) -> int | None:
    """Look at the next quarantined events that a change of the catalog may have made billable.

    Returns:
        How many events were looked at; None if no request waits.
    """
    with deps.db.worker_transaction(quiet=True) as tx:
        log.hold_catalog(tx)
        request = quarantine.next_request(tx)
        if request is None:
            return None
        keys = quarantine.candidates(tx, request, RELEASE_BATCH)
        drafts = _release(deps, tx, request, keys) if keys else []
        if len(keys) < RELEASE_BATCH:
            quarantine.close(tx, request)
        else:
            quarantine.advance(tx, request, keys[-1])
        shards.append(tx, drafts)
    return len(keys)


def _release(deps: Deps, tx: Connection, request: Request, keys: Sequence[uuid.UUID]) -> list[shards.Draft]:
    organization = request.organization
    events = store.by_keys(tx, organization, keys)
    # Times were filled in when the events came; what is looked at again is the stored event.
    found = [one for one in events.values() if one.state is State.QUARANTINED]
    now_us = 0
    again = UsageEvents.of(map(as_sent, found))
    batch = deps.preparer.prepare_again(tx, organization.bytes, again, now_us).events
    _note(tx, organization, found, batch, deps.clock.now())
    # Their own time of receipt, not the release's.
    batch.entries = [
        b"" if index in batch.reasons else entry_of(deps.codec, batch.targets[index].head, one)
        for index, one in enumerate(found)
    ]
    return drafts_of([batch])


def _note(tx: Connection, organization: uuid.UUID, found: Sequence[Found], batch: PreparedEvents, at: datetime) -> None:
    """Mark what is released, and say anew why the rest is not."""
    released = [
        (uuid.UUID(bytes=one.key), target.subscription_id or "", target.customer)
        for index, (one, target) in enumerate(zip(found, batch.targets, strict=True))
        if index not in batch.reasons
    ]
    quarantine.release(tx, organization, released, at)
    kept = [(uuid.UUID(bytes=found[index].key), *reason) for index, reason in batch.reasons.items()]
    quarantine.give_reason(tx, organization, kept)


def quarantine_refused(
    codec: EntryCodec, tx: Connection, refusals: Mapping[uuid.UUID, Mapping[uuid.UUID, str]], at: datetime
) -> None:
    """Quarantine events that rating could not place in a period, and take their announcement back for all others.

    Args:
        codec: writes the announcement.
        tx: the transaction of the message that brought the refusals.
        refusals: by organization and event key, the reason.
        at: now.
    """
    drafts = []
    for organization, reasons in sorted(refusals.items()):
        voids.lock_events(tx, [key.bytes for key in reasons])
        events = [one for one in store.by_keys(tx, organization, list(reasons)).values() if one.state is State.ACCEPTED]
        quarantine.add(tx, [_refused(organization, one, reasons) for one in events], at)
        quarantine.request_release_of_succeeded(tx, organization, events)
        drafts += [void_draft(codec, organization, one) for one in events]
    shards.append(tx, drafts)


def _refused(organization: uuid.UUID, event: Found, reasons: Mapping[uuid.UUID, str]) -> Quarantined:
    key = uuid.UUID(bytes=event.key)
    return Quarantined(
        organization,
        key,
        reasons[key],
        "timestamp",
        "no billing period takes this event",
        event.code,
        event.external_customer_id,
        event.external_subscription_id,
    )
