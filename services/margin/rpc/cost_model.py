"""CostModelService: prices, cost models, cost events and the ledger."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.margin.v1 import cost_model_service_pb2 as pb
from farebox.margin.v1 import cost_model_service_pb2_grpc as pb_grpc
from services.chassis.freshness import Freshness
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.chassis.rpc.changes import current
from services.chassis.rpc.command import command
from services.kernel.ids import OrganizationId
from services.margin.commands import cost_event as cost_event_commands
from services.margin.commands import cost_model as cost_model_commands
from services.margin.commands import price as price_commands
from services.margin.convert import cost as convert
from services.margin.deps import Deps
from services.margin.domain.cost_model import CostModel
from services.margin.domain.price import ProviderPrice
from services.margin.queries import cost as queries
from services.margin.store.ledger import EntryFilter
from services.wire.values import instant_or_none_of, page_from_pb, page_to_pb


class CostModelServicer(pb_grpc.CostModelServiceServicer):
    """What units cost."""

    def __init__(self, deps: Deps, freshness: Freshness) -> None:
        self.deps = deps
        self.freshness = freshness

    @answers
    def GetProviderPrices(self, request: pb.GetProviderPricesRequest, context: Context) -> pb.GetProviderPricesResponse:
        """The prices that apply at an instant."""
        at = instant_or_none_of(request, "at")
        prices = queries.provider_prices(self.deps, organization_of(context), request.provider, request.model, at)
        return pb.GetProviderPricesResponse(prices=map(convert.price_to_pb, prices))

    @command(
        pb.SetProviderPriceRequest,
        pb.SetProviderPriceResponse,
        reads=lambda request: convert.price_from_pb(request.price),
    )
    def SetProviderPrice(
        self, tx: Connection, organization: OrganizationId, price: ProviderPrice
    ) -> pb.SetProviderPriceResponse:
        """Add a price of the organization's own."""
        added = price_commands.set_provider_price(self.deps, tx, organization, price)
        return pb.SetProviderPriceResponse(price=convert.price_to_pb(added))

    @command(
        pb.CreateCostModelRequest,
        pb.CreateCostModelResponse,
        reads=lambda request: convert.cost_model_from_pb(request.cost_model),
    )
    def CreateCostModel(
        self, tx: Connection, organization: OrganizationId, draft: CostModel
    ) -> pb.CreateCostModelResponse:
        """Make a cost model."""
        model = cost_model_commands.create_cost_model(self.deps, tx, organization, draft)
        return pb.CreateCostModelResponse(cost_model=convert.cost_model_to_pb(model))

    @answers
    def ListCostModels(self, request: pb.ListCostModelsRequest, context: Context) -> pb.ListCostModelsResponse:
        """The cost models, newest first."""
        listed = queries.list_cost_models(self.deps, organization_of(context), page_from_pb(request.page))
        return pb.ListCostModelsResponse(
            cost_models=map(convert.cost_model_to_pb, listed.items), page=page_to_pb(listed)
        )

    @command(pb.DeleteCostModelRequest, pb.DeleteCostModelResponse)
    def DeleteCostModel(
        self, tx: Connection, organization: OrganizationId, request: pb.DeleteCostModelRequest
    ) -> pb.DeleteCostModelResponse:
        """Withdraw a cost model."""
        withdrawn = cost_model_commands.delete_cost_model(self.deps, tx, organization, request.id)
        return pb.DeleteCostModelResponse(cost_model=convert.cost_model_to_pb(withdrawn))

    @answers
    @current()
    def RecordCostEvents(self, request: pb.RecordCostEventsRequest, context: Context) -> pb.RecordCostEventsResponse:
        """Record cost events, each once; they count for the subscriptions that their customers have by then."""
        organization, events = organization_of(context), convert.cost_events_from_pb(request)
        with self.deps.db.transaction(organization) as tx:
            outcomes = cost_event_commands.record_cost_events(self.deps, tx, organization, events)
        return pb.RecordCostEventsResponse(outcomes=map(convert.outcome_to_pb, outcomes))

    @answers
    def ListCostEntries(self, request: pb.ListCostEntriesRequest, context: Context) -> pb.ListCostEntriesResponse:
        """The cost ledger, newest first."""
        entry_filter = EntryFilter(request.external_customer_id, request.model, is_unpriced_only=request.unpriced_only)
        listed = queries.list_cost_entries(
            self.deps, organization_of(context), entry_filter, page_from_pb(request.page)
        )
        return pb.ListCostEntriesResponse(entries=map(convert.entry_to_pb, listed.items), page=page_to_pb(listed))
