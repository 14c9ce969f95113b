"""Follow rating's log: a batch is one transaction, applied in runs of one kind and announced at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from sqlalchemy.engine import Connection

from farebox.rating.v1 import domain_events_pb2 as rating_pb
from services.chassis.apart import applying_apart
from services.chassis.followed import Log, Message
from services.entitlements.commands import projection
from services.entitlements.commands.changes import Batch, Changes
from services.entitlements.convert import rating
from services.entitlements.deps import Deps
from services.entitlements.store import organization as organization_store
from services.wire.streams import RATING
from services.wire.subjects import subject_of

# The whole log is read, so that its position covers everything; messages without a handler are skipped.
SUBJECT = "rating.>"
# The name under which the position in the log is stored.
LOG = "rating"


@dataclass(frozen=True)
class Handler:
    """How the messages of a subject are handled.

    Attributes:
        read: returns the announcements in a body.
        apply: applies announcements in order.
        is_locking: whether they change what customers have, or the time, so that their organizations must be locked
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
    """Rating's domain events, in a single order."""
    return Log(LOG, RATING, SUBJECT, applying_apart(partial(apply, deps), rating.split))


def apply(deps: Deps, tx: Connection, messages: Sequence[Message]) -> None:
    """Apply a batch in the follower's transaction; changes are announced once, with the state at the end."""
    runs = [
        (HANDLERS[subject], [event for message in run for event in HANDLERS[subject].read(message.body)])
        for subject, run in groupby(messages, key=lambda message: message.subject)
        if subject in HANDLERS
    ]
    # All of them at once and first: see the order of locks in store/__init__.
    organization_store.lock(
        tx, (event.organization_id for handler, events in runs if handler.is_locking for event in events)
    )
    batch = Batch(deps, tx, Changes())
    for handler, events in runs:
        handler.apply(batch, events)
    batch.changes.announce(deps, tx)
