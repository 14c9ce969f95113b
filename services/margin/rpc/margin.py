"""MarginService: revenue, cost and what is left."""

from __future__ import annotations

from farebox.margin.v1 import margin_service_pb2 as pb
from farebox.margin.v1 import margin_service_pb2_grpc as pb_grpc
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.margin.convert.margin import granularity_from_pb, group_by_from_pb, margin_to_pb, span_from_pb
from services.margin.deps import Deps
from services.margin.queries import margin as queries
from services.wire.values import page_from_pb, page_to_pb


class MarginServicer(pb_grpc.MarginServiceServicer):
    """Revenue, cost and margin."""

    def __init__(self, deps: Deps) -> None:
        self.deps = deps

    @answers
    def GetMarginSummary(self, request: pb.GetMarginSummaryRequest, context: Context) -> pb.GetMarginSummaryResponse:
        """The figures of the whole organization, or of one customer."""
        span, customer = span_from_pb(request.period), request.external_customer_id
        margins = queries.summary(self.deps, organization_of(context), span, customer)
        return pb.GetMarginSummaryResponse(margins=map(margin_to_pb, margins))

    @answers
    def ListMargins(self, request: pb.ListMarginsRequest, context: Context) -> pb.ListMarginsResponse:
        """The figures by customer, metric, plan, model or provider."""
        span, group_by = span_from_pb(request.period), group_by_from_pb(request.group_by)
        listed = queries.by_group(self.deps, organization_of(context), span, group_by, page_from_pb(request.page))
        return pb.ListMarginsResponse(margins=map(margin_to_pb, listed.items), page=page_to_pb(listed))

    @answers
    def GetMarginTrend(self, request: pb.GetMarginTrendRequest, context: Context) -> pb.GetMarginTrendResponse:
        """The figures by hour, day, week or month."""
        span, granularity = span_from_pb(request.period), granularity_from_pb(request.granularity)
        customer = request.external_customer_id
        points = queries.trend(self.deps, organization_of(context), span, granularity, customer)
        return pb.GetMarginTrendResponse(points=map(margin_to_pb, points))
