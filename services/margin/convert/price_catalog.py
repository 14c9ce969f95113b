"""The price catalog of the library `genai-prices`, turned into dated rows; read from the package, never from a network.

The library is a source of rows and of the names under which models are known, not an oracle: what an event costs comes
from a row with an id, so that it can be explained later. A row's id follows from its content, so that every process
and every import gives the same row the same id. Where a row cannot say what the library means (a discount for batches,
say) it is left out and nothing is guessed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from itertools import pairwise

from genai_prices import data_snapshot
from genai_prices.data import providers
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from services.margin.domain.price import CatalogName, DailyWindow, PriceBook, ProviderPrice
from services.margin.domain.token import TokenType

SOURCE = f"genai-prices {version('genai-prices')}"
# The library knows only prices in US dollars.
CURRENCY = "USD"
# The library's price keys that are of our kinds of token, most specific last.
_KEYS = {
    "input_mtok": TokenType.INPUT,
    "cache_read_mtok": TokenType.CACHED_INPUT,
    "cache_write_mtok": TokenType.CACHE_WRITE,
    "cache_write_5m_mtok": TokenType.CACHE_WRITE,
    "cache_write_1h_mtok": TokenType.CACHE_WRITE_1H,
    "output_mtok": TokenType.OUTPUT,
    "output_reasoning_mtok": TokenType.REASONING,
    "input_audio_mtok": TokenType.INPUT_AUDIO,
    "output_audio_mtok": TokenType.OUTPUT_AUDIO,
}
# A namespace of our own, so that no row shares its id with anything else.
_ROWS = uuid.UUID("6f0c8f0e-5d0b-4d0c-9a53-1d1c5b7f3a11")
# Names that events use, model by model: a few hundred in practice; the bound is for a sender of nonsense.
_NAMES_KEPT = 10_000


def book() -> PriceBook:
    """The catalog of the installed library."""
    return PriceBook((row for provider in providers for row in _rows_of_provider(provider)), resolve)


@lru_cache(maxsize=_NAMES_KEPT)
def resolve(provider: str, model: str) -> CatalogName | None:
    """What the library calls a model, by its matching rules; None where it knows no such model.

    A provider that is not known does not hide a model that is: many senders name the wire format there.
    """
    snapshot = data_snapshot.get_snapshot()
    for asked in dict.fromkeys([provider.strip() or None, None]):
        try:
            seller, found = snapshot.find_provider_model(model.strip(), None, asked, None)
        except LookupError:
            continue
        return CatalogName(seller.id, found.id.lower(), _listing_provider(found, seller))
    return None


def _listing_provider(model: ModelInfo, seller: Provider) -> str:
    """Whose list a model was found in: the seller's own, or that of a provider whose models it resells."""
    return next((p.id for p in [seller, *providers] if any(model is listed for listed in p.models)), seller.id)


def _rows_of_provider(provider: Provider) -> Iterator[ProviderPrice]:
    for model in provider.models:
        whole = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
        for prices, start, end, window in _dated(whole):
            for kind, above, amount in _amounts(prices):
                yield _row(provider.id, model.id, kind, above, amount, start, end, window)


def _dated(
    conditions: Sequence[ConditionalPrice],
) -> Iterator[tuple[ModelPrice, datetime | None, datetime | None, DailyWindow | None]]:
    """Each price with the span it holds for and its window of the day.

    The library's windows carry no date. They were published with the price that holds last, so they begin with it: a
    call from before that is not priced at an hour's price of today.
    """
    starts = {_start(c): c for c in conditions if not isinstance(c.constraint, TimeOfDateConstraint)}
    ordered = sorted(starts, key=lambda start: start or datetime.min.replace(tzinfo=UTC))
    for start, end in pairwise([*ordered, None]):
        yield starts[start].prices, start, end, None
    for condition in conditions:
        if isinstance(condition.constraint, TimeOfDateConstraint):
            limits = condition.constraint
            window = DailyWindow(_plain(limits.start_time), _plain(limits.end_time))
            yield condition.prices, ordered[-1] if ordered else None, None, window


def _start(condition: ConditionalPrice) -> datetime | None:
    if not isinstance(condition.constraint, StartDateConstraint):
        return None
    return datetime.combine(condition.constraint.start_date, time(), UTC)


def _plain(at: time) -> time:
    """A time of the day in UTC without its zone; the library's times are in UTC."""
    return at.replace(tzinfo=None)


def _amounts(prices: ModelPrice) -> Iterator[tuple[TokenType, int, Decimal]]:
    """Kind of token, tier and price; where two keys are of one kind the more specific one is taken."""
    found = {kind: value for key, kind in _KEYS.items() if (value := getattr(prices, key)) is not None}
    for kind, value in found.items():
        if isinstance(value, TieredPrices):
            yield kind, 0, value.base
            yield from ((kind, tier.start, tier.price) for tier in value.tiers)
        else:
            yield kind, 0, value


def _row(
    provider: str,
    model: str,
    kind: TokenType,
    above: int,
    amount: Decimal,
    start: datetime | None,
    end: datetime | None,
    window: DailyWindow | None,
) -> ProviderPrice:
    name = model.lower()
    content = repr((SOURCE, provider, name, kind.value, above, str(amount), start, end, window))
    identity = str(uuid.uuid5(_ROWS, content))
    return ProviderPrice(identity, provider, name, kind, amount, CURRENCY, start, end, above, window, SOURCE)
