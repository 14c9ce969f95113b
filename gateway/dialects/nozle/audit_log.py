"""The audit log: who changed what, and whether the log itself is whole."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import audit_log_service_pb2 as rpc
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import Listed, Nothing, Request, operation
from gateway.projection import patch, project
from gateway.schema import Code, Instant, InstantInput

_NULL = msgspec.Raw(b"null")


class AuditQuery(PageQuery, kw_only=True):
    """Which entries."""

    actor: Code | UnsetType = UNSET
    action: Code | UnsetType = UNSET
    subject: Code | UnsetType = UNSET
    subject_id: Code | UnsetType = UNSET
    noted_from: InstantInput | UnsetType = UNSET
    noted_until: InstantInput | UnsetType = UNSET


class AuditEntry(Struct, kw_only=True):
    """One change."""

    id: Annotated[str, Meta(description="The entry's identity.")]
    noted_at: Instant
    actor: Annotated[str | None, Meta(description="Farebox id of the key that was used.")]
    request_id: Annotated[str | None, Meta(description="The `X-Request-Id` of the request.")]
    action: Annotated[str, Meta(description="The command, e.g. `CreatePlan`.")]
    subject: Annotated[str | None, Meta(description="The kind of thing that was changed, e.g. `plan`.")]
    subject_id: Annotated[str | None, Meta(description="What it is called: its external id, its code, or its id.")]
    before: Annotated[msgspec.Raw, Meta(description="The thing as the entry before left it, or null.")]
    after: Annotated[msgspec.Raw, Meta(description="The thing after the change.")]
    number: Annotated[int | None, Meta(description="Its place in the chain; null for about a second.")]
    hash: Annotated[str | None, Meta(description="SHA-256, in hexadecimal.")]


class Begin(Struct, kw_only=True):
    """Where to begin: after an entry that is known to be right."""

    after_number: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class Verification(Struct, kw_only=True):
    """What was found in the next 5,000 entries."""

    last_number: Annotated[int, Meta(description="The last entry whose place is right; ask on after it until `whole`.")]
    hash: Annotated[str, Meta(description="Its SHA-256. Who keeps both notices a chain that was made anew.")]
    broken_at: Annotated[int | None, Meta(description="The number at which an entry was altered or is missing.")]
    whole: Annotated[bool, Meta(description="Whether this was the end of the chain.")]


async def find_all(request: Request[Nothing, AuditQuery, Nothing]) -> Listed[AuditEntry]:
    """List who changed what, newest first.

    An entry is stored with its change, or neither is. It holds no key and nothing that was sent to be refused.
    """
    return await listed(request.call, rpc.ListAuditEntriesRequest, request.query, _entry)


async def verify(request: Request[Nothing, Begin, Nothing]) -> Verification:
    """Verify that no entry of the audit log was altered or removed."""
    call = request.call
    asked, _ = patch(rpc.VerifyAuditLogRequest(), request.query)
    found = await call.ask(call.clients.audit_log.VerifyAuditLog, asked)
    return project(Verification, found, hash=found.hash.hex(), broken_at=found.broken_at or None)


def _entry(entry: rpc.AuditEntry) -> AuditEntry:
    return project(
        AuditEntry,
        entry,
        id=str(entry.id),
        before=msgspec.Raw(entry.before.encode()) if entry.before else _NULL,
        after=msgspec.Raw(entry.after.encode()),
        number=entry.number or None,
        hash=entry.hash.hex() or None,
    )


OPERATIONS = (
    operation("GET", "/audit_log", find_all, answer_root="audit_log"),
    operation("GET", "/audit_log/verification", verify, answer_root="verification"),
)
