"""Taking an event back, or putting another in its place. The log keeps both."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.chassis.streams import SHARD_COUNT
from services.ingest.commands.codec import EntryCodec
from services.ingest.commands.drafts import drafts_of, noted_of, quarantined_of
from services.ingest.commands.ingest import Deps
from services.ingest.commands.prepare import PreparedEvents
from services.ingest.domain import identity
from services.ingest.domain.found import Found, State
from services.ingest.domain.instant import from_us, to_us
from services.ingest.domain.usage_event import MAX_ID_CHARACTERS, MAX_REASON_CHARACTERS, UsageEvent
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.store import found as store
from services.ingest.store import log, quarantine, shards, voids
from services.ingest.store.shards import Draft
from services.kernel.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from services.kernel.ids import OrganizationId


class Voiding(NamedTuple):
    """A request to take an event back.

    Attributes:
        transaction_id: of the event.
        reason: why.
        actor: who asks for it.
        replacement: the event to count in its place, if any.
    """

    transaction_id: str
    reason: str
    actor: str
    replacement: UsageEvent | None


def void_usage_event(deps: Deps, organization: OrganizationId, voiding: Voiding) -> tuple[Found, Found | None]:
    """Take an event back, and count its replacement, in one commit; the same request again changes nothing.

    Raises:
        InvalidArgumentError: reason or actor are missing or too long, or the replacement has the same id.
        NotFoundError: there is no such event.
        FailedPreconditionError: it was voided already, with another replacement.
        AlreadyExistsError: the replacement's transaction_id is stored already.
    """
    _check(voiding)
    name = uuid.UUID(organization)
    key = _key(name, voiding.transaction_id)
    with deps.db.worker_transaction(quiet=True) as tx:
        head = log.begin_commit(tx)
        voids.lock_events(tx, [key])
        voids.lock_quarantined(tx, name, key)
        event = store.by_key(tx, name, key)
        if event is None:
            raise NotFoundError("USAGE_EVENT_UNKNOWN", "no event has this transaction_id")
        if voids.add(tx, name, key, voiding.reason, voiding.actor, _replaced_by(voiding), deps.clock.now()):
            drafts, noted = _take_back(tx, deps.codec, name, event), shards.NOTHING
            if voiding.replacement is not None:
                batch = _put_in_place(deps, tx, head.commit_id, name, voiding.replacement)
                drafts += drafts_of([batch])
                noted = noted_of(head.commit_id, [batch])
            shards.append(tx, drafts, noted)
        voided = store.by_key(tx, name, key)
        if voided is None or voided.replaced_by != (_replaced_by(voiding) or ""):
            raise FailedPreconditionError("USAGE_EVENT_VOIDED", "the event was voided already, in another way")
        return voided, _replacement(tx, name, voiding)


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


def _take_back(tx: Connection, codec: EntryCodec, organization: uuid.UUID, event: Found) -> list[Draft]:
    """What the shard announces; nothing for an event that is not announced, which only leaves the quarantine."""
    if event.state is not State.ACCEPTED:
        voids.remove_quarantined(tx, organization, event.key)
        return []
    return [void_draft(codec, organization, event)]


def void_draft(codec: EntryCodec, organization: uuid.UUID, event: Found) -> Draft:
    """The batch that takes one announced event back."""
    head = codec.head(organization.bytes, event.external_customer_id, event.subscription_id, event.code, voids=True)
    entry = entry_of(codec, head, event)
    return Draft(identity.shard_of(organization.bytes, event.external_customer_id, SHARD_COUNT), 1, entry)


def entry_of(codec: EntryCodec, head: bytes, event: Found) -> bytes:
    """What is announced of one stored event: its own times, not the present."""
    return codec.entries(
        event.received_us,
        [head],
        [event.key],
        [event.transaction_id.encode()],
        [event.occurred_us],
        [event.properties],
        [event.amount],
    )[0]


def _put_in_place(
    deps: Deps, tx: Connection, commit_id: int, organization: uuid.UUID, replacement: UsageEvent
) -> PreparedEvents:
    """Store the replacement."""
    now_us = to_us(deps.clock.now())
    batch = deps.preparer.prepare_again(tx, organization.bytes, UsageEvents.of([replacement]), now_us).events
    _store_new(tx, commit_id, batch)
    quarantine.add(tx, quarantined_of([batch]), from_us(now_us))
    return batch


def _store_new(tx: Connection, commit_id: int, batch: PreparedEvents) -> None:
    try:
        log.copy_in(tx, commit_id, batch.rows)
    except Exception as error:
        if not log.is_repeat_of_stored(error):
            raise
        raise AlreadyExistsError(
            "TRANSACTION_ID_REUSED", "the replacement's transaction_id is stored already"
        ) from error


def _replacement(tx: Connection, organization: uuid.UUID, voiding: Voiding) -> Found | None:
    if voiding.replacement is None:
        return None
    return store.by_key(tx, organization, _key(organization, voiding.replacement.transaction_id))


def _key(organization: uuid.UUID, transaction_id: str) -> bytes:
    return identity.event_key(organization.bytes, transaction_id.encode())
