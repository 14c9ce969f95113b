"""What margin follows: rating's domain events, and the sixteen shards of the usage-event log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from farebox.ingest.v1.domain_events_pb2 import UsageEventsAccepted
from farebox.rating.v1 import domain_events_pb2 as rating_pb
from services.chassis.apart import applying_apart
from services.chassis.followed import Log, Message
from services.margin.commands import projection
from services.margin.commands.usage import cost_usage, save_metric
from services.margin.convert import domain_event as convert
from services.margin.deps import Deps
from services.wire.streams import RATING
from services.wire.subjects import subject_of
from services.wire.usage_log import UsageLogClient

# The name under which the position in rating's log is kept.
LOG = "rating"


@dataclass(frozen=True)
class Handler:
    """How the messages of a subject are handled.

    Attributes:
        read: returns the announcement in a body.
        apply: applies an announcement.
    """

    read: Callable[[bytes], Any]
    apply: Callable[[Deps, Connection, Any], None]


HANDLERS = {
    subject_of(rating_pb.OrganizationChanged): Handler(convert.organization_changed, projection.save_organization),
    subject_of(rating_pb.BillableMetricChanged): Handler(convert.metric_changed, save_metric),
    subject_of(rating_pb.SubscriptionChanged): Handler(convert.subscription_changed, projection.save_subscription),
    subject_of(rating_pb.RevenueAccrued): Handler(convert.revenue_accrued, projection.accrue),
    subject_of(rating_pb.TestClockAdvanced): Handler(convert.test_clock_advanced, projection.reach_test_clock),
}


def rating_log(deps: Deps) -> Log:
    """Rating's domain events as a log to follow; messages without a handler are skipped."""

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            handler = HANDLERS.get(message.subject)
            if handler is not None:
                handler.apply(deps, tx, handler.read(message.body))

    return Log(LOG, RATING, "rating.>", applying_apart(apply, convert.split_announcement))


def usage_logs(deps: Deps, usage_log: UsageLogClient) -> list[Log]:
    """The shards of the usage-event log; their events are costed in the transaction that moves the position."""

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        batches = [UsageEventsAccepted.FromString(message.body) for message in messages]
        cost_usage(deps, tx, [event for batch in batches for event in convert.usage_events_from_pb(batch)])

    return usage_log.logs(applying_apart(apply, convert.split_batch))
