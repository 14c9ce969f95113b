"""Prices, cost models, cost events and the ledger."""

from __future__ import annotations

from farebox.common.v1.page_pb2 import PageResponse
from farebox.margin.v1 import cost_model_service_pb2 as pb
from farebox.margin.v1 import cost_model_service_pb2_grpc as pb_grpc
from services.chassis.idempotency import answer_once
from services.chassis.page import write_token
from services.chassis.rpc.answers import answers
from services.chassis.rpc.calls import Context, organization_of
from services.margin.commands import cost_events, cost_models, prices
from services.margin.convert import costs as convert
from services.margin.convert.common import page_from_pb, time_from_pb
from services.margin.deps import Deps
from services.margin.queries import lists
from services.margin.store.ledger import EntryFilter


class CostModelService(pb_grpc.CostModelServiceServicer):
    """What units cost."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    @answers
    def GetProviderPrices(self, request: pb.GetProviderPricesRequest, context: Context) -> pb.GetProviderPricesResponse:
        """The prices that hold at an instant."""
        at = time_from_pb(request.at, field="at") if request.HasField("at") else None
        found = lists.provider_prices(self._deps, organization_of(context), request.provider, request.model, at)
        return pb.GetProviderPricesResponse(prices=map(convert.price_to_pb, found))

    @answers
    def SetProviderPrice(self, request: pb.SetProviderPriceRequest, context: Context) -> pb.SetProviderPriceResponse:
        """Add a price of the organization's own."""
        organization, price = organization_of(context), convert.price_from_pb(request.price)
        answer: pb.SetProviderPriceResponse = answer_once(
            self._deps.db,
            organization,
            request,
            pb.SetProviderPriceResponse,
            lambda tx: pb.SetProviderPriceResponse(
                price=convert.price_to_pb(prices.set_provider_price(self._deps, tx, organization, price))
            ),
        )
        return answer

    @answers
    def CreateCostModel(self, request: pb.CreateCostModelRequest, context: Context) -> pb.CreateCostModelResponse:
        """Make a cost model."""
        organization, model = organization_of(context), convert.cost_model_from_pb(request.cost_model)
        answer: pb.CreateCostModelResponse = answer_once(
            self._deps.db,
            organization,
            request,
            pb.CreateCostModelResponse,
            lambda tx: pb.CreateCostModelResponse(
                cost_model=convert.cost_model_to_pb(cost_models.create_cost_model(self._deps, tx, organization, model))
            ),
        )
        return answer

    @answers
    def ListCostModels(self, request: pb.ListCostModelsRequest, context: Context) -> pb.ListCostModelsResponse:
        """The cost models, newest first."""
        found, more = lists.list_cost_models(self._deps, organization_of(context), page_from_pb(request.page))
        page = PageResponse(next_page_token=write_token(found[-1].id) if more else "")
        return pb.ListCostModelsResponse(cost_models=map(convert.cost_model_to_pb, found), page=page)

    @answers
    def DeleteCostModel(self, request: pb.DeleteCostModelRequest, context: Context) -> pb.DeleteCostModelResponse:
        """Withdraw a cost model."""
        organization = organization_of(context)
        answer: pb.DeleteCostModelResponse = answer_once(
            self._deps.db,
            organization,
            request,
            pb.DeleteCostModelResponse,
            lambda tx: pb.DeleteCostModelResponse(
                cost_model=convert.cost_model_to_pb(
                    cost_models.delete_cost_model(self._deps, tx, organization, request.id)
                )
            ),
        )
        return answer

    @answers
    def RecordCostEvents(self, request: pb.RecordCostEventsRequest, context: Context) -> pb.RecordCostEventsResponse:
        """Record cost events, each once."""
        organization = organization_of(context)
        events = [
            convert.cost_event_from_pb(event, field=f"cost_events[{index}]")
            for index, event in enumerate(request.cost_events)
        ]
        with self._deps.db.transaction(organization) as tx:
            outcomes = cost_events.record_cost_events(self._deps, tx, organization, events)
        return pb.RecordCostEventsResponse(outcomes=map(convert.outcome_to_pb, outcomes))

    @answers
    def ListCostEntries(self, request: pb.ListCostEntriesRequest, context: Context) -> pb.ListCostEntriesResponse:
        """The cost ledger, newest first."""
        wanted = EntryFilter(request.external_customer_id, request.model, request.unpriced_only)
        page = page_from_pb(request.page)
        found, more = lists.list_cost_entries(self._deps, organization_of(context), wanted, page)
        answer = PageResponse(next_page_token=write_token(found[-1].id) if more else "")
        return pb.ListCostEntriesResponse(entries=map(convert.entry_to_pb, found), page=answer)
