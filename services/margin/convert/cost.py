"""Prices, cost models, cost events and ledger entries."""

from __future__ import annotations

from datetime import UTC, datetime

from farebox.margin.v1 import cost_event_pb2, cost_model_pb2, cost_model_service_pb2
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import currency
from services.margin.domain.cost_event import CostEvent, Outcome
from services.margin.domain.cost_model import CostModel, PerModel, PerUnit, Rates
from services.margin.domain.ledger import CostEntry
from services.margin.domain.price import ProviderPrice, service_tier_named
from services.margin.domain.token import TokenType
from services.wire.values import decimal_of, decimal_or_none_of, decimal_to_pb, instant_or_none_of, instant_to_pb

# The currency if a caller names none: providers bill in US dollars.
DEFAULT_CURRENCY = "USD"
_TOKEN_TYPES = {kind: getattr(cost_model_pb2, f"TOKEN_TYPE_{kind.name}") for kind in TokenType}
_KINDS = {number: kind for kind, number in _TOKEN_TYPES.items()} | {
    cost_model_pb2.TOKEN_TYPE_UNSPECIFIED: TokenType.INPUT
}
_OUTCOMES: dict[Outcome, cost_model_service_pb2.RecordCostEventsResponse.Outcome] = {
    outcome: getattr(cost_model_service_pb2.RecordCostEventsResponse, f"OUTCOME_{outcome.name}") for outcome in Outcome
}
_UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)


def currency_from_pb(code: str, *, field: str) -> str:
    """The currency's code in upper case; US dollars if none is given."""
    return currency(code or DEFAULT_CURRENCY, field=field).code


def token_type_from_pb(number: int, *, field: str) -> TokenType:
    """The kind of token, or an error that names the field."""
    if number not in _KINDS:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is not a kind of token")
    return _KINDS[number]


def price_from_pb(message: cost_model_pb2.ProviderPrice) -> ProviderPrice:
    """The price of a request; its id and source are ignored."""
    return ProviderPrice(
        "",
        message.provider.strip(),
        message.model.strip(),
        token_type_from_pb(message.token_type, field="price.token_type"),
        decimal_of(message, "amount_per_million", "price"),
        currency_from_pb(message.currency, field="price.currency"),
        instant_or_none_of(message, "effective_from", "price"),
        instant_or_none_of(message, "effective_to", "price"),
        message.above_input_tokens,
        service_tier=message.service_tier,
    )


def price_to_pb(price: ProviderPrice) -> cost_model_pb2.ProviderPrice:
    """A price as it is."""
    return cost_model_pb2.ProviderPrice(
        id=price.id,
        provider=price.provider,
        model=price.model,
        token_type=_TOKEN_TYPES[price.token_type],
        amount_per_million=decimal_to_pb(price.amount_per_million),
        currency=price.currency,
        effective_from=instant_to_pb(price.effective_from),
        effective_to=instant_to_pb(price.effective_to),
        source=price.source,
        above_input_tokens=price.above_input_tokens,
        service_tier=price.service_tier,
    )


def cost_model_from_pb(message: cost_model_pb2.CostModel) -> CostModel:
    """The cost model of a request; its id and times of creation are ignored."""
    return CostModel(
        "",
        message.name,
        message.metric_code,
        _rule_from_pb(message),
        currency_from_pb(message.currency, field="cost_model.currency"),
        _UNKNOWN_TIME,
        instant_or_none_of(message, "effective_from", "cost_model"),
    )


def _rule_from_pb(message: cost_model_pb2.CostModel) -> PerUnit | PerModel:
    if message.WhichOneof("rule") == "per_unit":
        return PerUnit(decimal_of(message.per_unit, "unit_amount", "cost_model.per_unit"))
    if message.WhichOneof("rule") != "per_model":
        raise InvalidArgumentError.of_field("cost_model.rule", "value_is_mandatory", "give per_unit or per_model")
    rule, default = message.per_model, PerModel()
    return PerModel(
        {name.strip().lower(): _rates_from_pb(name, rates) for name, rates in rule.rates.items()},
        rule.provider_property or default.provider_property,
        rule.model_property or default.model_property,
        rule.token_type_property or default.token_type_property,
        rule.tokens_property or default.tokens_property,
        rule.service_tier_property or default.service_tier_property,
    )


