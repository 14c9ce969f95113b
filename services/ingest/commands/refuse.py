"""Quarantine for events that rating could not place in a billing period."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.ingest.commands.entries import take_back
from services.ingest.domain.catalog_update import Refusal
from services.ingest.domain.stored_usage_event import State, StoredUsageEvent
from services.ingest.store import quarantine, shards, stored_usage_events, voids
from services.ingest.store.quarantine import Quarantined
from services.kernel.ids import OrganizationId


def quarantine_refused(tx: Connection, refusals: Sequence[Refusal], at: datetime) -> None:
    """Quarantine events that rating could not place in a period, and take their announcement back for all others.

    Args:
        tx: the transaction of the message that brought the refusals.
        refusals: the events, with rating's reasons.
        at: now.
    """
    by_organization: dict[OrganizationId, dict[uuid.UUID, str]] = defaultdict(dict)
    for refusal in refusals:
        by_organization[refusal.organization][refusal.key] = refusal.reason
    drafts = []
    for organization, reasons in sorted(by_organization.items()):
        voids.lock_events(tx, [key.bytes for key in reasons])
        by_key = stored_usage_events.by_keys(tx, organization, list(reasons))
        events = [event for event in by_key.values() if event.state is State.ACCEPTED]
        quarantine.add(tx, [_refused(organization, event, reasons) for event in events], at)
        quarantine.request_release_of_succeeded(tx, organization, events)
        drafts += [take_back(organization, event) for event in events]
    shards.append(tx, drafts)


def _refused(organization: OrganizationId, event: StoredUsageEvent, reasons: Mapping[uuid.UUID, str]) -> Quarantined:
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
