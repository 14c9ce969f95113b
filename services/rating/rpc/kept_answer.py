"""KeptAnswerService."""

from __future__ import annotations

from farebox.rating.v1 import kept_answer_service_pb2 as pb
from farebox.rating.v1 import kept_answer_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.rating.calls import commands, convert
from services.rating.deps import Deps


class KeptAnswerServicer(grpc_pb.KeptAnswerServiceServicer):
    """Answers kept for those who repeat a request. Its methods are safe to repeat as they are."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @answers
    def ClaimKey(self, request: pb.ClaimKeyRequest, context: Context) -> pb.ClaimKeyResponse:
        """Claim a key, or find the answer that was given before."""
        attempt = convert.attempt_from_pb(request)
        return convert.claimed_to_pb(commands.claim_key(self.deps, organization_of(context), attempt))

    @answers
    def KeepAnswer(self, request: pb.KeepAnswerRequest, context: Context) -> pb.KeepAnswerResponse:
        """Keep the answer to a claimed key."""
        key, attempt_id = convert.claim_from_pb(request)
        answer = convert.answer_from_pb(request.answer)
        commands.keep_answer(self.deps, organization_of(context), key, attempt_id, answer)
        return pb.KeepAnswerResponse()

    @answers
    def ReleaseKey(self, request: pb.ReleaseKeyRequest, context: Context) -> pb.ReleaseKeyResponse:
        """Give a claimed key back."""
        key, attempt_id = convert.claim_from_pb(request)
        commands.release_key(self.deps, organization_of(context), key, attempt_id)
        return pb.ReleaseKeyResponse()
