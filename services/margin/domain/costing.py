"""Costing: usage in, explained cost lines out. A line without a price has the amount None, never 0.

A request is the unit of costing: all tokens that were sent in it decide its tier. A usage event that names its kinds of
token is a request by itself; cost events that name the same request are joined in `cost_event.cost_of_events`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from services.kernel.money import ZERO, decimal_or_none
from services.margin.domain.cost_model import CostModel, PerModel, PerUnit, Rates
from services.margin.domain.limits import MAX_COST, MAX_NAME_BYTES, MAX_UNITS
from services.margin.domain.price import MILLION, ModelCall, Prices, service_tier_named
from services.margin.domain.token import TokenType, disjoint, input_tokens, token_type_named

# The names of the inclusive totals that LLM SDKs put on one event.
INPUT_TOTAL, OUTPUT_TOTAL = "input_tokens", "output_tokens"
CACHED_PART, WRITTEN_PART, REASONING_PART = "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"
# How senders say that a request was served as a batch, apart from naming the service tier.
PROCESSING, BATCH = "processing", "batch"
_WHOLE = int(MAX_UNITS)
_RECEIVED = frozenset({TokenType.OUTPUT, TokenType.REASONING})


class CostLine(NamedTuple):
    """One costed part of a request, which a person can recalculate by hand.

    Attributes:
        provider, model: as the catalog names them; empty if the sender named none.
        token_type: the kind of token; None for units that are not tokens or whose kind is unknown.
        units: tokens or units.
        unit_amount: the cost of a million tokens, or of one unit; None if unpriced.
        amount: the exact cost in major units; None if unpriced.
        currency: ISO 4217 code.
        price_id: the price or cost model that was applied; None if unpriced.
    """

    provider: str
    model: str
    token_type: TokenType | None
    units: Decimal
    unit_amount: Decimal | None
    amount: Decimal | None
    currency: str
    price_id: str | None


def cost_of_request(
    prices: Prices, call: ModelCall, tokens: Mapping[TokenType | None, Decimal], *, at: datetime
) -> list[CostLine]:
    """Price one request by provider prices: a line for each kind of token, the tier by all tokens that were sent."""
    sent = input_tokens(tokens)
    return [cost_of_tokens(prices, call, kind, count, at=at, sent=sent) for kind, count in tokens.items()]


def cost_of_tokens(
    prices: Prices, call: ModelCall, kind: TokenType | None, count: Decimal, *, at: datetime, sent: Decimal
) -> CostLine:
    """Price the tokens of one kind in a request in which `sent` tokens were sent."""
    price = prices.find(call, kind, at=at, input_tokens=sent) if kind else None
    known = prices.book.name(call.provider, call.model)
    amount = _cost(count * price.amount_per_million / MILLION) if price else None
    if price is None or amount is None:
        return CostLine(known.provider, known.model, kind, count, None, None, "USD", None)
    rate = price.amount_per_million
    return CostLine(known.provider, known.model, kind, count, rate, amount, price.currency, price.id)


def cost_of_usage(
    model: CostModel, prices: Prices, properties: Mapping[str, Any], units: Decimal | None, *, at: datetime
) -> list[CostLine]:
    """Cost one usage event by its metric's cost model.

    Args:
        model: the cost model that applies.
        prices: the prices that the organization sees.
        properties: the event's JSON object; numbers are `Decimal`, `int` or text.
        units: what the event adds to its metric, for a cost per unit; None if that is unknown.
        at: when the event occurred.
    """
    if isinstance(model.rule, PerModel):
        return _cost_per_model(model, model.rule, prices, properties, at)
    return [_cost_per_unit(model, model.rule, units)]


def _cost_per_unit(model: CostModel, rule: PerUnit, units: Decimal | None) -> CostLine:
    amount = None if units is None else _cost(units * rule.unit_amount)
    if units is None or amount is None:
        return CostLine("", "", None, units or ZERO, None, None, model.currency, None)
    return CostLine("", "", None, units, rule.unit_amount, amount, model.currency, model.id)


def _cost_per_model(
    model: CostModel, rule: PerModel, prices: Prices, properties: Mapping[str, Any], at: datetime
) -> list[CostLine]:
    call = call_of(rule, properties)
    priced = cost_of_request(prices, call, tokens_of(rule, properties), at=at)
    known = prices.book.name(call.provider, call.model)
    rates = rule.rates.get(call.model.strip().lower()) or rule.rates.get(known.model)
    # Rates do not apply to other service tiers, which cost half or double; for those the provider's price applies.
    return [_by_rates(line, rates, model) for line in priced] if rates and not call.service_tier else priced


def _by_rates(line: CostLine, rates: Rates, model: CostModel) -> CostLine:
    """The line priced by the given rates.

    If one of input and output has no rate, it is unpriced: an organization with prices of its own for a model does not
    pay list prices. A kind of token that rates cannot name (cached, audio) keeps its provider price.
    """
    if line.token_type is TokenType.INPUT:
        rate = rates.input_per_million
    elif line.token_type in _RECEIVED:
        rate = rates.output_per_million
    else:
        return line
    amount = None if rate is None else _cost(line.units * rate / MILLION)
    if amount is None:
        return CostLine(line.provider, line.model, line.token_type, line.units, None, None, model.currency, None)
    return CostLine(line.provider, line.model, line.token_type, line.units, rate, amount, model.currency, model.id)


def call_of(rule: PerModel, properties: Mapping[str, Any]) -> ModelCall:
    """The model that an event's properties name, and the service tier in which it was called."""
    tier = _text(properties, rule.service_tier_property)
    is_batch = _text(properties, PROCESSING).strip().lower() == BATCH or properties.get(BATCH) is True
    return ModelCall(
        _text(properties, rule.provider_property),
        _text(properties, rule.model_property),
        BATCH if is_batch else service_tier_named(tier),
    )


