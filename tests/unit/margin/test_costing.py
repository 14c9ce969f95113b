"""What a usage event costs by its metric's cost model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.kernel.errors import InvalidArgumentError
from services.margin.domain.cost_model import CostModel, PerModel, PerUnit, Rates, model_at, require_valid
from services.margin.domain.costing import CostLine, cost_of_usage, tokens_of
from services.margin.domain.price import CatalogName, PriceBook, Prices, ProviderPrice
from services.margin.domain.token import TokenType

AT = datetime(2026, 3, 1, tzinfo=UTC)


def book() -> PriceBook:
    rows = [
        ProviderPrice("in", "openai", "gpt-4o", TokenType.INPUT, Decimal("2.5"), "USD"),
        ProviderPrice("out", "openai", "gpt-4o", TokenType.OUTPUT, Decimal(10), "USD"),
        ProviderPrice("cache", "openai", "gpt-4o", TokenType.CACHED_INPUT, Decimal("1.25"), "USD"),
    ]
    return PriceBook(rows, lambda _, model: CatalogName("openai", "gpt-4o", "openai") if model == "gpt-4o" else None)


def model(rule: PerUnit | PerModel, identity: str = "m", **fields: Any) -> CostModel:
    return CostModel(identity, "", "tokens", rule, "EUR", created_at=AT, **fields)


def cost(rule: PerUnit | PerModel, properties: dict[str, Any], units: str = "1") -> list[CostLine]:
    return cost_of_usage(model(rule), Prices(book()), properties, Decimal(units), at=AT)


def test_a_cost_per_unit_is_exact() -> None:
    (line,) = cost(PerUnit(Decimal("0.00000015")), {}, "1234567")
    assert (line.amount, line.unit_amount, line.currency, line.price_id) == (
        Decimal("0.18518505"),
        Decimal("0.00000015"),
        "EUR",
        "m",
    )


def test_one_kind_of_token_is_priced_by_the_provider() -> None:
    (line,) = cost(PerModel(), {"model": "gpt-4o", "type": "output", "tokens": "500"})
    assert (line.provider, line.token_type, line.amount, line.price_id) == (
        "openai",
        TokenType.OUTPUT,
        Decimal("0.005"),
        "out",
    )


def test_inclusive_totals_are_split_and_cached_tokens_counted_once() -> None:
    lines = cost(
        PerModel(), {"model": "gpt-4o", "input_tokens": 17903, "cached_input_tokens": 17817, "output_tokens": 250}
    )
    assert sum(line.amount or 0 for line in lines) == Decimal("0.02498625")


def test_given_rates_win_and_what_they_do_not_name_keeps_its_price() -> None:
    rule = PerModel({"gpt-4o": Rates(Decimal(1), Decimal(2))})
    lines = cost(
        rule, {"model": "gpt-4o", "input_tokens": 3000000, "cached_input_tokens": 1000000, "output_tokens": 1000000}
    )
    assert {line.token_type: (line.amount, line.currency) for line in lines} == {
        TokenType.INPUT: (Decimal(2), "EUR"),
        TokenType.CACHED_INPUT: (Decimal("1.25"), "USD"),
        TokenType.OUTPUT: (Decimal(2), "EUR"),
    }


@pytest.mark.parametrize(
    "properties",
    [
        {"model": "nobody-knows", "type": "input", "tokens": 5},
        {"type": "input", "tokens": 5},
        {"model": "gpt-4o", "type": "smell", "tokens": 5},
        {"model": "gpt-4o", "type": "reasoning_audio", "tokens": 5},
        {"model": "gpt-4o", "input_tokens": 5, "cached_input_tokens": 9},
    ],
)
def test_what_has_no_price_is_unpriced_and_never_free(properties: dict[str, Any]) -> None:
    (line,) = cost(PerModel(), properties)
    assert (line.amount, line.unit_amount, line.price_id, line.units) == (None, None, None, Decimal(5))


def test_an_event_without_tokens_is_shown_and_unpriced() -> None:
    (line,) = cost(PerModel(), {"model": "gpt-4o"})
    assert (line.units, line.amount) == (Decimal(0), None)


def test_properties_may_have_other_names() -> None:
    rule = PerModel(model_property="llm", token_type_property="kind", tokens_property="n")
    assert tokens_of(rule, {"llm": "gpt-4o", "kind": "completion", "n": Decimal(7)}) == {TokenType.OUTPUT: Decimal(7)}


@pytest.mark.parametrize("value", [True, -1, "x", None, [], "1e999"])
def test_what_is_not_a_number_of_tokens_is_not_guessed(value: object) -> None:
    assert tokens_of(PerModel(), {"tokens": value}) == {None: Decimal(0)}


def test_the_latest_beginning_holds_then_the_last_made() -> None:
    plain = model(PerUnit(Decimal(1)), "a")
    newer = model(PerUnit(Decimal(2)), "b")
    dated = model(PerUnit(Decimal(3)), "c", effective_from=AT)
    gone = model(PerUnit(Decimal(4)), "d", effective_from=AT, deleted_at=AT)
    models = [dated, newer, plain, gone]
    assert model_at(models, AT - timedelta(seconds=1)) is newer
    assert model_at(models, AT) is dated
    assert model_at([gone], AT) is None


@pytest.mark.parametrize("rule", [PerUnit(Decimal(-1)), PerModel({"m": Rates(Decimal(-1))})])
def test_a_negative_cost_is_refused(rule: PerUnit | PerModel) -> None:
    with pytest.raises(InvalidArgumentError):
        require_valid(model(rule))


def test_a_rate_that_is_not_given_is_unknown_and_never_free() -> None:
    """With a rate for input alone, output is unpriced: neither free nor at the list's price."""
    rule = PerModel({"gpt-4o": Rates(input_per_million=Decimal(1)), "in-house": Rates(input_per_million=Decimal(1))})
    for name in ("gpt-4o", "in-house"):
        lines = cost(rule, {"model": name, "input_tokens": 1_000_000, "output_tokens": 1_000_000})
        assert {line.token_type: line.amount for line in lines} == {TokenType.INPUT: Decimal(1), TokenType.OUTPUT: None}


