"""The price catalog of the library `genai-prices` as dated rows; read from the package, never from a network.

The library is a source of rows and of the names under which models are known, not an oracle: the cost of an event comes
from a row with an id, so that it can be explained later. A row's id follows from its content, so that every process and
every import gives the same row the same id. If a row cannot express what the library means (a route through a country,
for example), it is left out and nothing is guessed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib.metadata import version
from itertools import groupby, pairwise
from typing import NamedTuple

from genai_prices.data import providers
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from services.margin.convert.model_name import resolve
from services.margin.domain.price import DailyWindow, PriceBook, ProviderPrice, service_tier_named
from services.margin.domain.token import TokenType

SOURCE = f"genai-prices {version('genai-prices')}"
# The library knows only prices in US dollars.
CURRENCY = "USD"
# The library's price keys that correspond to our kinds of token, most specific last.
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
# The conditions under which the library lists a variant of a price for a service tier.
_TIER_KEYS = frozenset({"processing", "service_tier", "speed"})
# A namespace of our own, so that no row has the same id as anything else.
_ROWS = uuid.UUID("6f0c8f0e-5d0b-4d0c-9a53-1d1c5b7f3a11")
_BEGINNING = datetime.min.replace(tzinfo=UTC)


class _Amount(NamedTuple):
    """The price of a million tokens of a kind, in requests with more input tokens than `above`."""

    kind: TokenType
    above: int
    price: Decimal


class _Hold(NamedTuple):
    """When and for whom a price applies: a span, a part of the day, a service tier."""

    start: datetime | None
    end: datetime | None
    window: DailyWindow | None
    service_tier: str = ""


def book() -> PriceBook:
    """The catalog of the installed library."""
    return PriceBook((row for provider in providers for row in _rows_of_provider(provider)), resolve)


def _rows_of_provider(provider: Provider) -> Iterator[ProviderPrice]:
    for model in provider.models:
        whole = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
        for prices, start, end, window in _dated(whole):
            for amount in _amounts(prices):
                yield _row(provider.id, model.id, amount, _Hold(start, end, window))
        yield from _tier_rows(provider.id, model)


def _tier_rows(provider: str, model: ModelInfo) -> Iterator[ProviderPrice]:
    """The prices of each service tier; for every kind of token the library picks the first variant that applies."""
    tiers = [(tier, variant) for variant in model.price_variants or () if (tier := _tier_of(variant))]
    for tier, variants in groupby(sorted(tiers, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        listed = [variant for _, variant in variants]
        starts = sorted({_start(variant.constraint) for variant in listed}, key=lambda start: start or _BEGINNING)
        for start, end in pairwise([*starts, None]):
            amounts: list[_Amount] = []
            for variant in listed:
                if (_start(variant.constraint) or _BEGINNING) <= (start or _BEGINNING):
                    known = {amount.kind for amount in amounts}
                    amounts += [amount for amount in _amounts(variant.prices) if amount.kind not in known]
            # A variant without a price means that the tier costs the same as the standard one.
            for amount in amounts or _amounts(model.get_prices(start or _BEGINNING)):
                yield _row(provider, model.id, amount, _Hold(start, end, None, tier))


def _tier_of(variant: PriceVariant) -> str:
    """The service tier of a variant; empty if it is for something else, or for a part of the day."""
    (key, value), *more = variant.when.items()
    is_tier = key in _TIER_KEYS and not more and not isinstance(variant.constraint, TimeOfDateConstraint)
    return service_tier_named(value) if is_tier else ""


def _dated(
    conditions: Sequence[ConditionalPrice],
) -> Iterator[tuple[ModelPrice, datetime | None, datetime | None, DailyWindow | None]]:
    """Each price with the span in which it applies, and its window of the day.

    The library's windows have no date. They were published with the price that applies last, so they begin with it: a
    call from before is not priced by today's price of an hour.
    """
    starts = {_start(c.constraint): c for c in conditions if not isinstance(c.constraint, TimeOfDateConstraint)}
    ordered = sorted(starts, key=lambda start: start or _BEGINNING)
    for start, end in pairwise([*ordered, None]):
        yield starts[start].prices, start, end, None
    for condition in conditions:
        if isinstance(condition.constraint, TimeOfDateConstraint):
            limits = condition.constraint
            window = DailyWindow(_plain(limits.start_time), _plain(limits.end_time))
            yield condition.prices, ordered[-1] if ordered else None, None, window


def _start(constraint: object) -> datetime | None:
    """The first instant at which a price applies; None means from the beginning."""
    if not isinstance(constraint, StartDateConstraint):
        return None
    return datetime.combine(constraint.start_date, time(), UTC)


def _plain(at: time) -> time:
    """A time of the day in UTC without its zone; the library's times are in UTC."""
    return at.replace(tzinfo=None)


def _amounts(prices: ModelPrice) -> Iterator[_Amount]:
    """The price of each kind of token; if two keys are of one kind, the more specific one is taken."""
    found = {kind: value for key, kind in _KEYS.items() if (value := getattr(prices, key)) is not None}
    for kind, value in found.items():
        if isinstance(value, TieredPrices):
            yield _Amount(kind, 0, value.base)
            yield from (_Amount(kind, tier.start, tier.price) for tier in value.tiers)
        else:
            yield _Amount(kind, 0, value)


def _row(provider: str, model: str, amount: _Amount, hold: _Hold) -> ProviderPrice:
    name = model.lower()
    content = (SOURCE, provider, name, amount.kind.value, amount.above, str(amount.price), *hold[:3])
    return ProviderPrice(
        id=str(uuid.uuid5(_ROWS, repr((*content, hold.service_tier) if hold.service_tier else content))),
        provider=provider,
        model=name,
        token_type=amount.kind,
        amount_per_million=amount.price,
        currency=CURRENCY,
        effective_from=hold.start,
        effective_to=hold.end,
        above_input_tokens=amount.above,
        window=hold.window,
        source=SOURCE,
        service_tier=hold.service_tier,
    )
