"""Costs: cost models, with amounts in minor units with decimals, and cost events as Nozle's SDK sends them."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.common.v1.decimal_pb2 import Decimal as DecimalMessage
from farebox.margin.v1 import cost_model_pb2
from farebox.margin.v1 import cost_model_service_pb2 as rpc
from farebox.margin.v1.cost_event_pb2 import CostEvent as CostEventMessage
from farebox.margin.v1.cost_model_pb2 import CostModel as CostModelMessage
from gateway.dialects.lago.common import Identified, Name
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ById, Listed, Nothing, Request, operation
from gateway.problem import Problem, invalid
from gateway.projection import callers_names, exact, json_number, patch, project
from gateway.schema import Code, CurrencyCode, DecimalInput, ExactNumber, Instant, InstantInput, Words, keys, of
from services.kernel.money import CURRENCIES, Currency, plain

TOKEN_TYPE = Words(cost_model_pb2.TokenType, "TOKEN_TYPE_")
OUTCOME = Words(rpc.RecordCostEventsResponse.Outcome, "OUTCOME_")
V = TypeVar("V")
# Providers quote costs in dollars unless a cost model says otherwise.
DEFAULT_CURRENCY = "USD"
# More than any provider has; models that are not named are looked up in the providers' prices.
MAX_MODELS = 1000
_PROPERTIES = (
    *("provider_property", "model_property", "token_type_property", "tokens_property"),
    "service_tier_property",
)

_TIER = "How the request was served: `batch`, `flex`, `priority`. `processing: batch` says the same of a batch."
ServiceTier = Annotated[str, Meta(max_length=200, description=_TIER)]
MinorAmount = Annotated[ExactNumber, Meta(description="Minor units, with decimals: 0.25 is a quarter of a cent.")]


class CostEventProperties(Struct, kw_only=True):
    """What was bought: tokens of a model, or anything else by its `amount` in major units."""

    provider: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    model: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET
    type: Annotated[str, TOKEN_TYPE.meta, of("token_type")] | UnsetType = UNSET
    tokens: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    amount: DecimalInput | UnsetType = UNSET
    currency: CurrencyCode | UnsetType = UNSET
    service_tier: ServiceTier | UnsetType = UNSET
    processing: Literal["batch"] | UnsetType = UNSET


class CostEventBody(Struct, kw_only=True):
    """A cost; it names the usage event for which it was needed, the customer, or both."""

    cost_event_id: Code
    cost_meter_code: Code
    parent_transaction_id: Code | UnsetType = UNSET
    external_customer_id: Code | UnsetType = UNSET
    request_id: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    operation_key: Annotated[str, Meta(max_length=255)] | UnsetType = UNSET
    timestamp: Annotated[InstantInput, of("occurred_at")] | UnsetType = UNSET
    properties: CostEventProperties


class RecordedCost(Struct, kw_only=True):
    """The outcome of a cost event."""

    status: Literal["accepted"] = "accepted"
    cost_event_id: str
    outcome: Annotated[str, OUTCOME.told] | None


class NewRates(Struct, kw_only=True):
    """The cost of a million tokens of a model, in minor units with decimals; a kind that is not named has no price."""

    input: DecimalInput | UnsetType = UNSET
    output: DecimalInput | UnsetType = UNSET


class NewCostModel(Struct, kw_only=True):
    """The cost of a metric's units: the same for each unit, or by the model that was used."""

    NOT_OFFERED: ClassVar = keys("tier_mode tiers model")

    name: Name | UnsetType = UNSET
    metric_code: Code | UnsetType = UNSET
    billable_metric_code: Code | UnsetType = UNSET
    cost_type: Literal["per_unit", "per_model"] | UnsetType = UNSET
    currency: CurrencyCode = DEFAULT_CURRENCY
    effective_from: InstantInput | UnsetType = UNSET
    amount_cents: DecimalInput | UnsetType = UNSET
    cost_per_unit_cents: DecimalInput | UnsetType = UNSET
    model_rates: dict[str, NewRates] | UnsetType = UNSET
    provider_property: Code | UnsetType = UNSET
    model_property: Code | UnsetType = UNSET
    token_type_property: Code | UnsetType = UNSET
    tokens_property: Code | UnsetType = UNSET
    service_tier_property: Code | UnsetType = UNSET


