"""UsageService."""

from __future__ import annotations

from farebox.rating.v1 import usage_service_pb2 as pb
from farebox.rating.v1 import usage_service_pb2_grpc as grpc_pb
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.rating.deps import Deps
from services.rating.invoicing.convert.priced_usage import simulated_plan_from_pb, summary_to_pb, whose_from_pb
from services.rating.invoicing.queries import priced_usage
from services.rating.invoicing.queries.simulation import simulate_plan


class UsageServicer(grpc_pb.UsageServiceServicer):
    """Usage, and what it costs."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @answers
    def GetCurrentUsage(self, request: pb.GetCurrentUsageRequest, context: Context) -> pb.GetCurrentUsageResponse:
        """Usage of the running period, priced as if it ended now."""
        organization, whose = organization_of(context), whose_from_pb(request)
        usage = priced_usage.current_usage(self.deps, organization, whose, without_taxes=request.without_taxes)
        return pb.GetCurrentUsageResponse(usage=summary_to_pb(usage))

    @answers
    def ListPastUsage(self, request: pb.ListPastUsageRequest, context: Context) -> pb.ListPastUsageResponse:
        """Usage of closed periods, newest first."""
        past = priced_usage.past_usage(
            self.deps, organization_of(context), whose_from_pb(request), request.period_count
        )
        return pb.ListPastUsageResponse(usage=[summary_to_pb(summary) for summary in past])

    @answers
    def GetProjectedUsage(self, request: pb.GetProjectedUsageRequest, context: Context) -> pb.GetProjectedUsageResponse:
        """Usage of the running period, as it is and as it will be."""
        organization, whose = organization_of(context), whose_from_pb(request)
        now, then = priced_usage.projected_usage(self.deps, organization, whose, without_taxes=request.without_taxes)
        return pb.GetProjectedUsageResponse(usage=summary_to_pb(now), projected=summary_to_pb(then))

    @answers
    def SimulatePlan(self, request: pb.SimulatePlanRequest, context: Context) -> pb.SimulatePlanResponse:
        """Price a plan with real past usage."""
        plan = simulated_plan_from_pb(request)
        found = simulate_plan(self.deps, organization_of(context), whose_from_pb(request), plan, request.period_count)
        return pb.SimulatePlanResponse(
            simulated=[summary_to_pb(summary) for summary in found.simulated],
            actual=[summary_to_pb(summary) for summary in found.actual],
        )
