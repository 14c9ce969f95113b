"""AccessService: check, consume, reserve, watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from farebox.entitlements.v1 import access_service_pb2 as pb
from farebox.entitlements.v1 import access_service_pb2_grpc
from services.chassis import idempotency
from services.chassis.freshness import Freshness
from services.chassis.rpc.answers_async import answers_async, streams_in_threads
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import current_async, hear_before, hear_newest
from services.entitlements.commands.together import Counting
from services.entitlements.convert import access as convert
from services.entitlements.deps import Deps
from services.entitlements.domain.access import Question
from services.entitlements.domain.counting import Command, Commit, Consume, Counted, Release, Reserve
from services.entitlements.memory.memory import Answered
from services.entitlements.queries import access as queries
from services.entitlements.queries.watch import Watches
from services.kernel.ids import OrganizationId

A = TypeVar("A")


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """May this customer do this now?"""

    def __init__(self, deps: Deps, watches: Watches, counting: Counting, freshness: Freshness) -> None:
        self.deps = deps
        self.freshness = freshness
        self._counting = counting
        self._watches = watches

    @answers_async
    @current_async(lacks=convert.is_denied)
    async def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Answer one question; never changes anything."""
        answered = await self._answer(organization_of(context), [convert.question_from_pb(request)])
        return convert.checked_to_pb(answered)

    @answers_async
    @current_async(lacks=convert.is_any_denied)
    async def BatchCheck(self, request: pb.BatchCheckRequest, context: Context) -> pb.BatchCheckResponse:
        """Answer several questions at one revision."""
        answered = await self._answer(organization_of(context), convert.questions_from_pb(request))
        return convert.batch_checked_to_pb(answered)

    async def _answer(self, organization: OrganizationId, questions: Sequence[Question]) -> Answered:
        """From memory on the server's loop, which must not wait; where the database has to be asked, in a thread."""
        answered = queries.recall(self.deps, organization, questions)
        if answered is not None:
            return answered
        ask = partial(queries.check, self.deps, organization, questions)
        return await asyncio.get_running_loop().run_in_executor(None, ask)

    @answers_async
    async def Consume(self, request: pb.ConsumeRequest, context: Context) -> pb.ConsumeResponse:
        """Count units at once, or refuse; a repeat gets the first answer and says so."""
        command = Consume(convert.counted_from_pb(request), request.request_id)
        return await self._decide(context, request, command, convert.consumed_to_pb, pb.ConsumeResponse.FromString)

    @answers_async
    async def Reserve(self, request: pb.ReserveRequest, context: Context) -> pb.ReserveResponse:
        """Hold units for work whose size is known only afterwards."""
        command = Reserve(convert.counted_from_pb(request), convert.lifetime_from_pb(request))
        return await self._decide(context, request, command, convert.reserved_to_pb, pb.ReserveResponse.FromString)

    @answers_async
    async def Commit(self, request: pb.CommitRequest, context: Context) -> pb.CommitResponse:
        """Turn a hold into what was really used."""
        command = Commit(convert.hold_id_from_pb(request), convert.used_units_from_pb(request), request.request_id)
        return await self._count(context, request, command, convert.committed_to_pb, pb.CommitResponse.FromString)

    @answers_async
    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Give a hold back."""
        command = Release(convert.hold_id_from_pb(request))
        return await self._count(context, request, command, convert.released_to_pb, pb.ReleaseResponse.FromString)

    async def _decide(
        self,
        context: Context,
        request: idempotency.Request,
        command: Command,
        pack: Callable[[Counted], A],
        unpack: Callable[[bytes], A],
    ) -> A:
        """Count or refuse; a refusal is kept only once the service has heard what the organization has changed."""
        organization = organization_of(context)
        await hear_before(self.freshness, context)
        answer: A | None = await self._counting.submit(organization, request, command, pack, unpack, is_final=False)
        if answer is None:
            await hear_newest(self.freshness, context)
            answer = await self._count(context, request, command, pack, unpack)
        return answer

    async def _count(
        self,
        context: Context,
        request: idempotency.Request,
        command: Command,
        pack: Callable[[Counted], A],
        unpack: Callable[[bytes], A],
    ) -> A:
        """Count together with others that wait, and answer after the commit."""
        answer: A = await self._counting.submit(organization_of(context), request, command, pack, unpack)
        return answer

    @streams_in_threads
    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchResponse]:
        """Send a snapshot and then every change; a watch can be resumed by revision."""
        customers = convert.watched_from_pb(request)
        steps = self._watches.follow(
            organization_of(context), customers, request.after_revision, lambda: not context.done()
        )
        for change, is_snapshot in steps:
            yield convert.change_to_pb(change, is_snapshot=is_snapshot)
