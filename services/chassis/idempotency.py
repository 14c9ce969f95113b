"""Requests that are safe to repeat: a `request_id` is answered once, in the transaction of its effect.

The row of a request is inserted before the work and holds its answer afterwards. So a concurrent repeat waits for the
first request and then gets the same answer; if the answer has a field `replayed`, it says so. The same id with another
payload is an error, never silence. A request without an id, and one that only validates, leaves no row. Servicers use
this through chassis.rpc.command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message
from sqlalchemy.engine import Connection

from services.chassis import schema
from services.chassis.db import Database
from services.kernel.errors import AlreadyExistsError, InvalidArgumentError
from services.kernel.ids import OrganizationId

A = TypeVar("A", bound=Message)

# A UUID or a hash in hexadecimal fits several times over; a longer text is not an id.
MAX_REQUEST_ID = 255
# A caller that got no answer tries again within hours; answers are kept for a month.
KEEP = timedelta(days=30)
# How many rows are removed at a time, so that pruning never holds a long transaction.
PRUNE_BATCH = 5000
# The field in which an answer says that it was given before.
REPLAYED = "replayed"


class Named(Protocol):
    """A description of a message, of which only its name is needed."""

    @property
    def full_name(self) -> str:
        """Its package and name."""


class Request(Protocol):
    """A message that requests a change; its id makes it safe to repeat."""

    request_id: str

    @property
    def DESCRIPTOR(self) -> Named:  # noqa: N802 - protobuf's name
        """The description of the message."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802 - protobuf's name
        """The message as bytes."""


def create_table(op: Any) -> None:
    """Create the table in a migration; `op` is alembic's operations."""
    op.execute(
        """
        CREATE TABLE requests (
            organization_id uuid,
            method text,
            request_id text,
            payload_digest bytea NOT NULL,
            answer bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (organization_id, method, request_id)
        )
        """
    )
    op.execute("CREATE INDEX requests_by_age ON requests (created_at)")
    schema.tenant_table(op, "requests")


def answer_once(
    db: Database, organization: OrganizationId, request: Request, answer_type: type[A], work: Callable[[Connection], A]
) -> A:
    """Run a command in one transaction of the organization and return its answer; a repeat gets the first answer.

    Args:
        db: the service's database.
        organization: the calling organization.
        request: the message; its `request_id` may be empty, and its `validate_only`, if it has one, undoes everything.
        answer_type: the class of the answer.
        work: the command, which returns its answer as a message.

    Raises:
        AlreadyExistsError: `REQUEST_ID_REUSED`, the id was used before with another payload.
    """
    with db.transaction(organization) as tx:
        return once(tx, organization, request, answer_type, work)


def once(
    tx: Connection,
    organization: OrganizationId,
    request: Request,
    answer_type: type[A],
    work: Callable[[Connection], A],
) -> A:
    """Like `answer_once`, in a transaction that is already open."""
    if getattr(request, "validate_only", False):
        return undone(tx, work)
    known = claim(tx, organization, request)
    if known is not None:
        return replayed(answer_type.FromString(known))
    answer = work(tx)
    keep(tx, organization, request, answer.SerializeToString())
    return answer


def answer_alone(
    db: Database,
    organization: OrganizationId,
    request: Request,
    answer_type: type[A],
    work: Callable[[], A],
    alone: Callable[[bool], AbstractContextManager[None]],
) -> A:
    """Run a command of several transactions and return its answer; a repeat joins the first run if it still runs.

    A connection may end before a long command does, and channels repeat calls by themselves (chassis.rpc.channel): the
    repeat waits for the first and gets its answer. Where the first has failed, the repeat goes on from there.

    Args:
        db: the service's database.
        organization: whose call it is.
        request: the message; without a `request_id` a repeat is told from nothing else, and does not join.
        answer_type: class of the answer.
        work: the command, which may be run again after it has failed midway, and packs its answer.
        alone: keeps others from the work meanwhile; told whether to wait for who is at it, or to refuse.

    Raises:
        AlreadyExistsError: `REQUEST_ID_REUSED`, the id came before with another payload.
    """
    with db.transaction(organization) as tx:
        known = claim(tx, organization, request)
    if known:
        return replayed(answer_type.FromString(known))
    with alone(known is not None):
        if known is not None:
            with db.transaction(organization) as tx:
                known = claim(tx, organization, request)
            if known:
                return replayed(answer_type.FromString(known))
        answer = work()
        with db.transaction(organization) as tx:
            keep(tx, organization, request, answer.SerializeToString())
    return answer


def replayed(answer: A) -> A:
    """An answer that was given before, which says so where it can."""
    if REPLAYED in answer.DESCRIPTOR.fields_by_name:
        setattr(answer, REPLAYED, True)
    return answer


def undone(tx: Connection, work: Callable[[Connection], A]) -> A:
    """What a command would answer: it runs as usual, and then everything is undone."""
    savepoint = tx.begin_nested()
    try:
        return work(tx)
    finally:
        savepoint.rollback()


