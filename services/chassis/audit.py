"""Who changed what: an entry for each command, in the command's transaction, and a chain of hashes closed afterwards.

A command only inserts its entry, so that nothing of an organization is locked. A job then numbers the entries of each
organization and gives each a hash over itself and the hash before it. Whoever alters or removes an entry later breaks
the chain, and whoever wrote down a number and its hash notices it even where the whole chain was made anew.

Entries hold what a command answered, never what it was asked, and never a key: a command whose answer shows a secret
notes only what is stored of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from sqlalchemy.engine import Connection, Row

from services.chassis import schema
from services.chassis.newest_first import NewestFirst, read_newest, within
from services.chassis.page import Listed, Page
from services.chassis.rpc.calls import Context
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId

# Who calls, and with which request: said by the gateway.
ACTOR_KEY = "farebox-actor"
CALLERS_REQUEST_KEY = "farebox-request-id"
# Our ids are shorter, and a longer text is cut rather than refused: the command must not fail for its note.
MAX_NAME = 255
# A plan of some hundred charges; of a larger thing only the digest is noted.
MAX_AFTER = 64 * 1024
# Entries chained in one transaction.
CHAIN_BATCH = 500
# Entries verified in one call: some tens of milliseconds.
VERIFY_BATCH = 5_000
# Any number that nothing else locks: one replica chains at a time.
ADVISORY_LOCK = 0x6175_6469
FIRST_HASH = bytes(32)
# What a thing is called by its owner, in the order of preference.
_IDENTITIES = ("external_id", "code", "id")
# What a bigint certainly holds.
_MOST_DIGITS = 18

_COLUMNS = "id, noted_at, actor, request_id, action, subject, subject_id, after"
_NOTE = """
INSERT INTO audit_entries (organization_id, actor, request_id, action, subject, subject_id, after)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_WAITING = f"""
SELECT organization_id::text AS organization_id, {_COLUMNS} FROM audit_entries
WHERE number IS NULL ORDER BY id LIMIT %s
"""
_HEADS = """
SELECT wanted.organization_id::text AS organization_id, head.number, head.hash
FROM unnest(%s::uuid[]) AS wanted (organization_id)
CROSS JOIN LATERAL (
    SELECT number, hash FROM audit_entries e
    WHERE e.organization_id = wanted.organization_id AND number IS NOT NULL ORDER BY number DESC LIMIT 1
) AS head
"""
_CHAIN = """
UPDATE audit_entries e SET number = chained.number, hash = chained.hash
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bytea[]) AS chained (organization_id, id, number, hash)
WHERE e.organization_id = chained.organization_id AND e.id = chained.id
"""
_LINKS = f"""
SELECT {_COLUMNS}, number, hash FROM audit_entries
WHERE organization_id = %s AND number >= %s ORDER BY number LIMIT %s
"""
# What a thing was before is what the entry before it left of the same thing.
_LIST = NewestFirst(
    "e.id, e.noted_at, e.actor, e.request_id, e.action, e.subject, e.subject_id, e.after, e.number, e.hash, "
    "(SELECT p.after FROM audit_entries p WHERE p.organization_id = e.organization_id AND p.subject = e.subject "
    "AND p.subject_id = e.subject_id AND p.id < e.id ORDER BY p.id DESC LIMIT 1) AS before",
    "audit_entries e WHERE e.organization_id = %(organization)s",
    "e.id",
    key_type="bigint",
    actor="e.actor = %(actor)s",
    action="e.action = %(action)s",
    subject="e.subject = %(subject)s",
    subject_id="e.subject_id = %(subject_id)s",
    noted_from="e.noted_at >= %(noted_from)s",
    noted_until="e.noted_at < %(noted_until)s",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One change.

    Attributes:
        entry_id: its identity within the service.
        noted_at: when, by the database's clock.
        actor: the Farebox id of the key that was used; empty if a service called by itself.
        request_id: the id of the REST request; empty without one.
        action: the command, e.g. `CreatePlan`.
        subject, subject_id: the kind of thing and what it is called, e.g. `plan` and its code.
        before, after: the thing before and after, as JSON; empty if unknown.
        number, digest: its place in the chain; 0 and empty for a moment after the change.
    """

    entry_id: int
    noted_at: datetime
    actor: str
    request_id: str
    action: str
    subject: str
    subject_id: str
    before: str
    after: str
    number: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of looking at a part of the chain.

    Attributes:
        last_number: the last entry whose place is right; 0 if there is none.
        digest: its hash.
        broken_at: the number at which the chain is broken; 0 if it is not.
        is_whole: whether this was the end of the chain.
    """

    last_number: int
    digest: bytes
    broken_at: int
    is_whole: bool


def create_table(op: Any) -> None:
    """Create the table in a migration; `op` is alembic's operations. No role may delete or alter an entry."""
    op.execute(
        """
        CREATE TABLE audit_entries (
            organization_id uuid,
            id bigint GENERATED ALWAYS AS IDENTITY,
            noted_at timestamptz NOT NULL DEFAULT now(),
            actor text NOT NULL,
            request_id text NOT NULL,
            action text NOT NULL,
            subject text NOT NULL,
            subject_id text NOT NULL,
            after text NOT NULL,
            number bigint,
            hash bytea,
            PRIMARY KEY (organization_id, id),
            UNIQUE (organization_id, number)
        )
        """
    )
    op.execute("CREATE INDEX audit_entries_unchained ON audit_entries (id) WHERE number IS NULL")
    op.execute("CREATE INDEX audit_entries_of_subject ON audit_entries (organization_id, subject, subject_id, id)")
    schema.tenant_table(op, "audit_entries", request="SELECT, INSERT", worker="SELECT, UPDATE (number, hash)")


def note(tx: Connection, organization: OrganizationId, context: Context, command: str, answer: Message) -> None:
    """Note a command of the caller in its own transaction.

    Args:
        tx: the command's transaction.
        organization: whose change it is.
        context: the call, whose metadata says who calls.
        command: the name of the command.
        answer: what it answers; the first message in it is what was changed.
    """
    told = {key: str(value)[:MAX_NAME] for key, value in context.invocation_metadata() or ()}
    subject, thing = _thing(answer)
    subject_id = next((str(getattr(thing, name, "")) for name in _IDENTITIES if getattr(thing, name, "")), "")
    after = MessageToJson(thing, preserving_proto_field_name=True, indent=None, sort_keys=True)
    if len(after) > MAX_AFTER:
        after = json.dumps({"omitted_bytes": len(after), "sha256": hashlib.sha256(after.encode()).hexdigest()})
    names = told.get(ACTOR_KEY, ""), told.get(CALLERS_REQUEST_KEY, "")
    tx.exec_driver_sql(_NOTE, (organization, *names, command, subject, subject_id[:MAX_NAME], after))


def _thing(answer: Message) -> tuple[str, Message]:
    """What an answer is about; a change of a subscription is about the subscription."""
    for field, value in answer.ListFields():
        if field.message_type is not None and not field.is_repeated:
            if value.DESCRIPTOR.fields_by_name.get("subscription") is not None and value.HasField("subscription"):
                return "subscription", value.subscription
            return field.name, value
    return "", answer


def chain(tx: Connection) -> int:
    """Close the chains over what was noted since, in a worker transaction; returns how many entries.

    Changes that came one after the other are chained in this order. Of two at once, either may be first.
    """
    if not tx.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s)", (ADVISORY_LOCK,)).scalar_one():
        return 0
    waiting = tx.exec_driver_sql(_WAITING, (CHAIN_BATCH,)).all()
    owners = sorted({row.organization_id for row in waiting})
    heads = {row.organization_id: (row.number, bytes(row.hash)) for row in tx.exec_driver_sql(_HEADS, (owners,))}
    numbers, digests = [], []
    for row in waiting:
        number, previous = heads.get(row.organization_id, (0, FIRST_HASH))
        heads[row.organization_id] = number + 1, digest_of(previous, number + 1, row)
        numbers.append(number + 1)
        digests.append(heads[row.organization_id][1])
    if waiting:
        ids = [row.organization_id for row in waiting], [row.id for row in waiting]
        tx.exec_driver_sql(_CHAIN, (*ids, numbers, digests))
    return len(waiting)