class Rates(Struct, kw_only=True):
    """The cost of a million tokens of a model; null for a kind without a price."""

    input: MinorAmount | None
    output: MinorAmount | None


class CostModel(Identified, kw_only=True):
    """The cost of a metric's units."""

    id: str
    name: str
    metric_code: str
    cost_type: Literal["per_unit", "per_model"]
    currency: str
    effective_from: Instant | None
    created_at: Instant | None
    deleted_at: Instant | None
    amount_cents: MinorAmount | UnsetType = UNSET
    model_rates: dict[str, Rates] | UnsetType = UNSET
    provider_property: str | UnsetType | None = UNSET
    model_property: str | UnsetType | None = UNSET
    token_type_property: str | UnsetType | None = UNSET
    tokens_property: str | UnsetType | None = UNSET
    service_tier_property: str | UnsetType | None = UNSET


async def record(request: Request[Nothing, Nothing, CostEventBody]) -> RecordedCost:
    """Record a cost.

    The same id again is recorded once; with other content it is refused.
    """
    event = cost_event_from_api(request.body)
    call, asked = request.call, rpc.RecordCostEventsRequest(cost_events=[event])
    (outcome,) = (await call.ask(call.clients.cost_models.RecordCostEvents, asked)).outcomes
    if outcome == rpc.RecordCostEventsResponse.OUTCOME_CONFLICT:
        message = "the cost_event_id is used by an event with other content"
        raise Problem(409, "cost_event_id_reused", message, fields={"cost_event_id": ["value_already_exist"]})
    return RecordedCost(cost_event_id=event.cost_event_id, outcome=OUTCOME.word(outcome))


async def create(request: Request[Nothing, Nothing, NewCostModel]) -> CostModel:
    """Define what the units of a metric cost from now on."""
    call, model = request.call, cost_model_from_api(request.body)
    asked = rpc.CreateCostModelRequest(request_id=call.mutation_id, cost_model=model)
    return cost_model_to_api((await call.ask(call.clients.cost_models.CreateCostModel, asked)).cost_model)


async def find_all(request: Request[Nothing, PageQuery, Nothing]) -> Listed[CostModel]:
    """List cost models."""
    return await listed(request.call, rpc.ListCostModelsRequest, request.query, cost_model_to_api)


async def delete(request: Request[ById, Nothing, Nothing]) -> CostModel:
    """Withdraw a cost model; what was costed keeps its cost."""
    call, asked = request.call, rpc.DeleteCostModelRequest(request_id=request.call.mutation_id, id=request.path.id)
    return cost_model_to_api((await call.ask(call.clients.cost_models.DeleteCostModel, asked)).cost_model)


def cost_event_from_api(body: CostEventBody) -> CostEventMessage:
    """A cost event for the wire.

    Raises:
        Problem: 422, it names neither customer nor usage event.
    """
    if body.parent_transaction_id is UNSET and body.external_customer_id is UNSET:
        raise invalid("external_customer_id", "value_is_mandatory", "or parent_transaction_id must be given")
    event, _ = patch(CostEventMessage(), body, skip=("properties",))
    patch(event, body.properties, skip=("processing",))
    if body.properties.processing is not UNSET:
        event.service_tier = body.properties.processing
    return event


def cost_model_from_api(body: NewCostModel) -> CostModelMessage:
    """A cost model for the wire: `per_unit` by an amount, or `per_model` by rates.

    Raises:
        Problem: 422, it names no metric or two, or amounts that do not suit its type.
    """
    currency = _currency(body.currency)
    metric = _one_of(body.metric_code, body.billable_metric_code, ("metric_code", "billable_metric_code"))
    if metric is UNSET:
        raise invalid("metric_code", "value_is_mandatory", "is missing")
    cents = _one_of(body.amount_cents, body.cost_per_unit_cents, ("amount_cents", "cost_per_unit_cents"))
    has_rates = body.model_rates is not UNSET
    wanted = body.cost_type or ("per_model" if cents is UNSET else "per_unit")
    if (wanted == "per_unit") is (cents is UNSET):
        raise invalid("amount_cents", "value_is_invalid", "belongs to cost_type per_unit, which needs it")
    if wanted == "per_unit" and has_rates:
        raise invalid("model_rates", "value_is_invalid", "belong to cost_type per_model")
    model, _ = patch(CostModelMessage(metric_code=metric), body, skip=_OF_THE_RULE)
    model.name, model.currency = model.name or metric, body.currency.upper()
    if cents is not UNSET:
        model.per_unit.unit_amount.CopyFrom(_major(cents, currency))
    else:
        model.per_model.CopyFrom(_rates_from_api(body, currency))
    return model