@pytest.mark.parametrize("given", [{"service_tier": "batch"}, {"processing": "batch"}, {"batch": True}])
def test_a_batch_is_told_in_three_ways(given: dict[str, Any]) -> None:
    """Rates of the standard tier are not those of another one; without a price of that tier it is unpriced."""
    rule = PerModel({"gpt-4o": Rates(Decimal(1), Decimal(2))})
    (line,) = cost(rule, {"model": "gpt-4o", "type": "input", "tokens": 5, **given})
    assert line.amount is None
    (standard,) = cost(rule, {"model": "gpt-4o", "type": "input", "tokens": 1_000_000, "batch": False})
    assert standard.amount == Decimal(1)


@pytest.mark.parametrize(
    ("rule", "properties", "units"),
    [
        (PerUnit(Decimal("1e15")), {}, "2"),
        (PerUnit(Decimal(1)), {}, "-1e16"),
        (PerModel({"m": Rates(Decimal("1e15"))}), {"model": "m", "type": "input", "tokens": "1e7"}, "1"),
    ],
)
def test_a_cost_that_cannot_be_is_unpriced(rule: PerUnit | PerModel, properties: dict[str, Any], units: str) -> None:
    """A quadrillion for one event is a mistake: it is shown without a price, and is in no sum."""
    (line,) = cost(rule, properties, units)
    assert (line.amount, line.price_id) == (None, None)


def test_a_name_that_is_no_name_names_nothing() -> None:
    """Names too long for an index, or that no database takes, leave a line without a model."""
    for name in ("m" * 201, "m\0", 7, None):
        (line,) = cost(PerModel(), {"model": name, "type": "input", "tokens": 5})
        assert (line.model, line.amount) == ("", None)
