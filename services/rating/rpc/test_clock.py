"""TestClockService."""

from __future__ import annotations

from farebox.rating.v1 import test_clock_service_pb2 as pb
from farebox.rating.v1 import test_clock_service_pb2_grpc as grpc_pb
from services.chassis import idempotency
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.rating.clock import commands, queries
from services.rating.rpc.base import RatingServicer
from services.wire.values import instant_of, instant_to_pb


class TestClockServicer(RatingServicer, grpc_pb.TestClockServiceServicer):
    """The clock of a test-mode organization."""

    __test__ = False  # not a test case, whatever pytest makes of its name

    @answers
    def SetTestClock(self, request: pb.SetTestClockRequest, context: Context) -> pb.SetTestClockResponse:
        """Start the clock at any instant."""
        now = instant_of(request, "now")
        return self.answer(
            request,
            context,
            pb.SetTestClockResponse,
            lambda tx, organization: pb.SetTestClockResponse(
                now=instant_to_pb(commands.set_test_clock(self.deps, tx, organization, now))
            ),
        )

    @answers
    def AdvanceTestClock(self, request: pb.AdvanceTestClockRequest, context: Context) -> pb.AdvanceTestClockResponse:
        """Move the clock forward. Several transactions: a request_id without an answer is one to go on with."""
        organization, to = organization_of(context), instant_of(request, "to")
        with self.deps.db.transaction(organization) as tx:
            known = idempotency.claim(tx, organization, request)
        if known:
            return pb.AdvanceTestClockResponse.FromString(known)
        advanced = commands.advance_test_clock(self.deps, organization, to)
        answer = pb.AdvanceTestClockResponse(
            now=instant_to_pb(advanced.now),
            closed_period_count=advanced.closed_periods,
            finalized_invoice_count=advanced.finalized_invoices,
            set_aside_count=advanced.set_aside,
        )
        with self.deps.db.transaction(organization) as tx:
            idempotency.keep(tx, organization, request, answer.SerializeToString())
        return answer

    @answers
    def GetTestClock(self, request: pb.GetTestClockRequest, context: Context) -> pb.GetTestClockResponse:  # noqa: ARG002
        """Read the organization's present time."""
        found = queries.get_test_clock(self.deps, organization_of(context))
        return pb.GetTestClockResponse(now=instant_to_pb(found.now), test_clock=found.is_test_clock)
