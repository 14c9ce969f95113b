"""Kept answers and the audit log: messages to domain and back."""

from __future__ import annotations

from typing import Any

from farebox.rating.v1 import audit_log_service_pb2
from farebox.rating.v1 import kept_answer_service_pb2 as pb
from services.chassis.audit import Entry, Verified
from services.kernel.errors import InvalidArgumentError
from services.rating.calls.kept_answer import AnswerKey, Attempt, KeptAnswer, KeyState, require_attempt_id
from services.wire.values import instant_or_none_of, instant_to_pb

_STATES = {
    KeyState.CLAIMED: pb.ClaimKeyResponse.STATE_CLAIMED,
    KeyState.IN_PROGRESS: pb.ClaimKeyResponse.STATE_IN_PROGRESS,
}


def attempt_from_pb(request: pb.ClaimKeyRequest) -> Attempt:
    """The attempt that asks for a key."""
    return Attempt(_key(request.key), request.payload_digest, request.attempt_id)


def claim_from_pb(request: pb.KeepAnswerRequest | pb.ReleaseKeyRequest) -> tuple[AnswerKey, str]:
    """The key, and the attempt that has it."""
    require_attempt_id(request.attempt_id)
    return _key(request.key), request.attempt_id


def answer_from_pb(message: pb.KeptAnswer) -> KeptAnswer:
    """The answer to keep."""
    return KeptAnswer(message.status, message.media_type, dict(message.headers), message.content)


def claimed_to_pb(claimed: KeyState | KeptAnswer) -> pb.ClaimKeyResponse:
    """What became of a claim."""
    if isinstance(claimed, KeyState):
        return pb.ClaimKeyResponse(state=_STATES[claimed])
    answer = pb.KeptAnswer(
        status=claimed.status, media_type=claimed.media_type, headers=claimed.headers, content=claimed.content
    )
    return pb.ClaimKeyResponse(state=pb.ClaimKeyResponse.STATE_ANSWERED, answer=answer)


def _key(message: pb.AnswerKey) -> AnswerKey:
    return AnswerKey(message.route, message.key)


def audit_filters_from_pb(request: audit_log_service_pb2.ListAuditEntriesRequest) -> dict[str, Any]:
    """Which entries of the audit log are asked for."""
    return {
        "actor": request.actor,
        "action": request.action,
        "subject": request.subject,
        "subject_id": request.subject_id,
        "noted_from": instant_or_none_of(request, "noted_from"),
        "noted_until": instant_or_none_of(request, "noted_until"),
    }


def after_number_from_pb(request: audit_log_service_pb2.VerifyAuditLogRequest) -> int:
    """The number after which the chain is verified."""
    if request.after_number < 0:
        raise InvalidArgumentError.of_field("after_number", "value_is_out_of_range", "is not negative")
    return request.after_number


def audit_entry_to_pb(entry: Entry) -> audit_log_service_pb2.AuditEntry:
    """An entry of the audit log."""
    return audit_log_service_pb2.AuditEntry(
        id=entry.entry_id,
        noted_at=instant_to_pb(entry.noted_at),
        actor=entry.actor,
        request_id=entry.request_id,
        action=entry.action,
        subject=entry.subject,
        subject_id=entry.subject_id,
        before=entry.before,
        after=entry.after,
        number=entry.number,
        hash=entry.digest,
    )


def verified_to_pb(verified: Verified) -> audit_log_service_pb2.VerifyAuditLogResponse:
    """What was found in the chain."""
    return audit_log_service_pb2.VerifyAuditLogResponse(
        last_number=verified.last_number, hash=verified.digest, broken_at=verified.broken_at, whole=verified.is_whole
    )