def tokens_of(rule: PerModel, properties: Mapping[str, Any]) -> dict[TokenType | None, Decimal]:
    """An event's tokens by kind, disjoint: from the one kind that it names, or from a request's inclusive totals.

    What cannot be understood becomes tokens of no kind: the ledger shows them, without a price.
    """
    count = number_of(properties, rule.tokens_property)
    if count is not None:
        return {token_type_named(_text(properties, rule.token_type_property)): count}
    totals = {name: number_of(properties, name) or ZERO for name in (INPUT_TOTAL, OUTPUT_TOTAL)}
    split = disjoint(
        input_total=totals[INPUT_TOTAL],
        output_total=totals[OUTPUT_TOTAL],
        cached_input=number_of(properties, CACHED_PART) or ZERO,
        cache_write=number_of(properties, WRITTEN_PART) or ZERO,
        reasoning=number_of(properties, REASONING_PART) or ZERO,
    )
    if split:
        return split
    return {None: sum(totals.values(), ZERO)}


def number_of(properties: Mapping[str, Any], name: str) -> Decimal | None:
    """A property as an exact number from 0 to `MAX_UNITS`; None if it is absent or not such a number."""
    number = signed_number_of(properties, name)
    return None if number is None or number < 0 else number


def signed_number_of(properties: Mapping[str, Any], name: str) -> Decimal | None:
    """A property as an exact number from -`MAX_UNITS` to `MAX_UNITS`; None if it is absent or not such a number."""
    value = properties.get(name)
    if type(value) is int and -_WHOLE <= value <= _WHOLE:
        # What nearly every event carries.
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    number = decimal_or_none(str(value))
    return number if number is not None and abs(number) <= MAX_UNITS else None


def _cost(amount: Decimal) -> Decimal | None:
    """The amount, or None if it is beyond `MAX_COST`: such a cost is a mistake, and would be part of every sum."""
    return amount if abs(amount) <= MAX_COST else None


def _text(properties: Mapping[str, Any], name: str) -> str:
    value = properties.get(name, "")
    return value if isinstance(value, str) and len(value.encode()) <= MAX_NAME_BYTES and "\0" not in value else ""
