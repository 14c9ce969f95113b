"""Follow rating's log: one transaction for a batch of messages, taken in runs of one kind, announced at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy.engine import Connection

from farebox.rating.v1 import domain_events_pb2 as rating_pb
from services.chassis.apart import applying_apart
from services.chassis.follower import Log, Message
from services.entitlements.commands import projection
from services.entitlements.commands.changes import Batch, Changes
from services.entitlements.convert import rating
from services.entitlements.deps import Deps
from services.entitlements.store import organization as organization_store
from services.wire.streams import RATING
from services.wire.subjects import subject_of

# The whole log is read, so that its position says everything; what has no handler is passed over.
SUBJECT = "rating.>"
# The name under which the position in it is kept.
LOG = "rating"


@dataclass(frozen=True)
class Handler:
    """What is done with the messages of a subject.

    Attributes:
        read: the announcements in a body.
        apply: takes over announcements, in order.
        is_locking: whether they alter what customers have or what time it is, so that their organizations are locked
            first.
    """

    read: Callable[[bytes], list[Any]]
    apply: Callable[[Batch, Sequence[Any]], None]
    is_locking: bool


HANDLERS = {
    subject_of(rating_pb.PlanChanged): Handler(rating.plan_changed, projection.apply_plans, is_locking=True),
    subject_of(rating_pb.SubscriptionChanged): Handler(
        rating.subscription_changed, projection.apply_subscriptions, is_locking=True
    ),
    subject_of(rating_pb.UsageAggregated): Handler(rating.usage_aggregated, projection.apply_usage, is_locking=False),
    subject_of(rating_pb.TestClockAdvanced): Handler(
        rating.test_clock_advanced, projection.apply_clocks, is_locking=True
    ),
}


def rating_log(deps: Deps) -> Log:
    """Rating's domain events, in their one order."""
    return Log(LOG, RATING, SUBJECT, applying_apart(LOG, partial(apply, deps), rating.split))


def apply(deps: Deps, tx: Connection, messages: Sequence[Message]) -> None:
    """Take over a batch in the follower's transaction; what it alters is announced once, with the state at its end."""
    runs = [
        (HANDLERS[subject], [event for message in run for event in HANDLERS[subject].read(message.body)])
        for subject, run in groupby(messages, key=lambda message: message.subject)
        if subject in HANDLERS
    ]
    # All at once and first: see the order of locks in store/__init__.
    organization_store.lock(
        tx, (event.organization_id for handler, events in runs if handler.is_locking for event in events)
    )
    batch = Batch(deps, tx, Changes())
    for handler, events in runs:
        handler.apply(batch, events)
    batch.changes.announce(deps, tx)
