"""The JetStream streams, one for each publisher and one for the shards of the usage-event log.

The first process to need a stream creates it, publisher or follower, so every process must know its subjects.
"""

from __future__ import annotations

from farebox.ingest.v1.domain_events_pb2 import TestClockReached, UsageEventsAccepted
from services.chassis.bus import Stream
from services.wire.subjects import subject_of

USAGE = Stream("USAGE", (f"{subject_of(UsageEventsAccepted)}.*",))
# Not every subject of ingest: the shards have a stream of their own.
INGEST = Stream("INGEST", (subject_of(TestClockReached),))
RATING = Stream("RATING", ("rating.>",))
ENTITLEMENTS = Stream("ENTITLEMENTS", ("entitlements.>",))
MARGIN = Stream("MARGIN", ("margin.>",))


def shard_subject(shard: int) -> str:
    """The subject of one shard of the usage-event log."""
    return f"{subject_of(UsageEventsAccepted)}.{shard}"
