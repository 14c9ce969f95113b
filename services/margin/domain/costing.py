"""Costing: usage in, explained cost lines out. The amount of a line without a price is None, never 0.

A request is the unit of costing: its tier follows from all tokens that were sent in it. A usage event that names its
kinds of token is a request by itself; joining the cost events of one request comes with re-costing, and needs no
other function than `cost_of_request`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.kernel.money import ZERO, decimal_or_none
from services.margin.domain.cost_model import CostModel, PerModel, PerUnit, Rates
from services.margin.domain.price import MILLION, Prices
from services.margin.domain.token import TokenType, disjoint, input_tokens, token_type_named

# Names of the inclusive totals that LLM SDKs put on one event.
INPUT_TOTAL, OUTPUT_TOTAL = "input_tokens", "output_tokens"
CACHED_PART, WRITTEN_PART, REASONING_PART = "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"
_RECEIVED = frozenset({TokenType.OUTPUT, TokenType.REASONING})


@dataclass(frozen=True, slots=True)
class CostLine:
    """One costed part of a request, which a person can redo by hand.

    Attributes:
        provider, model: as the catalog names them; empty where nothing was said.
        token_type: kind of token; None for units that are not tokens, or of a kind nobody knows.
        units: tokens or units.
        unit_amount: cost of a million tokens, or of one unit; None where unpriced.
        amount: the cost in major units, exact; None where unpriced.
        currency: ISO 4217 code.
        price_id: the price or cost model that was applied; None where unpriced.
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
    prices: Prices, provider: str, model: str, tokens: Mapping[TokenType | None, Decimal], *, at: datetime
) -> list[CostLine]:
    """Price one request by provider prices, each kind of token on a line, the tier by all tokens that were sent."""
    sent = input_tokens(tokens)
    known = prices.book.name(provider, model)
    lines = []
    for kind, count in tokens.items():
        price = prices.find(provider, model, kind, at=at, input_tokens=sent) if kind else None
        lines.append(
            CostLine(
                known.provider,
                known.model,
                kind,
                count,
                price.amount_per_million if price else None,
                count * price.amount_per_million / MILLION if price else None,
                price.currency if price else "USD",
                price.id if price else None,
            )
        )
    return lines


def cost_of_usage(
    model: CostModel, prices: Prices, properties: Mapping[str, Any], units: Decimal, *, at: datetime
) -> list[CostLine]:
    """Cost one usage event by its metric's cost model.

    Args:
        model: the cost model that holds.
        prices: what the organization sees.
        properties: the event's JSON object; numbers are `Decimal`, `int` or text.
        units: what the event adds to its metric; used by a cost per unit.
        at: when it happened.
    """
    if isinstance(model.rule, PerUnit):
        amount = model.rule.unit_amount
        return [CostLine("", "", None, units, amount, units * amount, model.currency, model.id)]
    return _cost_per_model(model, model.rule, prices, properties, at)


def _cost_per_model(
    model: CostModel, rule: PerModel, prices: Prices, properties: Mapping[str, Any], at: datetime
) -> list[CostLine]:
    provider, name = _text(properties, rule.provider_property), _text(properties, rule.model_property)
    tokens = tokens_of(rule, properties)
    priced = cost_of_request(prices, provider, name, tokens, at=at)
    rates = rule.rates.get(name.lower()) or rule.rates.get(priced[0].model if priced else "")
    return [_by_rates(line, rates, model) for line in priced] if rates else priced


def _by_rates(line: CostLine, rates: Rates, model: CostModel) -> CostLine:
    """The line by the given rates; a kind of token they do not name keeps its provider price."""
    rate = rates.input_per_million if line.token_type is TokenType.INPUT else None
    if line.token_type in _RECEIVED:
        rate = rates.output_per_million
    if rate is None:
        return line
    amount = line.units * rate / MILLION
    return CostLine(line.provider, line.model, line.token_type, line.units, rate, amount, model.currency, model.id)


def tokens_of(rule: PerModel, properties: Mapping[str, Any]) -> dict[TokenType | None, Decimal]:
    """Tokens of an event by kind, disjoint: one kind that the event names, or the inclusive totals of a whole request.

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
    """A property as an exact number that is 0 or more; None where it is absent or not one."""
    value = properties.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    number = decimal_or_none(str(value))
    return number if number is not None and number >= 0 else None


def _text(properties: Mapping[str, Any], name: str) -> str:
    value = properties.get(name, "")
    return value if isinstance(value, str) else ""
