"""Taking an event back, or replacing it by another. The log keeps both."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.ingest.commands.entries import take_back
from services.ingest.deps import Deps
from services.ingest.domain import identity
from services.ingest.domain.stored_usage_event import State, StoredUsageEvent
from services.ingest.domain.usage_event import MAX_ID_CHARACTERS, MAX_REASON_CHARACTERS, UsageEvent
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.effects import drafts_of, quarantined_of, touched_by
from services.ingest.pipeline.prepare import PreparedUsageEvents
from services.ingest.store import log, quarantine, shards, stored_usage_events, voids
from services.ingest.store.shards import Draft
from services.kernel.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from services.kernel.ids import OrganizationId
from services.kernel.instant import from_us, to_us


class Voiding(NamedTuple):
    """A request to take an event back.

    Attributes:
        transaction_id: the event's id.
        reason: why it is voided.
        actor: who asks for it.
        replacement: the event to count in its place, if any.
    """

    transaction_id: str
    reason: str
    actor: str
    replacement: UsageEvent | None


def void_usage_event(
    deps: Deps, organization: OrganizationId, voiding: Voiding
) -> tuple[StoredUsageEvent, StoredUsageEvent | None]:
    """Take an event back, and count its replacement, in one commit. The same request again changes nothing.

    Raises:
        InvalidArgumentError: reason or actor is missing or too long, or the replacement has the same id.
        NotFoundError: there is no such event.
        FailedPreconditionError: it was voided already, with another replacement.
        AlreadyExistsError: the replacement's transaction_id is stored already.
    """
    _check(voiding)
    key = _key(organization, voiding.transaction_id)
    with deps.db.worker_transaction(quiet=True) as tx:
        head = log.begin_commit(tx)
        voids.lock_events(tx, [key])
        voids.lock_quarantined(tx, organization, key)
        event = stored_usage_events.by_key(tx, organization, key)
        if event is None:
            raise NotFoundError("USAGE_EVENT_UNKNOWN", "no event has this transaction_id")
        if voids.add(tx, organization, key, voiding.reason, voiding.actor, _replaced_by(voiding), deps.clock.now()):
            drafts, touched = _take_back(tx, organization, event), shards.NOTHING
            if voiding.replacement is not None:
                batch = _put_in_place(deps, tx, head.commit_id, organization, voiding.replacement)
                drafts += drafts_of([batch])
                touched = touched_by(head.commit_id, [batch])
            shards.append(tx, drafts, touched)
        voided = stored_usage_events.by_key(tx, organization, key)
        if voided is None or voided.replaced_by != (_replaced_by(voiding) or ""):
            raise FailedPreconditionError("USAGE_EVENT_VOIDED", "the event was voided already, in another way")
        return voided, _replacement(tx, organization, voiding)


def _check(voiding: Voiding) -> None:
    limits = (("reason", voiding.reason, MAX_REASON_CHARACTERS), ("actor", voiding.actor, MAX_ID_CHARACTERS))
    for field, text, limit in limits:
        if not text:
            raise InvalidArgumentError.of_field(field, "value_is_mandatory", "must be given")
        if len(text) > limit or "\0" in text:
            raise InvalidArgumentError.of_field(field, "value_too_long", f"must be text of at most {limit} characters")
    if _replaced_by(voiding) == voiding.transaction_id:
        raise InvalidArgumentError.of_field(
            "replacement.transaction_id", "value_is_invalid", "must differ from the voided event's"
        )


def _replaced_by(voiding: Voiding) -> str | None:
    return None if voiding.replacement is None else voiding.replacement.transaction_id


def _take_back(tx: Connection, organization: OrganizationId, event: StoredUsageEvent) -> list[Draft]:
    """What the shard announces: nothing for an event that was never announced and only leaves the quarantine."""
    if event.state is not State.ACCEPTED:
        voids.remove_quarantined(tx, organization, event.key)
        return []
    return [take_back(organization, event)]


def _put_in_place(
    deps: Deps, tx: Connection, commit_id: int, organization: OrganizationId, replacement: UsageEvent
) -> PreparedUsageEvents:
    """Store the replacement."""
    now_us = to_us(deps.clock.now())
    batch = deps.preparer.prepare_again(tx, organization, UsageEvents.of([replacement]), now_us).events
    _store_new(tx, commit_id, batch)
    quarantine.add(tx, quarantined_of([batch]), from_us(now_us))
    return batch


def _store_new(tx: Connection, commit_id: int, batch: PreparedUsageEvents) -> None:
    try:
        log.copy_in(tx, commit_id, batch.rows)
    except Exception as error:
        if not log.is_repeat_of_stored(error):
            raise
        raise AlreadyExistsError(
            "TRANSACTION_ID_REUSED", "the replacement's transaction_id is stored already"
        ) from error


def _replacement(tx: Connection, organization: OrganizationId, voiding: Voiding) -> StoredUsageEvent | None:
    if voiding.replacement is None:
        return None
    return stored_usage_events.by_key(tx, organization, _key(organization, voiding.replacement.transaction_id))


def _key(organization: OrganizationId, transaction_id: str) -> bytes:
    return identity.event_key(organization, transaction_id.encode())
