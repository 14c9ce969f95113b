"""Usage at random: on time and late, and exactly at the instants at which one plan gives way to the next."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Connection

from benchmarks.simulate.life import Life, Segment
from benchmarks.simulate.offers import METRIC
from benchmarks.simulate.usage_log import Event
from benchmarks.simulate.world import World
from services.kernel.ids import SubscriptionId

INSTANT = timedelta(microseconds=1)
# One life in this many uses something each time.
SHARE = 30
RECENT_DAYS = 3.0
LATE_DAYS = 60.0
MAX_EVENTS = 3

# As ingest resolves an event: the subscription that was active when it happened.
_RESOLVE = """
SELECT r.number, s.id::text AS id FROM json_to_recordset(%s::json)
    AS r(number int, organization_id uuid, external_id text, occurred_at timestamptz)
JOIN subscriptions s ON s.organization_id = r.organization_id AND s.external_id = r.external_id
    AND s.state IN ('active', 'terminated') AND s.starts_at <= r.occurred_at
    AND (s.ended_at IS NULL OR r.occurred_at < s.ended_at)
"""
_LIVING = """
SELECT s.id::text FROM subscriptions s WHERE EXISTS (SELECT FROM subscriptions a
    WHERE a.organization_id = s.organization_id AND a.customer_id = s.customer_id AND a.state = 'active')
"""


class Usage(NamedTuple):
    """An event that was sent, and whose it must be."""

    life: Life
    segment: Segment
    occurred_at: datetime


def event_id(number: int) -> str:
    """The transaction id of the event that was sent as this one."""
    return f"event-{number}"


def living_subscriptions(tx: Connection) -> set[str]:
    """The subscriptions whose customer has one that runs."""
    return set(tx.exec_driver_sql(_LIVING).scalars())


class UsagePlayer:
    """Sends events.

    Attributes:
        lives: those that may use something.
        sent: every event so far.
    """

    def __init__(self, world: World, random: Random) -> None:
        self._world = world
        self._random = random
        self.lives: list[Life] = []
        self.sent: list[Usage] = []

    def leaves(self, life: Life) -> None:
        """A life that ended is used no more, but for late events of now and then."""
        if self._random.random() < 0.9:
            self.lives.remove(life)

    def use(self) -> None:
        """What is in quarantine is looked at again, and a batch of events of some lives is sent."""
        self.look_again()
        if not self.lives:
            return
        chosen = self._random.choices(self.lives, k=1 + len(self.lives) // SHARE)
        batch = [usage for life in chosen for usage in self._of(life)]
        if not batch:
            return
        first = len(self.sent)
        self.sent += batch
        owners = self._resolve(batch)
        events = [
            Event(usage.life.organization, owners[number], event_id(first + number), METRIC, usage.occurred_at, {})
            for number, usage in enumerate(batch)
        ]
        self._world.feed.send(events)

    def look_again(self) -> None:
        """Release what has come to be billable: that of customers who have a subscription again."""
        feed = self._world.feed
        feed.hear()
        if feed.quarantined:
            with self._world.deps.db.worker_transaction() as tx:
                living = living_subscriptions(tx)
            feed.release([key for key, entry in feed.quarantined.items() if entry.event.subscription_id in living])

    def _of(self, life: Life) -> list[Usage]:
        life.settle(self._world.now)
        found = []
        for _ in range(self._random.randint(1, MAX_EVENTS)):
            at = self._instant(life)
            segment = life.segment_at(at)
            if segment is not None and at <= self._world.now:
                found.append(Usage(life, segment, at))
        return found

    def _instant(self, life: Life) -> datetime:
        kind, segment = self._random.random(), self._random.choice(life.segments)
        if kind < 0.1:
            return segment.starts_at
        if kind < 0.2:
            return (segment.ended_at or self._world.now) - INSTANT
        days = LATE_DAYS if kind < 0.3 else RECENT_DAYS
        return self._world.now - timedelta(days=self._random.uniform(0, days))

    def _resolve(self, batch: list[Usage]) -> list[SubscriptionId]:
        rows = [
            {
                "number": number,
                "organization_id": usage.life.organization,
                "external_id": usage.life.external_id,
                "occurred_at": usage.occurred_at,
            }
            for number, usage in enumerate(batch)
        ]
        with self._world.deps.db.worker_transaction() as tx:
            found = tx.exec_driver_sql(_RESOLVE, (msgspec.json.encode(rows).decode(),)).all()
        assert len(found) == len(batch), f"{len(batch)} events belong to {len(found)} subscriptions"
        return [SubscriptionId(row.id) for row in sorted(found, key=lambda row: row.number)]
