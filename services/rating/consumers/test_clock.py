"""The other services' word that they have reached a test clock's time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.engine import Connection

from farebox.entitlements.v1 import domain_events_pb2 as entitlements_pb
from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.margin.v1 import domain_events_pb2 as margin_pb
from services.chassis.bus import Stream
from services.chassis.follower import Log, Message
from services.kernel.ids import OrganizationId
from services.rating.organizations.clock_store import acknowledge
from services.wire.streams import ENTITLEMENTS, INGEST, MARGIN
from services.wire.subjects import subject_of
from services.wire.values import instant_from_pb

Reached = ingest_pb.TestClockReached | entitlements_pb.TestClockReached | margin_pb.TestClockReached

_PUBLISHERS: tuple[tuple[str, Stream, type[Reached]], ...] = (
    ("ingest", INGEST, ingest_pb.TestClockReached),
    ("entitlements", ENTITLEMENTS, entitlements_pb.TestClockReached),
    ("margin", MARGIN, margin_pb.TestClockReached),
)


def acknowledgement_logs() -> list[Log]:
    """The logs of the services that follow test clocks; what else they announce is passed over."""
    return [
        Log(name=service, stream=stream, subject=f"{service}.>", apply=_applier(service, message_type))
        for service, stream, message_type in _PUBLISHERS
    ]


def _applier(service: str, message_type: type[Reached]) -> Callable[[Connection, Sequence[Message]], None]:
    subject = subject_of(message_type)

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.subject == subject:
                reached = message_type.FromString(message.body)
                at = instant_from_pb(reached.now, "now")
                acknowledge(tx, OrganizationId(reached.organization_id), service, reached.revision, at)

    return apply
