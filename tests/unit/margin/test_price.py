"""Which of several dated prices holds."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

import pytest
from genai_prices import Usage
from genai_prices.data import providers

from services.margin.convert import model_name, price_catalog
from services.margin.domain.costing import cost_of_request
from services.margin.domain.price import (
    CatalogName,
    DailyWindow,
    ModelCall,
    PriceBook,
    Prices,
    ProviderPrice,
    service_tier_named,
)
from services.margin.domain.token import TokenType

CHANGE = datetime(2026, 6, 1, tzinfo=UTC)
BEDROCK_SONNET = "regional.anthropic.claude-3-5-sonnet-20240620-v1:0"
AFTER, BEFORE = CHANGE + timedelta(hours=12), CHANGE - timedelta(hours=12)


def price(amount: str, *, identity: str = "p", **fields: object) -> ProviderPrice:
    defaults: dict[str, object] = {"provider": "acme", "model": "m", "token_type": TokenType.INPUT}
    return ProviderPrice(identity, amount_per_million=Decimal(amount), currency="USD", **{**defaults, **fields})  # type: ignore[arg-type]


def resolve(provider: str, model: str) -> CatalogName | None:
    return CatalogName("acme", "m", "acme") if model in {"m", "m-latest"} else None


def amount(
    prices: Prices,
    *,
    at: datetime = AFTER,
    sent: int = 1,
    kind: TokenType = TokenType.INPUT,
    model: str = "m",
    tier: str = "",
) -> str | None:
    found = prices.find(ModelCall("acme", model, tier), kind, at=at, input_tokens=Decimal(sent))
    return str(found.amount_per_million) if found else None


def test_a_price_holds_from_its_first_instant_until_the_next_ones() -> None:
    prices = Prices(PriceBook([price("10", effective_to=CHANGE), price("2", effective_from=CHANGE)], resolve))
    instant = timedelta(microseconds=1)
    assert [amount(prices, at=at) for at in (BEFORE, CHANGE - instant, CHANGE, AFTER)] == ["10", "10", "2", "2"]


def test_a_tier_holds_strictly_above_its_tokens() -> None:
    prices = Prices(PriceBook([price("1"), price("3", above_input_tokens=200_000)], resolve))
    assert [amount(prices, sent=sent) for sent in (200_000, 200_001)] == ["1", "3"]


def test_a_window_of_the_day_wins_and_may_pass_midnight() -> None:
    window = DailyWindow(time(22), time(2))
    prices = Prices(PriceBook([price("1"), price("5", window=window)], resolve))
    midnight = datetime(2026, 6, 2, tzinfo=UTC)
    times = [midnight - timedelta(hours=3), midnight - timedelta(hours=2), midnight, midnight + timedelta(hours=2)]
    assert [amount(prices, at=at) for at in times] == ["1", "5", "5", "1"]


def test_an_own_price_replaces_all_imported_tiers_from_its_beginning_on() -> None:
    book = PriceBook([price("1"), price("3", above_input_tokens=10)], resolve)
    prices = Prices(book, [price("0.5", effective_from=CHANGE)])
    assert [amount(prices, at=BEFORE, sent=11), amount(prices, sent=11), amount(prices)] == ["3", "0.5", "0.5"]


def test_an_own_price_may_name_the_model_as_events_or_as_the_catalog_does() -> None:
    for name in ("m", "m-latest"):
        prices = Prices(PriceBook([price("1")], resolve), [price("7", model=name)])
        assert amount(prices, model="m-latest") == "7"


def test_an_own_price_serves_a_model_nobody_knows() -> None:
    prices = Prices(PriceBook([], resolve), [price("7", model="in-house")])
    assert amount(prices, model="In-House") == "7"


def test_only_reasoning_has_a_stand_in() -> None:
    prices = Prices(PriceBook([price("1"), price("4", token_type=TokenType.OUTPUT)], resolve))
    assert amount(prices, kind=TokenType.REASONING) == "4"
    for kind in (TokenType.CACHED_INPUT, TokenType.CACHE_WRITE_1H, TokenType.INPUT_AUDIO):
        assert amount(prices, kind=kind) is None


def test_the_catalog_is_the_same_at_every_import() -> None:
    first, second = ({row.id: row for row in price_catalog.book().all_rows()} for _ in range(2))
    assert first == second
    assert len(first) > 5_000


def test_dated_rows_of_a_model_do_not_overlap() -> None:
    rows = [
        row
        for row in price_catalog.book().rows("openai", "o3")
        if row.token_type is TokenType.INPUT and not row.service_tier
    ]
    assert [(str(r.amount_per_million), r.effective_from, r.effective_to) for r in rows] == [
        ("10", None, datetime(2025, 6, 10, tzinfo=UTC)),
        ("2", datetime(2025, 6, 10, tzinfo=UTC), None),
    ]


def test_a_price_by_the_hour_does_not_reach_back_before_its_publication() -> None:
    prices = Prices(price_catalog.book())

    def at(instant: datetime) -> str:
        found = prices.find(
            ModelCall("deepseek", "deepseek-v4-flash"), TokenType.INPUT, at=instant, input_tokens=Decimal(1)
        )
        assert found is not None
        return str(found.amount_per_million)

    assert at(datetime(2026, 8, 10, 7, tzinfo=UTC)) == "0.14"
    assert at(datetime(2026, 11, 18, 7, tzinfo=UTC)) == "0.3"
    assert at(datetime(2026, 11, 18, 12, tzinfo=UTC)) == "0.15"


def test_a_reseller_is_named_and_priced_by_the_maker() -> None:
    assert model_name.resolve("azure", "gpt-4o") == CatalogName("azure", "gpt-4o", "openai")
    assert model_name.resolve("", "no such model") is None
    assert model_name.resolve("some-wire-format", "gpt-4o") == CatalogName("openai", "gpt-4o", "openai")


@pytest.mark.parametrize(
    ("provider", "name", "expected"),
    [
        ("", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("", "azure/gpt-4o", ("azure", "gpt-4o")),
        ("", "google/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("", "claude-3-5-sonnet@20240620", ("anthropic", "claude-3-5-sonnet")),
        ("vertex_ai", "claude-3-5-sonnet@20240620", ("google", "claude-3-5-sonnet")),
        ("gcp.vertex_ai", "claude-3-5-sonnet@20240620", ("google", "claude-3-5-sonnet")),
        ("", "vertex_ai/claude-3-5-sonnet@20240620", ("google", "claude-3-5-sonnet")),
        ("x_ai", "grok-4", ("x-ai", "grok-4-0709")),
        *(
            (provider, f"{region}anthropic.claude-3-5-sonnet-20240620-v1:0", ("aws", BEDROCK_SONNET))
            for provider in ("", "aws", "bedrock", "aws.bedrock", "anthropic")
            for region in ("", "us.", "eu.", "apac.", "us-gov.", "bedrock/")
        ),
        (
            "",
            "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-3-5-sonnet-20240620-v1:0",
            ("aws", BEDROCK_SONNET),
        ),
    ],
)
def test_names_of_gateways_and_clouds_are_understood(provider: str, name: str, expected: tuple[str, str]) -> None:
    """What stands around a model's name is taken off where it names a provider, and the model has a price."""
    known = model_name.resolve(provider, name)
    assert known is not None
    assert (known.provider, known.model) == expected
    prices = Prices(price_catalog.book())
    assert prices.find(ModelCall(provider, name), TokenType.INPUT, at=AFTER, input_tokens=Decimal(1)) is not None


