"""Costs: cost models, and cost events as Nozle's SDK sends them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from farebox.common.v1.decimal_pb2 import Decimal as DecimalMessage
from farebox.margin.v1 import cost_model_pb2
from farebox.margin.v1 import cost_model_service_pb2 as service
from farebox.margin.v1.cost_event_pb2 import CostEvent
from farebox.margin.v1.cost_model_pb2 import CostModel
from gateway.call import Call, Reply
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from gateway.problem import Problem, invalid, not_available
from services.kernel.money import CURRENCIES, plain

TOKEN_TYPES = {
    "input": cost_model_pb2.TOKEN_TYPE_INPUT,
    "cached_input": cost_model_pb2.TOKEN_TYPE_CACHED_INPUT,
    "cache_write": cost_model_pb2.TOKEN_TYPE_CACHE_WRITE,
    "cache_write_1h": cost_model_pb2.TOKEN_TYPE_CACHE_WRITE_1H,
    "output": cost_model_pb2.TOKEN_TYPE_OUTPUT,
    "reasoning": cost_model_pb2.TOKEN_TYPE_REASONING,
    "input_audio": cost_model_pb2.TOKEN_TYPE_INPUT_AUDIO,
    "output_audio": cost_model_pb2.TOKEN_TYPE_OUTPUT_AUDIO,
}
# Costs of providers are quoted in dollars unless a cost model says otherwise.
DEFAULT_CURRENCY = "USD"
_ROOT = "cost_model"
_PROPERTY_NAMES = ("provider_property", "model_property", "token_type_property", "tokens_property")


async def record(call: Call) -> Any:
    """`POST /cost-events`: record what was paid for; the same id again is recorded once."""
    event = read_cost_event(Reader(call.json()))
    request = service.RecordCostEventsRequest(cost_events=[event])
    (outcome,) = (await call.ask(call.clients.cost_models.RecordCostEvents, request)).outcomes
    if outcome == service.RecordCostEventsResponse.OUTCOME_CONFLICT:
        details = {"cost_event_id": ["value_already_exist"]}
        message = "the cost_event_id is used by an event with other content"
        raise Problem(409, "cost_event_id_reused", message, fields=details)
    word = service.RecordCostEventsResponse.Outcome.Name(outcome).removeprefix("OUTCOME_").lower()
    return Reply({"status": "accepted", "cost_event_id": event.cost_event_id, "outcome": word}, status=202)


async def create_model(call: Call) -> Any:
    """`POST /cost-models`: what the units of a metric cost from now on."""
    body = call.json()
    model = read_model(Reader(call.wrapped(_ROOT) if _ROOT in body else body))
    request = service.CreateCostModelRequest(request_id=call.mutation_id, cost_model=model)
    return {_ROOT: model_json((await call.ask(call.clients.cost_models.CreateCostModel, request)).cost_model)}


async def find_models(call: Call) -> Any:
    """`GET /cost-models`."""
    page = pages.read(call.query)
    answer = await call.ask(call.clients.cost_models.ListCostModels, service.ListCostModelsRequest(page=page))
    models = [model_json(model) for model in answer.cost_models]
    return {"cost_models": models, "meta": pages.meta(page, answer.page, len(models))}


async def delete_model(call: Call) -> Any:
    """`DELETE /cost-models/{id}`."""
    request = service.DeleteCostModelRequest(request_id=call.mutation_id, id=call.path["id"])
    return {_ROOT: model_json((await call.ask(call.clients.cost_models.DeleteCostModel, request)).cost_model)}


def read_cost_event(body: Reader) -> CostEvent:
    """A cost event for the wire.

    Raises:
        Problem: 422, a field is missing or cannot be read.
    """
    if not body.has("parent_transaction_id", "external_customer_id"):
        raise body.refusal("external_customer_id", "value_is_mandatory", "or parent_transaction_id must be given")
    properties = body.object("properties")
    return CostEvent(
        cost_event_id=body.required("cost_event_id"),
        cost_meter_code=body.required("cost_meter_code"),
        parent_transaction_id=body.text("parent_transaction_id"),
        external_customer_id=body.text("external_customer_id"),
        request_id=body.text("request_id"),
        operation_key=body.text("operation_key"),
        occurred_at=body.instant("timestamp"),
        provider=properties.text("provider"),
        model=properties.text("model"),
        token_type=properties.choice("type", TOKEN_TYPES, cost_model_pb2.TOKEN_TYPE_UNSPECIFIED),
        tokens=properties.integer("tokens"),
        amount=properties.decimal("amount"),
        currency=properties.text("currency"),
    )


def read_model(body: Reader) -> CostModel:
    """A cost model for the wire: `per_unit` by `amount_cents`, or `per_model` by `model_rates`.

    Raises:
        Problem: 422, a field cannot be read; tiers of cost are not offered.
    """
    if body.text("cost_type") == "tiered":
        raise not_available("cost_type")
    metric = body.text("metric_code") or body.text("billable_metric_code")
    code = body.text("currency", DEFAULT_CURRENCY)
    model = CostModel(
        name=body.text("name") or metric,
        metric_code=metric or body.required("metric_code"),
        currency=code,
        effective_from=body.instant("effective_from"),
    )
    cents = body.number("amount_cents")
    cents = body.number("cost_per_unit_cents") if cents is None else cents
    if cents is not None:
        model.per_unit.unit_amount.CopyFrom(_major(cents, code))
    else:
        model.per_model.CopyFrom(_read_rates(body, code))
    return model


def model_json(model: CostModel) -> dict[str, Any]:
    """A cost model, with its amounts in minor units as Nozle writes them."""
    body = {
        **write.ids(model.id),
        "id": model.id,
        "name": model.name,
        "metric_code": model.metric_code,
        "cost_type": model.WhichOneof("rule"),
        "currency": model.currency,
        "effective_from": write.instant(model, "effective_from"),
        "created_at": write.instant(model, "created_at"),
        "deleted_at": write.instant(model, "deleted_at"),
    }
    if model.HasField("per_unit"):
        return {**body, "amount_cents": _cents(model.per_unit.unit_amount, model.currency)}
    rates = {
        name: {
            "input": _cents(each.input_per_million, model.currency),
            "output": _cents(each.output_per_million, model.currency),
        }
        for name, each in sorted(model.per_model.rates.items())
    }
    return {**body, "model_rates": rates, **{name: getattr(model.per_model, name) or None for name in _PROPERTY_NAMES}}


def _read_rates(body: Reader, code: str) -> CostModel.PerModel:
    """Rates in minor units a million tokens; a model without rates is looked up in the providers' prices."""
    models = body.object("model_rates")
    rates = {}
    for name in models.names():
        given = models.object(name)
        rates[name] = CostModel.PerModel.Rates(
            input_per_million=_major(given.number("input") or Decimal(0), code),
            output_per_million=_major(given.number("output") or Decimal(0), code),
        )
    return CostModel.PerModel(rates=rates, **{name: body.text(name) for name in _PROPERTY_NAMES})


def _major(cents: Decimal, code: str) -> DecimalMessage:
    """Minor units, with decimals, as major units."""
    return DecimalMessage(value=plain(cents.scaleb(-_exponent(code))))


def _cents(amount: DecimalMessage, code: str) -> Any:
    """Major units as minor units, with decimals."""
    return write.json_number(write.exact(amount).scaleb(_exponent(code)))


def _exponent(code: str) -> int:
    known = CURRENCIES.get(code.upper())
    if known is None:
        raise invalid("currency", "value_is_invalid", "is not an ISO 4217 currency code")
    return known.exponent
