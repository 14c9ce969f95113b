"""Another look at quarantined events after the catalog changed, and quarantine for what rating could not place."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.ingest.commands.codec import EntryCodec
from services.ingest.commands.drafts import drafts_of
from services.ingest.commands.ingest import Deps
from services.ingest.commands.prepare import Prepared
from services.ingest.commands.reread import as_sent
from services.ingest.commands.void import entry_of, void_draft
from services.ingest.domain.found import Found, State
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
    again = [(one, as_sent(one)) for one in events.values() if one.state is State.QUARANTINED]
    now_us = 0
    prepared = deps.preparer.prepare_again(tx, organization.bytes, [event for _, event in again], now_us).events
    pairs = [(found, one) for (found, _), one in zip(again, prepared, strict=True)]
    _note(tx, organization, pairs, deps.clock.now())
    # Their own time of receipt, not the release's.
    return drafts_of(
        one._replace(entry=entry_of(deps.codec, one.target.head, found)) for found, one in pairs if one.reason is None
    )


def _note(tx: Connection, organization: uuid.UUID, pairs: Sequence[tuple[Found, Prepared]], at: datetime) -> None:
    """Mark what is released, and say anew why the rest is not."""
    released = [
        (uuid.UUID(bytes=found.key), one.target.subscription_id or "", one.target.customer)
        for found, one in pairs
        if one.reason is None
    ]
    quarantine.release(tx, organization, released, at)
    kept = [(uuid.UUID(bytes=found.key), *one.reason) for found, one in pairs if one.reason is not None]
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