def digest_of(previous: bytes, number: int, row: Row[Any]) -> bytes:
    """The hash of an entry: SHA-256 of the hash before it and of its content as a JSON list."""
    noted_at = row.noted_at.astimezone(UTC).isoformat(timespec="microseconds")
    content = [number, row.id, noted_at, row.actor, row.request_id, row.action, row.subject, row.subject_id, row.after]
    return hashlib.sha256(previous + json.dumps(content, ensure_ascii=False).encode()).digest()


def verify(tx: Connection, organization: OrganizationId, after_number: int) -> Verified:
    """Look whether the chain is whole, from the entry after a number on, at most `VERIFY_BATCH` entries."""
    rows = tx.exec_driver_sql(_LINKS, (organization, after_number, VERIFY_BATCH + 2)).all()
    links = _links(rows, after_number)
    last, digest = next(links)
    for number, digest_now in links:
        if not digest_now:
            return Verified(last, digest, number, is_whole=False)
        last, digest = number, digest_now
    return Verified(last, digest, 0, is_whole=len(rows) - bool(after_number) <= VERIFY_BATCH)


def _links(rows: Sequence[Row[Any]], after_number: int) -> Iterator[tuple[int, bytes]]:
    """Where a walk begins, then each number with its hash, which is empty where the chain is broken."""
    previous = FIRST_HASH
    if after_number:
        if not rows or rows[0].number != after_number:
            raise InvalidArgumentError.of_field("after_number", "value_is_invalid", "is not in the chain")
        previous, rows = bytes(rows[0].hash), rows[1:]
    yield after_number, previous
    for number, row in enumerate(rows[:VERIFY_BATCH], after_number + 1):
        is_right = row.number == number and bytes(row.hash) == digest_of(previous, number, row)
        previous = bytes(row.hash)
        yield number, previous if is_right else b""


def list_entries(tx: Connection, organization: OrganizationId, filters: Mapping[str, Any], page: Page) -> Listed[Entry]:
    """The organization's entries, newest first; `filters` are `actor`, `action`, `subject`, `subject_id`, `noted_…`."""
    values = {**filters, "organization": organization, **within(page, is_key=_is_id)}
    return read_newest(tx, _LIST.rows.text(values), _LIST.count.text(values), values, page).map(_entry)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        entry_id=row.id,
        noted_at=row.noted_at,
        actor=row.actor,
        request_id=row.request_id,
        action=row.action,
        subject=row.subject,
        subject_id=row.subject_id,
        before=row.before or "",
        after=row.after,
        number=row.number or 0,
        digest=bytes(row.hash or b""),
    )
