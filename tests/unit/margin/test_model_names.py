"""Each way in which senders write a model's name has the price of that model, or clearly none."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.margin.convert import price_catalog
from services.margin.domain.costing import cost_of_request
from services.margin.domain.price import ModelCall, PriceBook, Prices, ProviderPrice
from services.margin.domain.token import TokenType

_AT = datetime(2026, 1, 1, tzinfo=UTC)
_BEDROCK = "anthropic.claude-sonnet-4-20250514-v1:0"

# Provider and model as they are sent; the provider that is paid; the price of a million input tokens in dollars.
PRICED = [
    ("openai", "gpt-4o", "openai", "2.5"),
    ("openai", "gpt-4o-2024-11-20", "openai", "2.5"),
    ("openai", "openai/gpt-4o", "openai", "2.5"),
    ("", "gpt-4o", "openai", "2.5"),
    ("", "openai/gpt-4o", "openai", "2.5"),
    ("nobody", "gpt-4o", "openai", "2.5"),
    ("azure", "gpt-4o", "azure", "2.5"),
    ("", "azure/gpt-4o", "azure", "2.5"),
    ("bedrock", f"us.{_BEDROCK}", "aws", "3"),
    ("aws_bedrock", _BEDROCK, "aws", "3"),
    ("anthropic", f"us.{_BEDROCK}", "aws", "3"),
    ("google-vertex", "claude-sonnet-4@20250514", "google", "3"),
    ("vertex_ai", "claude-sonnet-4@20250514", "google", "3"),
    ("anthropic", "claude-sonnet-4@20250514", "anthropic", "3"),
    ("anthropic", "claude-sonnet-4-20250514", "anthropic", "3"),
    ("openrouter", "openai/gpt-4o", "openrouter", "2.5"),
    # Usage of a fine-tuned model costs more than that of its base model.
    ("openai", "ft:gpt-4o-2024-08-06:org::id", "openai", "3.75"),
]
# Variants whose price the catalog does not have; the price of the plain model would be a guess.
UNPRICED = [
    ("openrouter", "openai/gpt-4o:free"),
    ("openrouter", "deepseek/deepseek-r1:free"),
    ("openai", "gpt-4o:free"),
    ("openai", "ft:gpt-4o:org::id"),
    ("openai", "gpt-99"),
    ("ollama", "ollama/gpt-99"),
]


@pytest.fixture(scope="module")
def prices() -> Prices:
    book: PriceBook = price_catalog.book()
    return Prices(book)


@pytest.mark.parametrize(("provider", "model", "seller", "price"), PRICED)
def test_a_known_form_has_the_price_of_its_seller(
    prices: Prices, provider: str, model: str, seller: str, price: str
) -> None:
    """Prefixes, dates and regions around a name change neither the model nor its price, only who is paid."""
    (line,) = cost_of_request(prices, ModelCall(provider, model), {TokenType.INPUT: Decimal(1_000_000)}, at=_AT)
    assert (line.provider, line.amount) == (seller, Decimal(price))


@pytest.mark.parametrize(("provider", "model"), UNPRICED)
def test_an_unknown_variant_is_unpriced_under_its_own_name(prices: Prices, provider: str, model: str) -> None:
    """A variant without a price has no amount (not 0, not the plain model's) and keeps the name that was sent."""
    (line,) = cost_of_request(prices, ModelCall(provider, model), {TokenType.INPUT: Decimal(1_000_000)}, at=_AT)
    assert (line.model, line.unit_amount, line.amount) == (model, None, None)


@pytest.mark.parametrize(("provider", "model"), UNPRICED)
def test_an_own_price_ends_that_a_variant_is_unpriced(prices: Prices, provider: str, model: str) -> None:
    """An organization prices an unlisted variant by the very name that it sends."""
    own = ProviderPrice("1", provider, model, TokenType.INPUT, Decimal(7), "USD")
    call = ModelCall(provider, model)
    (line,) = cost_of_request(Prices(prices.book, [own]), call, {TokenType.INPUT: Decimal(1_000_000)}, at=_AT)
    assert (line.model, line.amount) == (model, Decimal(7))
