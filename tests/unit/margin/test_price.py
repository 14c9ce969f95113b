"""Which of several dated prices holds."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from services.margin.convert import price_catalog
from services.margin.domain.price import CatalogName, DailyWindow, PriceBook, Prices, ProviderPrice
from services.margin.domain.token import TokenType

CHANGE = datetime(2026, 6, 1, tzinfo=UTC)
AFTER, BEFORE = CHANGE + timedelta(hours=12), CHANGE - timedelta(hours=12)


def price(amount: str, *, identity: str = "p", **fields: object) -> ProviderPrice:
    defaults: dict[str, object] = {"provider": "acme", "model": "m", "token_type": TokenType.INPUT}
    return ProviderPrice(identity, amount_per_million=Decimal(amount), currency="USD", **{**defaults, **fields})  # type: ignore[arg-type]


def resolve(provider: str, model: str) -> CatalogName | None:
    return CatalogName("acme", "m", "acme") if model in {"m", "m-latest"} else None


def amount(
    prices: Prices, *, at: datetime = AFTER, sent: int = 1, kind: TokenType = TokenType.INPUT, model: str = "m"
) -> str | None:
    found = prices.find("acme", model, kind, at=at, input_tokens=Decimal(sent))
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
    rows = [r for r in price_catalog.book().rows("openai", "o3") if r.token_type is TokenType.INPUT]
    assert [(str(r.amount_per_million), r.effective_from, r.effective_to) for r in rows] == [
        ("10", None, datetime(2025, 6, 10, tzinfo=UTC)),
        ("2", datetime(2025, 6, 10, tzinfo=UTC), None),
    ]


def test_a_price_by_the_hour_does_not_reach_back_before_its_publication() -> None:
    prices = Prices(price_catalog.book())

    def at(instant: datetime) -> str:
        found = prices.find("deepseek", "deepseek-v4-flash", TokenType.INPUT, at=instant, input_tokens=Decimal(1))
        assert found is not None
        return str(found.amount_per_million)

    assert at(datetime(2026, 8, 10, 7, tzinfo=UTC)) == "0.14"
    assert at(datetime(2026, 11, 18, 7, tzinfo=UTC)) == "0.3"
    assert at(datetime(2026, 11, 18, 12, tzinfo=UTC)) == "0.15"


def test_a_reseller_is_named_and_priced_by_the_maker() -> None:
    assert price_catalog.resolve("azure", "gpt-4o") == CatalogName("azure", "gpt-4o", "openai")
    assert price_catalog.resolve("", "no such model") is None
    assert price_catalog.resolve("some-wire-format", "gpt-4o") == CatalogName("openai", "gpt-4o", "openai")
