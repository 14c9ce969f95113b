"""Many usage events as columns.

A batch goes through the log column by column. A thousand iterations of a short loop with one step cost much less than a
thousand of a loop that does everything for an event, because nothing is called, packed or unpacked for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.ingest.domain.usage_event import UsageEvent

# The most events of one call: more would take too long to commit.
MAX_EVENTS = 1_000
# What the gateway and every gRPC client send without special settings.
MAX_BATCH_BYTES = 4 * 1024 * 1024

# What decides where an event goes: (external_customer_id, external_subscription_id, code).
Place = tuple[str, str, str]


@dataclass(slots=True)
class UsageEvents:
    """Well-formed events in order, one column for each part of `UsageEvent`.

    Attributes:
        transaction_ids: the sender's identities.
        places: customers, subscriptions and codes.
        occurred_us: when they occurred; None if the sender gave no time.
        properties: one JSON object each, never empty.
        amounts: exact prices in minor units; None for an event without one.
    """

    transaction_ids: list[str]
    places: list[Place]
    occurred_us: Sequence[int | None]
    properties: list[bytes]
    amounts: Sequence[Decimal | None]

    @staticmethod
    def of(events: Iterable[UsageEvent]) -> UsageEvents:
        """The columns of events."""
        rows = list(events)
        return UsageEvents(
            [event.transaction_id for event in rows],
            [event[1:4] for event in rows],
            [event.occurred_us for event in rows],
            [event.properties for event in rows],
            [event.amount for event in rows],
        )

    def __len__(self) -> int:
        return len(self.transaction_ids)

    def event(self, index: int) -> UsageEvent:
        """One event as a row."""
        return UsageEvent(
            self.transaction_ids[index],
            *self.places[index],
            self.occurred_us[index],
            self.properties[index],
            self.amounts[index],
        )

    def select(self, indices: Sequence[int]) -> UsageEvents:
        """Some of the events, in the order of their indices."""
        return UsageEvents.of(map(self.event, indices))