# The fields that `cost_model_from_api` reads by hand.
_OF_THE_RULE = (
    *("metric_code", "billable_metric_code", "cost_type", "amount_cents", "cost_per_unit_cents", "model_rates"),
    *_PROPERTIES,
)


def _one_of(first: V | UnsetType, second: V | UnsetType, names: tuple[str, str]) -> V | UnsetType:
    """The value under one of two names; two different values are refused."""
    if UNSET not in (first, second) and first != second:
        raise invalid(names[1], "value_is_invalid", f"is another than {names[0]}")
    return second if first is UNSET else first


def _rates_from_api(body: NewCostModel, currency: Currency) -> CostModelMessage.PerModel:
    """Rates in minor units for a million tokens; a model without rates is looked up in the providers' prices."""
    rule = CostModelMessage.PerModel()
    rates = {} if body.model_rates is UNSET else body.model_rates
    if len(rates) > MAX_MODELS:
        raise invalid("model_rates", "value_is_too_long", f"has more than {MAX_MODELS} models")
    for name, given in rates.items():
        if given.input is not UNSET:
            rule.rates[name].input_per_million.CopyFrom(_major(given.input, currency))
        if given.output is not UNSET:
            rule.rates[name].output_per_million.CopyFrom(_major(given.output, currency))
    for name in _PROPERTIES:
        value = getattr(body, name)
        if value is not UNSET:
            setattr(rule, name, value)
    return rule


def cost_model_to_api(model: CostModelMessage) -> CostModel:
    """A cost model with its amounts in minor units, as Nozle writes them."""
    currency = _currency(model.currency)
    if model.WhichOneof("rule") == "per_unit":
        amount = json_number(exact(model.per_unit.unit_amount).scaleb(currency.exponent))
        return project(CostModel, model, cost_type="per_unit", amount_cents=amount)
    rates = {name: _rates_to_api(given, currency) for name, given in sorted(model.per_model.rates.items())}
    properties = {name: getattr(model.per_model, name) or None for name in _PROPERTIES}
    return project(CostModel, model, cost_type="per_model", model_rates=rates, **properties)


def _rates_to_api(rates: CostModelMessage.PerModel.Rates, currency: Currency) -> Rates:
    def cents(name: str) -> object:
        return json_number(exact(getattr(rates, name)).scaleb(currency.exponent)) if rates.HasField(name) else None

    return project(Rates, rates, input=cents("input_per_million"), output=cents("output_per_million"))


def _major(cents: Decimal, currency: Currency) -> DecimalMessage:
    """Minor units, with decimals, as major units."""
    return DecimalMessage(value=plain(cents.scaleb(-currency.exponent)))


def _currency(code: str) -> Currency:
    known = CURRENCIES.get(code.upper())
    if known is None:
        raise invalid("currency", "value_is_invalid", "is not an ISO 4217 currency code")
    return known


_EVENT_NAMES = {
    **callers_names(CostEventBody, CostEventMessage, "cost_events[]."),
    **{
        f"cost_events[].{inner}": f"properties.{outer}"
        for inner, outer in callers_names(CostEventProperties, CostEventMessage).items()
    },
}
_MODEL_NAMES = {
    **callers_names(NewCostModel, CostModelMessage, "cost_model."),
    "cost_model.per_unit.unit_amount": "amount_cents",
    "cost_model.per_model.rates": "model_rates",
    **{f"cost_model.per_model.{name}": name for name in _PROPERTIES},
}
OPERATIONS = (
    operation("POST", "/cost-events", record, status=202, names=_EVENT_NAMES, is_event=True),
    operation("POST", "/cost-models", create, root="cost_model", is_root_optional=True, names=_MODEL_NAMES),
    operation("GET", "/cost-models", find_all, answer_root="cost_models"),
    operation("DELETE", "/cost-models/{id}", delete, answer_root="cost_model"),
)