@pytest.mark.parametrize(
    "name", ["ollama/llama3", "my-gateway/gpt-4o", "gpt", "", "a" * 300, "/", "arn:", "publishers//models/"]
)
def test_what_names_no_provider_is_not_taken_off(name: str) -> None:
    """Whoever serves a model himself is not billed at the list price of its name."""
    assert model_name.resolve("", name) is None


def test_a_service_tier_has_prices_of_its_own() -> None:
    """A kind of token that the tier leaves out keeps its standard price; a tier the model does not have is unknown."""
    rows = [
        price("10"),
        price("40", token_type=TokenType.OUTPUT),
        price("4", token_type=TokenType.CACHED_INPUT),
        price("5", service_tier="batch"),
        price("20", service_tier="batch", token_type=TokenType.OUTPUT),
    ]
    prices = Prices(PriceBook(rows, resolve), [price("3", service_tier="flex", effective_from=CHANGE)])
    kinds = (TokenType.INPUT, TokenType.OUTPUT, TokenType.CACHED_INPUT)
    assert [amount(prices, kind=kind) for kind in kinds] == ["10", "40", "4"]
    assert [amount(prices, kind=kind, tier="batch") for kind in kinds] == ["5", "20", "4"]
    assert [amount(prices, kind=kind, tier="priority") for kind in kinds] == [None, None, None]
    assert [amount(prices, tier="flex", at=at) for at in (BEFORE, AFTER)] == [None, "3"]


@pytest.mark.parametrize("word", ["", " Default", "standard", "auto", "on_demand"])
def test_words_for_the_standard_tier(word: str) -> None:
    """The tier that a provider reports for a request without a tier is the standard one."""
    assert service_tier_named(word) == ""
    assert service_tier_named("Batch ") == "batch"


def test_service_tiers_cost_what_the_library_says() -> None:
    """For every model and tier that the library knows, our rows give the library's own price (an oracle)."""
    prices, at = Prices(price_catalog.book()), datetime(2026, 11, 20, 12, tzinfo=UTC)
    compared = 0
    for provider in providers:
        for model in provider.models:
            contexts = {tuple(variant.when.items()) for variant in model.price_variants or ()}
            for ((key, value),) in (context for context in contexts if context[0][0] in {"processing", "service_tier"}):
                if model_name.resolve(provider.id, model.id) != (provider.id, model.id.lower(), provider.id):
                    continue
                usage = Usage(input_tokens=1_000, output_tokens=100)
                context = {key: value}
                expected = model.calc_price(usage, provider, genai_request_timestamp=at, price_context=context)
                call = ModelCall(provider.id, model.id, service_tier_named(value))
                tokens: dict[TokenType | None, Decimal] = {
                    TokenType.INPUT: Decimal(1_000),
                    TokenType.OUTPUT: Decimal(100),
                }
                lines = cost_of_request(prices, call, tokens, at=at)
                # Embeddings have no price for output, and ask none.
                assert sum(line.amount or 0 for line in lines) == expected.total_price, (model.id, context)
                compared += 1
    assert compared > 150