def claim(tx: Connection, organization: OrganizationId, request: Request) -> bytes | None:
    """Take a request's id for this transaction; returns the stored answer of an earlier request, or None for a first.

    An earlier request that stored no answer gives empty bytes. Waits for a concurrent transaction with the same id.
    """
    if not request.request_id:
        return None
    if len(request.request_id) > MAX_REQUEST_ID:
        raise InvalidArgumentError.of_field(
            "request_id", "value_is_invalid", f"has at most {MAX_REQUEST_ID} characters"
        )
    key = _key(organization, request)
    digest = _digest(request)
    taken = tx.exec_driver_sql(
        "INSERT INTO requests (organization_id, method, request_id, payload_digest) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING true",
        (*key, digest),
    ).first()
    if taken:
        return None
    row = tx.exec_driver_sql(
        "SELECT payload_digest, answer FROM requests WHERE organization_id = %s AND method = %s AND request_id = %s",
        key,
    ).one()
    if bytes(row.payload_digest) != digest:
        raise _reused(request)
    return bytes(row.answer or b"")


def claim_all(
    tx: Connection, organization: OrganizationId, requests: Sequence[Request]
) -> list[bytes | AlreadyExistsError | None]:
    """As `claim`, for requests that each have an id of their own; what `claim` would raise is among the answers.

    Ids are taken in one order, so that two transactions with the same ones do not wait for each other.
    """
    digests = {_named(request): _digest(request) for request in requests}
    wanted = sorted(digests)
    columns = [name for name, _ in wanted], [request_id for _, request_id in wanted]
    taken = tx.exec_driver_sql(
        "INSERT INTO requests (organization_id, method, request_id, payload_digest) "
        "SELECT %s::uuid, * FROM unnest(%s::text[], %s::text[], %s::bytea[]) ON CONFLICT DO NOTHING "
        "RETURNING method, request_id",
        (organization, *columns, [digests[name] for name in wanted]),
    ).all()
    known = {}
    if len(taken) < len(wanted):
        rows = tx.exec_driver_sql(
            "SELECT method, request_id, payload_digest, answer FROM requests "
            "JOIN unnest(%s::text[], %s::text[]) AS wanted (method, request_id) USING (method, request_id) "
            "WHERE organization_id = %s",
            (*columns, organization),
        )
        known = {(row[0], row[1]): (bytes(row[2]), bytes(row[3] or b"")) for row in rows}
    fresh = {(row[0], row[1]) for row in taken}
    answers: list[bytes | AlreadyExistsError | None] = []
    for request in requests:
        name = _named(request)
        if name in fresh:
            answers.append(None)
        else:
            digest, answer = known[name]
            answers.append(answer if digest == digests[name] else _reused(request))
    return answers


def keep_all(tx: Connection, organization: OrganizationId, answers: Sequence[tuple[Request, bytes]]) -> None:
    """As `keep`, for many at once."""
    if answers:
        tx.exec_driver_sql(
            "UPDATE requests r SET answer = kept.answer "
            "FROM unnest(%s::text[], %s::text[], %s::bytea[]) AS kept (method, request_id, answer) "
            "WHERE r.organization_id = %s AND r.method = kept.method AND r.request_id = kept.request_id",
            (
                [_named(request)[0] for request, _ in answers],
                [request.request_id for request, _ in answers],
                [answer for _, answer in answers],
                organization,
            ),
        )


def disclaim_all(tx: Connection, organization: OrganizationId, requests: Sequence[Request]) -> None:
    """Give ids back that this transaction has claimed: what could not be done leaves no trace."""
    if requests:
        tx.exec_driver_sql(
            "DELETE FROM requests r USING unnest(%s::text[], %s::text[]) AS claimed (method, request_id) "
            "WHERE r.organization_id = %s AND r.method = claimed.method AND r.request_id = claimed.request_id",
            ([_named(request)[0] for request in requests], [request.request_id for request in requests], organization),
        )


def keep(tx: Connection, organization: OrganizationId, request: Request, answer: bytes) -> None:
    """Store the answer of a claimed request; a request without an id stores nothing."""
    if request.request_id:
        tx.exec_driver_sql(
            "UPDATE requests SET answer = %s WHERE organization_id = %s AND method = %s AND request_id = %s",
            (answer, *_key(organization, request)),
        )


def prune(tx: Connection, now: datetime) -> int:
    """Delete answers older than `KEEP`, at most `PRUNE_BATCH`, in a worker transaction; returns how many."""
    return tx.exec_driver_sql(
        "DELETE FROM requests WHERE (organization_id, method, request_id) IN ("
        "SELECT organization_id, method, request_id FROM requests WHERE created_at < %s ORDER BY created_at LIMIT %s)",
        (now - KEEP, PRUNE_BATCH),
    ).rowcount


def _key(organization: OrganizationId, request: Request) -> tuple[str, str, str]:
    return organization, *_named(request)


def _named(request: Request) -> tuple[str, str]:
    """An id is valid for one method: the full name of its request message."""
    return request.DESCRIPTOR.full_name, request.request_id


def _digest(request: Request) -> bytes:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def _reused(request: Request) -> AlreadyExistsError:
    return AlreadyExistsError(
        "REQUEST_ID_REUSED", "this request_id came before with another payload", request_id=request.request_id
    )
