"""What rating follows: the sixteen shards of the usage-event log, and the services' reports on test clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from farebox.entitlements.v1 import domain_events_pb2 as entitlements_pb
from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.margin.v1 import domain_events_pb2 as margin_pb
from services.chassis.bus import Stream
from services.chassis.followed import Log, Message
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.organizations.clock_store import acknowledge
from services.rating.usage.commands.count import Memory, count_usage
from services.rating.usage.convert import entries_from_pb
from services.wire.streams import ENTITLEMENTS, INGEST, MARGIN
from services.wire.subjects import subject_of
from services.wire.usage_log import UsageLogClient
from services.wire.values import instant_from_pb

Reached = ingest_pb.TestClockReached | entitlements_pb.TestClockReached | margin_pb.TestClockReached


@dataclass(frozen=True)
class Handler:
    """A service's report that it has reached a test clock's time.

    Attributes:
        service: the service that reports.
        stream: the stream on which it reports.
        message_type: the message with which it reports.
    """

    service: str
    stream: Stream
    message_type: type[Reached]


HANDLERS = {
    subject_of(handler.message_type): handler
    for handler in (
        Handler("ingest", INGEST, ingest_pb.TestClockReached),
        Handler("entitlements", ENTITLEMENTS, entitlements_pb.TestClockReached),
        Handler("margin", MARGIN, margin_pb.TestClockReached),
    )
}


def acknowledgement_logs() -> list[Log]:
    """The logs of the services that follow test clocks; their other announcements are skipped."""
    return [
        Log(name=handler.service, stream=handler.stream, subject=f"{handler.service}.>", apply=apply_acknowledgements)
        for handler in HANDLERS.values()
    ]


def apply_acknowledgements(tx: Connection, messages: Sequence[Message]) -> None:
    """Store which service has reached which time of a test clock."""
    for message in messages:
        handler = HANDLERS.get(message.subject)
        if handler is not None:
            reached = handler.message_type.FromString(message.body)
            at = instant_from_pb(reached.now, "now")
            acknowledge(tx, OrganizationId(reached.organization_id), handler.service, reached.revision, at)


def usage_logs(deps: Deps, usage_log: UsageLogClient) -> list[Log]:
    """The shards of the usage-event log; each is counted in the transaction that moves its position."""
    return usage_log.logs(usage_applier(deps))


def usage_applier(deps: Deps) -> Callable[[Connection, Sequence[Message]], None]:
    """What the shards' messages do. What it remembers is its own: one thread of a process applies them."""
    memory = Memory()

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        batches = (ingest_pb.UsageEventsAccepted.FromString(message.body) for message in messages)
        entries = [entry for batch in batches for entry in entries_from_pb(batch)]
        count_usage(deps, tx, memory, entries)

    return apply
