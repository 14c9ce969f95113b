"""Quarantines events that rating could not place in a billing period.

Rating decides under locks that order its refusal with every change of the same subscription. A change that would have
let rating count the event is announced after the refusal, and requests the event's release
(docs/flows-ingest-rating.md). For changes that the log took over after it announced the event and before it learned of
the refusal, this module requests the release.
"""

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

# The refusals of one organization, by the keys of their events.
Refusals = Mapping[uuid.UUID, Refusal]


def quarantine_refused(tx: Connection, refusals: Sequence[Refusal], at: datetime) -> None:
    """Quarantine events that rating could not place in a period, and announce to all others that they no longer count.

    Args:
        tx: the transaction of the message that brought the refusals.
        refusals: the events, with rating's reasons.
        at: now.
    """
    by_organization: dict[OrganizationId, dict[uuid.UUID, Refusal]] = defaultdict(dict)
    for refusal in refusals:
        by_organization[refusal.organization][refusal.key] = refusal
    drafts = []
    for organization, own in sorted(by_organization.items()):
        voids.lock_events(tx, [key.bytes for key in own])
        by_key = stored_usage_events.by_keys(tx, organization, list(own))
        # An event that its sender has voided meanwhile needs no second void.
        events = [event for event in by_key.values() if event.state is State.ACCEPTED]
        quarantine.add(tx, [_quarantined(organization, event, own) for event in events], at)
        _request_release(tx, organization, events, own)
        drafts += [take_back(organization, event) for event in events]
    shards.append(tx, drafts)


def _quarantined(organization: OrganizationId, event: StoredUsageEvent, refusals: Refusals) -> Quarantined:
    key = uuid.UUID(bytes=event.key)
    return Quarantined(
        organization,
        key,
        refusals[key].reason,
        "timestamp",
        "no billing period takes this event",
        event.code,
        event.external_customer_id,
        event.external_subscription_id,
    )


def _request_release(
    tx: Connection, organization: OrganizationId, events: Sequence[StoredUsageEvent], refusals: Refusals
) -> None:
    """Request another check of events that some change may have made billable since they were announced.

    Each check needs a change after the announcement that was refused, and a release announces the event at the newest
    revision. So log and rating never hand an event back and forth without a change.
    """
    counted_before: list[StoredUsageEvent] = []
    announced: dict[uuid.UUID, int] = {}
    for event in events:
        key = uuid.UUID(bytes=event.key)
        if revision := refusals[key].revision:
            announced[key] = revision
        else:
            counted_before.append(event)
    quarantine.request_release_of_succeeded(tx, organization, counted_before)
    quarantine.request_release_of_changed(tx, organization, announced)
