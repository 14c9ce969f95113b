"""TestClockService."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from farebox.rating.v1 import test_clock_service_pb2 as pb
from farebox.rating.v1 import test_clock_service_pb2_grpc as grpc_pb
from services.chassis import idempotency
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import says_change
from services.chassis.rpc.command import command
from services.kernel.ids import OrganizationId
from services.rating.clock import commands, queries
from services.rating.clock.convert import advanced_to_pb
from services.rating.deps import Deps
from services.wire.values import instant_of, instant_to_pb


class TestClockServicer(grpc_pb.TestClockServiceServicer):
    """The clock of a test-mode organization."""

    __test__ = False  # not a test case, although pytest would take it for one by its name

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @says_change
    @command(pb.SetTestClockRequest, pb.SetTestClockResponse, reads=lambda request: instant_of(request, "now"))
    def SetTestClock(self, tx: Connection, organization: OrganizationId, now: datetime) -> pb.SetTestClockResponse:
        """Start the clock at any instant."""
        stands_at = commands.set_test_clock(self.deps, tx, organization, now)
        return pb.SetTestClockResponse(now=instant_to_pb(stands_at))

    @answers
    def AdvanceTestClock(self, request: pb.AdvanceTestClockRequest, context: Context) -> pb.AdvanceTestClockResponse:
        """Move the clock forward, in several transactions; a repeat joins the advance it repeats."""
        organization, to = organization_of(context), instant_of(request, "to")
        return idempotency.answer_alone(
            self.deps.db,
            organization,
            request,
            pb.AdvanceTestClockResponse,
            lambda: advanced_to_pb(commands.advance_test_clock(self.deps, organization, to)),
            lambda is_patient: commands.alone(self.deps, organization, is_patient=is_patient),
        )

    @answers
    def GetTestClock(self, request: pb.GetTestClockRequest, context: Context) -> pb.GetTestClockResponse:  # noqa: ARG002
        """Read the organization's present time."""
        found = queries.get_test_clock(self.deps, organization_of(context))
        return pb.GetTestClockResponse(now=instant_to_pb(found.now), test_clock=found.is_test_clock)
