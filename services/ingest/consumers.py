"""What ingest follows: rating's domain events about the catalog, and about events that no period could take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sqlalchemy.engine import Connection

from farebox.rating.v1 import domain_events_pb2 as rating_pb
from services.chassis.apart import applying_apart
from services.chassis.followed import Log, Message
from services.ingest.commands.catalog import apply_updates
from services.ingest.commands.refuse import quarantine_refused
from services.ingest.convert import catalog as convert
from services.ingest.deps import Deps
from services.ingest.domain.catalog_update import CatalogUpdate, Refusal
from services.wire.streams import RATING
from services.wire.subjects import subject_of

# The name under which the position in rating's log is kept.
LOG = "rating"
# How the messages of each subject are read; subjects that are not listed here are skipped.
HANDLERS: Mapping[str, Callable[[bytes], Sequence[CatalogUpdate | Refusal]]] = {
    subject_of(rating_pb.OrganizationChanged): convert.organization_from_pb,
    subject_of(rating_pb.BillableMetricChanged): convert.metric_from_pb,
    subject_of(rating_pb.SubscriptionChanged): convert.subscription_from_pb,
    subject_of(rating_pb.TestClockAdvanced): convert.test_clock_from_pb,
    subject_of(rating_pb.UsageRefused): convert.refusals_from_pb,
}


def rating_log(deps: Deps) -> Log:
    """The log of rating's domain events."""
    return Log(
        name=LOG,
        stream=RATING,
        subject="rating.>",
        apply=applying_apart(partial(apply, deps), convert.split),
    )


def apply(deps: Deps, tx: Connection, messages: Sequence[Message]) -> None:
    """Apply a batch of messages in the follower's transaction: first changes of the catalog, then rating's refusals."""
    news = [
        update_or_refusal
        for message in messages
        if message.subject in HANDLERS
        for update_or_refusal in HANDLERS[message.subject](message.body)
    ]
    apply_updates(tx, [update for update in news if not isinstance(update, Refusal)], deps.announce)
    quarantine_refused(tx, [refusal for refusal in news if isinstance(refusal, Refusal)], deps.clock.now())
