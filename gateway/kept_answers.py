"""A POST with an `Idempotency-Key` is answered once: whoever repeats it gets the first answer, which says so (ADR 19).

Rating keeps the answers, so that every replica of the gateway gives the same. What is not kept may be repeated as it
is: a refusal has changed nothing, and after a failure the commands below know the request by its identity
(`Call.mutation_id`).
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import grpc
import msgspec

from farebox.rating.v1 import kept_answer_service_pb2 as rpc
from gateway.call import Call, Reply
from gateway.operation import Endpoint
from gateway.problem import RETRY_AFTER_SECONDS, Problem
from services.chassis.log import logger
from services.kernel.ids import new_id

log = logger(__name__)

# Says of an answer that it was given before; Stripe's name for it.
REPLAYED_HEADER = "Idempotent-Replayed"
# The member by which Nozle's answers say so.
_REPLAYED = "replayed"
# How long a repeat waits for the first request: as long as any call may take.
WAIT_SECONDS = 20.0
# Pauses between two looks at a key that somebody else is at: at first as long as a short command takes, then longer.
FIRST_PAUSE_SECONDS = 0.02
MAX_PAUSE_SECONDS = 0.25
# What rating keeps of an answer; a larger one is made anew, from what the command remembers.
MAX_CONTENT_BYTES = 1024 * 1024
_ERROR = 400


async def answer_once(call: Call, endpoint: Endpoint) -> Reply:
    """The answer of an operation whose caller gave an Idempotency-Key.

    Raises:
        Problem: 409, the key was used with another request, or the first one takes too long.
        grpc.RpcError: rating cannot be asked, so nothing was done.
    """
    claim = _Claim(call, rpc.AnswerKey(route=call.route, key=call.idempotency_key), new_id())
    answer = await claim.take()
    if answer is not None:
        return _replayed(answer)
    try:
        reply = await endpoint.answer(call)
    except Exception:
        await claim.release()
        raise
    if reply.status >= _ERROR or len(reply.content) > MAX_CONTENT_BYTES:
        await claim.release()
    else:
        await claim.keep(reply)
    return reply


@dataclass(frozen=True)
class _Claim:
    """One try to do the work of a key.

    Attributes:
        call: the request.
        key: its key.
        attempt_id: the identity of this try.
    """

    call: Call
    key: rpc.AnswerKey
    attempt_id: str

    async def take(self) -> rpc.KeptAnswer | None:
        """Claim the key; the answer that was given before, or None if the work is ours.

        Raises:
            Problem: 409.
        """
        request = rpc.ClaimKeyRequest(
            key=self.key, payload_digest=_payload_digest(self.call), attempt_id=self.attempt_id
        )
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + WAIT_SECONDS, FIRST_PAUSE_SECONDS
        while True:
            claimed = await self.call.ask(self.call.clients.kept_answers.ClaimKey, request)
            if claimed.state == rpc.ClaimKeyResponse.STATE_CLAIMED:
                return None
            if claimed.state == rpc.ClaimKeyResponse.STATE_ANSWERED:
                return claimed.answer
            if loop.time() >= until:
                raise _still_at_work()
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)

    async def keep(self, reply: Reply) -> None:
        """Keep the answer for whoever repeats the request."""
        answer = rpc.KeptAnswer(
            status=reply.status, media_type=reply.media_type, headers=reply.headers, content=reply.content
        )
        request = rpc.KeepAnswerRequest(key=self.key, attempt_id=self.attempt_id, answer=answer)
        try:
            await self.call.ask(self.call.clients.kept_answers.KeepAnswer, request)
        except grpc.RpcError as error:
            # The work is done, and its caller must hear that; a repeat is recognized by the commands below.
            log.warning("answer_not_kept", route=self.key.route, error=repr(error))

    async def release(self) -> None:
        """Give the key back, so that a repeat need not wait for the end of the claim."""
        request = rpc.ReleaseKeyRequest(key=self.key, attempt_id=self.attempt_id)
        try:
            await self.call.ask(self.call.clients.kept_answers.ReleaseKey, request)
        except grpc.RpcError as error:
            # The caller must hear why the request itself failed; the claim ends by itself.
            log.warning("key_not_released", route=self.key.route, error=repr(error))


def _payload_digest(call: Call) -> bytes:
    """SHA-256 of what is asked: the parameters of the path, the query and the body."""
    asked = msgspec.json.encode((sorted(call.path.items()), call.query))
    return hashlib.sha256(b"%d:" % len(asked) + asked + call.body).digest()


def _replayed(answer: rpc.KeptAnswer) -> Reply:
    headers = {**answer.headers, REPLAYED_HEADER: "true"}
    content = _marked(answer.content) if answer.media_type == "application/json" else answer.content
    return Reply(content, answer.status, answer.media_type, headers)


def _marked(content: bytes) -> bytes:
    """JSON that says by its own member that it was given before, if it has one; everything else stays byte for byte."""
    if b'"replayed"' not in content:
        return content
    members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    if _REPLAYED not in members:
        return content
    return msgspec.json.encode({**members, _REPLAYED: True})


def _still_at_work() -> Problem:
    wait = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    detail = "a request with this Idempotency-Key is still being worked on; ask again for its answer"
    return Problem(409, "idempotency_in_progress", detail, headers=wait)
