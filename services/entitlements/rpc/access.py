"""AccessService: check, consume, reserve, watch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from farebox.entitlements.v1 import access_service_pb2 as pb
from farebox.entitlements.v1 import access_service_pb2_grpc
from services.chassis.freshness import Freshness
from services.chassis.rpc.answers_async import answers_async, streams_in_threads
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import current_async
from services.chassis.rpc.command import command
from services.entitlements.commands import consumption
from services.entitlements.convert import access as convert
from services.entitlements.deps import Deps
from services.entitlements.domain.access import Question
from services.entitlements.memory.memory import Answered
from services.entitlements.queries import access as queries
from services.entitlements.queries.watch import Watches
from services.kernel.ids import OrganizationId


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """May this customer do this now?"""

    def __init__(self, deps: Deps, watches: Watches, freshness: Freshness) -> None:
        self.deps = deps
        self.freshness = freshness
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

    @command(
        pb.ConsumeRequest,
        pb.ConsumeResponse,
        reads=lambda request: (convert.counted_from_pb(request), request.request_id),
        lacks=convert.is_denied,
    )
    def Consume(
        self, tx: Connection, organization: OrganizationId, counted: tuple[Question, str]
    ) -> pb.ConsumeResponse:
        """Count units at once, or refuse; a repeat gets the first answer and says so."""
        access = consumption.consume(self.deps, tx, organization, *counted)
        return pb.ConsumeResponse(access=convert.access_to_pb(access))

    @command(
        pb.ReserveRequest,
        pb.ReserveResponse,
        reads=lambda request: (convert.counted_from_pb(request), convert.lifetime_from_pb(request)),
        lacks=convert.is_denied,
    )
    def Reserve(
        self, tx: Connection, organization: OrganizationId, counted: tuple[Question, timedelta]
    ) -> pb.ReserveResponse:
        """Hold units for work whose size is known only afterwards."""
        return convert.reserved_to_pb(consumption.reserve(self.deps, tx, organization, *counted))

    @command(
        pb.CommitRequest,
        pb.CommitResponse,
        reads=lambda request: (
            convert.hold_id_from_pb(request),
            convert.used_units_from_pb(request),
            request.request_id,
        ),
    )
    def Commit(self, tx: Connection, organization: OrganizationId, used: tuple[str, Decimal, str]) -> pb.CommitResponse:
        """Turn a hold into what was really used."""
        access = consumption.commit(self.deps, tx, organization, *used)
        return pb.CommitResponse(access=convert.access_to_pb(access))

    @command(pb.ReleaseRequest, pb.ReleaseResponse, reads=convert.hold_id_from_pb)
    def Release(self, tx: Connection, organization: OrganizationId, hold_id: str) -> pb.ReleaseResponse:
        """Give a hold back."""
        access = consumption.release(self.deps, tx, organization, hold_id)
        return pb.ReleaseResponse(access=convert.access_to_pb(access))

    @streams_in_threads
    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchResponse]:
        """Send a snapshot and then every change; a watch can be resumed by revision."""
        customers = convert.watched_from_pb(request)
        steps = self._watches.follow(
            organization_of(context), customers, request.after_revision, lambda: not context.done()
        )
        for change, is_snapshot in steps:
            yield convert.change_to_pb(change, is_snapshot=is_snapshot)
