"""What a shard announces of an event that is already stored: that it counts after all, or no longer counts."""

from __future__ import annotations

from services.ingest.domain import identity
from services.ingest.domain.stored_usage_event import StoredUsageEvent
from services.ingest.store.encoding import entry_head, write_entries
from services.ingest.store.shards import Draft
from services.kernel.ids import OrganizationId
from services.wire.shards import SHARD_COUNT


def take_back(organization: OrganizationId, event: StoredUsageEvent) -> Draft:
    """The batch that takes one announced event back."""
    customer = event.external_customer_id
    head = entry_head(organization, customer, event.subscription_id, event.code, is_void=True)
    return Draft(identity.shard_of(organization, customer, SHARD_COUNT), 1, entry_of(head, event, 0))


def entry_of(head: bytes, event: StoredUsageEvent, revision: int) -> bytes:
    """The entry of one stored event: with its own times, not the present; `revision` as in `write_entries`."""
    return write_entries(
        revision,
        event.received_us,
        [head],
        [event.key],
        [event.transaction_id.encode()],
        [event.occurred_us],
        [event.properties],
        [event.amount],
    )[0]
