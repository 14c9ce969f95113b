"""The sixteen shards of the usage-event log, each counted in the transaction that moves its position."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.engine import Connection

from farebox.ingest.v1.domain_events_pb2 import UsageEventsAccepted
from services.chassis.follower import Log, Message
from services.rating.deps import Deps
from services.rating.usage.commands.count import Memory, count_usage
from services.rating.usage.convert import entries_from_pb
from services.wire.usage_log import UsageLogClient


def usage_logs(deps: Deps, usage_log: UsageLogClient) -> list[Log]:
    """The logs to follow; each shard is read by one replica at a time."""
    return usage_log.logs(lambda _: usage_applier(deps))


def usage_applier(deps: Deps) -> Callable[[Connection, Sequence[Message]], None]:
    """What a shard's messages do. What it remembers is its own: shards are read by different threads."""
    memory = Memory()

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        batches = (UsageEventsAccepted.FromString(message.body) for message in messages)
        entries = [entry for batch in batches for entry in entries_from_pb(batch)]
        count_usage(deps, tx, memory, entries)

    return apply
