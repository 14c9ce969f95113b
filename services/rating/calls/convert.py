"""Kept answers: messages to domain and back."""

from __future__ import annotations

from farebox.rating.v1 import kept_answer_service_pb2 as pb
from services.rating.calls.kept_answer import AnswerKey, Attempt, KeptAnswer, KeyState, require_attempt_id

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
