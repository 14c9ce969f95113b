"""The JetStream streams, one for each publisher and one for the usage-event log's shards.

Whoever comes first makes a stream, publisher or follower, so all of them must know its subjects.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stream:
    """A stream and everything that is published on it."""

    name: str
    subjects: tuple[str, ...]


USAGE = Stream("USAGE", ("ingest.usage_events.accepted.*",))
INGEST = Stream("INGEST", ("ingest.test_clock.>",))
RATING = Stream("RATING", ("rating.>",))
ENTITLEMENTS = Stream("ENTITLEMENTS", ("entitlements.>",))
MARGIN = Stream("MARGIN", ("margin.>",))

# Fixed when a deployment is created: a customer's events are in one shard for ever (architecture, decision 9).
SHARD_COUNT = 16


def shard_subject(shard: int) -> str:
    """The subject of one shard of the usage-event log."""
    return f"ingest.usage_events.accepted.{shard}"
