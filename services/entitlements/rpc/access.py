"""AccessService: check, consume, reserve, watch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import Connection

from farebox.entitlements.v1 import access_service_pb2 as pb
from farebox.entitlements.v1 import access_service_pb2_grpc
from services.chassis import idempotency
from services.chassis.rpc.answers import answers, streams
from services.chassis.rpc.calls import Context, organization_of
from services.entitlements import queries
from services.entitlements.commands import consumption
from services.entitlements.convert import access as convert
from services.entitlements.convert.common import instant_to_pb
from services.entitlements.deps import Deps
from services.entitlements.rpc.once import once
from services.entitlements.rpc.watch import Watches
from services.kernel.ids import OrganizationId


class AccessServicer(access_service_pb2_grpc.AccessServiceServicer):
    """May this customer do this now?"""

    def __init__(self, deps: Deps, watches: Watches) -> None:
        self._deps = deps
        self._watches = watches

    @answers
    def Check(self, request: pb.CheckRequest, context: Context) -> pb.CheckResponse:
        """Answer one question; never changes anything."""
        found = queries.check(self._deps, organization_of(context), [convert.question_from_pb(request)])
        return pb.CheckResponse(access=convert.access_to_pb(found[0]))

    @answers
    def BatchCheck(self, request: pb.BatchCheckRequest, context: Context) -> pb.BatchCheckResponse:
        """Answer several questions at one revision."""
        found = queries.check(self._deps, organization_of(context), convert.questions_from_pb(request))
        return pb.BatchCheckResponse(answers=[convert.access_to_pb(one) for one in found])

    @answers
    def Consume(self, request: pb.ConsumeRequest, context: Context) -> pb.ConsumeResponse:
        """Count units at once, or refuse; a repeat gets the first answer and says so."""
        question, owner = convert.counted_from_pb(request), organization_of(context)
        with self._deps.db.transaction(owner) as tx:
            known = idempotency.claim(tx, owner, request)
            if known is not None:
                return pb.ConsumeResponse(access=pb.ConsumeResponse.FromString(known).access, replayed=True)
            access = consumption.consume(self._deps, tx, owner, question, request.request_id)
            answer = pb.ConsumeResponse(access=convert.access_to_pb(access))
            idempotency.keep(tx, owner, request, answer.SerializeToString())
        return answer

    @answers
    def Reserve(self, request: pb.ReserveRequest, context: Context) -> pb.ReserveResponse:
        """Hold units for work whose size is known only afterwards."""
        question, lifetime = convert.counted_from_pb(request), convert.lifetime_from_pb(request)

        def work(tx: Connection, owner: OrganizationId) -> pb.ReserveResponse:
            reserved = consumption.reserve(self._deps, tx, owner, question, lifetime)
            return pb.ReserveResponse(
                access=convert.access_to_pb(reserved.access),
                reservation_id=reserved.hold.id if reserved.hold else "",
                expires_at=instant_to_pb(reserved.hold.expires_at if reserved.hold else None),
            )

        return once(self._deps, request, context, pb.ReserveResponse, work)

    @answers
    def Commit(self, request: pb.CommitRequest, context: Context) -> pb.CommitResponse:
        """Turn a hold into what was really used."""
        hold_id, units = convert.hold_id_from_pb(request), convert.used_units_from_pb(request)

        def work(tx: Connection, owner: OrganizationId) -> pb.CommitResponse:
            access = consumption.commit(self._deps, tx, owner, hold_id, units, request.request_id)
            return pb.CommitResponse(access=convert.access_to_pb(access))

        return once(self._deps, request, context, pb.CommitResponse, work)

    @answers
    def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Give a hold back."""
        hold_id = convert.hold_id_from_pb(request)

        def work(tx: Connection, owner: OrganizationId) -> pb.ReleaseResponse:
            access = consumption.release(self._deps, tx, owner, hold_id)
            return pb.ReleaseResponse(access=convert.access_to_pb(access))

        return once(self._deps, request, context, pb.ReleaseResponse, work)

    @streams
    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchResponse]:
        """Push a snapshot and then every change; resumable by revision."""
        customers = convert.watched_from_pb(request)
        steps = self._watches.follow(organization_of(context), customers, request.after_revision, context.is_active)
        for change, is_snapshot in steps:
            yield convert.change_to_pb(change, snapshot=is_snapshot)
