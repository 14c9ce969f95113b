"""Events to send and rows to copy: the same events in both forms, made before the clock starts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import grpc
import psycopg

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.ingest.commands.catalog import apply_updates
from services.ingest.domain.billability import FOREVER_US, Metric, Needs, Subscription
from services.ingest.domain.catalog_update import CatalogUpdate, MetricUpdate, SubscriptionUpdate
from services.ingest.domain.identity import content_hashes, content_salt, event_keys
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.main import announce
from services.ingest.store import copy_rows
from services.kernel.ids import OrganizationId, new_id

CUSTOMERS = 100
CODE = "llm_tokens"
METHOD = "/farebox.ingest.v1.UsageEventService/IngestUsageEvents"
TIMEOUT_SECONDS = 60


class Sender(Protocol):
    """A sender.

    Attributes:
        metadata: the metadata of its calls.
    """

    metadata: list[tuple[str, str]]


class Load:
    """Makes events of one organization with `CUSTOMERS` customers, each with one subscription."""

    def __init__(self, make_id: Callable[[], str] = new_id) -> None:
        """Make events whose transaction ids come from `make_id`."""
        self.organization = OrganizationId(new_id())
        self._make_id = make_id
        self._subscriptions = [
            Subscription(new_id(), f"subscription-{n}", f"customer-{n}", 0, FOREVER_US) for n in range(CUSTOMERS)
        ]
        self._places = [
            copy_rows.place_columns(
                self.organization, n % 16, subscription.subscription_id, subscription.external_customer_id, "", CODE
            )
            for n, subscription in enumerate(self._subscriptions)
        ]
        self.metadata: list[tuple[str, str]] = [(ORGANIZATION_KEY, self.organization)]

    def teach(self, db: Any) -> None:
        """Make the events billable in the database of an ingest service."""
        updates: list[CatalogUpdate] = [
            MetricUpdate(self.organization, Metric(CODE, Needs.NUMBER, "tokens"), is_deleted=False)
        ]
        updates += [SubscriptionUpdate(self.organization, subscription) for subscription in self._subscriptions]
        with db.worker_transaction() as tx:
            apply_updates(tx, updates, announce)

    def events(self, count: int) -> Iterator[UsageEvent]:
        """Fresh events."""
        now_us = time.time_ns() // 1000
        for n in range(count):
            properties = b'{"tokens": %d, "model": "gpt-4o", "region": "eu-west-1"}' % n
            yield UsageEvent(self._make_id(), f"customer-{n % CUSTOMERS}", "", CODE, now_us - n, properties, None)

    def requests(self, batches: int, size: int) -> list[bytes]:
        """Serialized requests."""
        return [
            service_pb.IngestUsageEventsRequest(events=map(_to_pb, self.events(size))).SerializeToString()
            for _ in range(batches)
        ]

    def copies(self, batches: int, size: int) -> list[bytes]:
        """COPY streams with the rows that the service would write."""
        return [copy_rows.copy_data(1, self._rows(UsageEvents.of(self.events(size)))) for _ in range(batches)]

    def _rows(self, events: UsageEvents) -> list[bytes]:
        texts = [transaction_id.encode() for transaction_id in events.transaction_ids]
        occurred_us = [at_us or 0 for at_us in events.occurred_us]
        salts = [content_salt(*place) for place in events.places]
        places = [self._places[int(customer.partition("-")[2])] for customer, _, _ in events.places]
        keys = event_keys(self.organization, texts)
        hashes = content_hashes(texts, salts, events.properties, events.amounts)
        return copy_rows.write_rows(max(occurred_us), events, texts, places, keys, hashes, occurred_us)


def _to_pb(event: UsageEvent) -> pb.UsageEvent:
    message = pb.UsageEvent(
        transaction_id=event.transaction_id,
        external_customer_id=event.external_customer_id,
        code=event.code,
        properties=event.properties,
    )
    message.occurred_at.FromMicroseconds(event.occurred_us or 0)
    return message


def sender(channel: grpc.Channel, load: Sender, *, size: int) -> Callable[[bytes], None]:
    """A function that sends one serialized request and makes sure that all of it was accepted."""
    call: Any = channel.unary_unary(METHOD)
    # An answer begins with its outcomes; the time of receipt follows them.
    accepted = (
        b"\x0a"
        + service_pb.IngestUsageEventsResponse(outcomes=[pb.INGEST_OUTCOME_ACCEPTED] * size).SerializeToString()[1:]
    )

    def send(request: bytes) -> None:
        answer = call(request, metadata=load.metadata, timeout=TIMEOUT_SECONDS)
        assert answer.startswith(accepted), service_pb.IngestUsageEventsResponse.FromString(answer).details[:3]

    return send


def copier(connection: psycopg.Connection[Any]) -> Callable[[bytes], None]:
    """A function that copies one batch of rows and commits it."""

    def copy(data: bytes) -> None:
        with connection.cursor() as cursor, cursor.copy(copy_rows.COPY_SQL) as stream:
            stream.write(data)
        connection.commit()

    return copy
