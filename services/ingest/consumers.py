"""What ingest follows: rating's domain events, for the catalog and for events that no period takes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy.engine import Connection

from services.chassis.follower import Log, Message
from services.chassis.streams import RATING
from services.ingest.commands.catalog import apply_updates
from services.ingest.commands.ingest import Deps
from services.ingest.commands.release import quarantine_refused
from services.ingest.convert import catalog as convert


def rating_log(deps: Deps) -> Log:
    """The log of rating's domain events."""

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        updates = [convert.update_from_pb(message.subject, message.body) for message in messages]
        apply_updates(tx, [update for update in updates if update is not None], deps.announce)
        _quarantine(deps, tx, messages)

    return Log(name="rating", stream=RATING, subject="rating.>", apply=apply)


def _quarantine(deps: Deps, tx: Connection, messages: Sequence[Message]) -> None:
    refusals: dict[uuid.UUID, dict[uuid.UUID, str]] = {}
    for message in messages:
        if message.subject == convert.REFUSED_SUBJECT:
            for one in convert.refusals_from_pb(message.body):
                refusals.setdefault(one.organization, {})[one.key] = one.reason
    quarantine_refused(deps.codec, tx, refusals, deps.clock.now())