def _rates_from_pb(name: str, message: cost_model_pb2.CostModel.PerModel.Rates) -> Rates:
    field = f"cost_model.per_model.rates[{name}]"
    return Rates(
        decimal_or_none_of(message, "input_per_million", field),
        decimal_or_none_of(message, "output_per_million", field),
    )


def cost_model_to_pb(model: CostModel) -> cost_model_pb2.CostModel:
    """A cost model as it is."""
    message = cost_model_pb2.CostModel(
        id=model.id,
        name=model.name,
        metric_code=model.metric_code,
        currency=model.currency,
        effective_from=instant_to_pb(model.effective_from),
        created_at=instant_to_pb(model.created_at),
        deleted_at=instant_to_pb(model.deleted_at),
    )
    if isinstance(model.rule, PerUnit):
        message.per_unit.unit_amount.CopyFrom(decimal_to_pb(model.rule.unit_amount))
    else:
        message.per_model.CopyFrom(_per_model_to_pb(model.rule))
    return message


def _per_model_to_pb(rule: PerModel) -> cost_model_pb2.CostModel.PerModel:
    return cost_model_pb2.CostModel.PerModel(
        rates={
            name: cost_model_pb2.CostModel.PerModel.Rates(
                input_per_million=decimal_to_pb(rates.input_per_million),
                output_per_million=decimal_to_pb(rates.output_per_million),
            )
            for name, rates in rule.rates.items()
        },
        provider_property=rule.provider_property,
        model_property=rule.model_property,
        token_type_property=rule.token_type_property,
        tokens_property=rule.tokens_property,
        service_tier_property=rule.service_tier_property,
    )


def cost_event_from_pb(message: cost_event_pb2.CostEvent, *, field: str) -> CostEvent:
    """A cost event as it was sent; `field` is its place in the batch."""
    return CostEvent(
        message.cost_event_id,
        message.cost_meter_code,
        message.parent_transaction_id,
        message.external_customer_id,
        message.request_id,
        message.operation_key,
        instant_or_none_of(message, "occurred_at", field),
        message.provider,
        message.model,
        token_type_from_pb(message.token_type, field=f"{field}.token_type"),
        message.tokens,
        decimal_or_none_of(message, "amount", field),
        currency_from_pb(message.currency, field=f"{field}.currency"),
        service_tier_named(message.service_tier),
    )


def cost_events_from_pb(request: cost_model_service_pb2.RecordCostEventsRequest) -> list[CostEvent]:
    """A batch of cost events as it was sent; a refusal names the event's place."""
    return [cost_event_from_pb(event, field=f"cost_events[{place}]") for place, event in enumerate(request.cost_events)]


def outcome_to_pb(outcome: Outcome) -> cost_model_service_pb2.RecordCostEventsResponse.Outcome:
    """The outcome of an event."""
    return _OUTCOMES[outcome]


def entry_to_pb(entry: CostEntry) -> cost_event_pb2.CostEntry:
    """A row of the ledger; the units and the amount of a reversal are negative."""
    origin, line = entry.origin, entry.line
    states = cost_event_pb2.CostEntry
    return cost_event_pb2.CostEntry(
        id=entry.id,
        external_customer_id=origin.external_customer_id,
        code=origin.code,
        provider=line.provider,
        model=line.model,
        token_type=_TOKEN_TYPES[line.token_type] if line.token_type else cost_model_pb2.TOKEN_TYPE_UNSPECIFIED,
        units=decimal_to_pb(line.units),
        unit_amount=decimal_to_pb(line.unit_amount),
        amount=decimal_to_pb(line.amount),
        currency=line.currency,
        state=states.STATE_PRICED if entry.is_priced else states.STATE_UNPRICED,
        occurred_at=instant_to_pb(origin.occurred_at),
        source_id=origin.source_id,
        price_id=line.price_id or "",
    )
