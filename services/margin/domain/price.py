"""Prices of providers: dated rows that never change, and the rule that picks the one that applies.

An organization's own price replaces imported ones from its first instant on. Among the rows that apply at an instant,
the highest tier that the request exceeds prices the whole request (strictly: 200,000 tokens do not exceed 200,000).
After that, a window of the day wins over the whole day, and a later beginning over an earlier one.

A request may be served in another service tier than the standard one (a batch, for example). If the model has prices
for that tier, a kind of token without one keeps its standard price. If the model has none for that tier, the price is
unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import NamedTuple

from services.kernel.clock import as_utc
from services.margin.domain.token import TokenType

MILLION = Decimal(1_000_000)
OVERRIDE = "override"
# A price without a first instant counts as older than any price with one.
_BEGINNING = datetime.min.replace(tzinfo=UTC)

# Providers bill reasoning as output unless they say otherwise. No other kind replaces a missing one: an audio token at
# the price of text would be a guess.
_STAND_IN = {TokenType.REASONING: TokenType.OUTPUT}


class CatalogName(NamedTuple):
    """The catalog's name of a model.

    Attributes:
        provider: the provider who sells it.
        model: its name.
        listed_by: the provider whose price list it is in: a reseller of another's models may have no list of its own.
    """

    provider: str
    model: str
    listed_by: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """The called model, as the sender names it.

    Attributes:
        provider: the provider who sold it, or empty.
        model: the model.
        service_tier: as `service_tier_named` knows it; empty for the standard one.
    """

    provider: str
    model: str
    service_tier: str = ""


# Words of senders and providers for the standard service tier.
_STANDARD = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand"})


def service_tier_named(word: str) -> str:
    """The service tier that a sender's word means, in lower case: `batch`, `flex`, `priority`; empty for standard."""
    tier = word.strip().lower()
    return "" if tier in _STANDARD else tier


ResolveModel = Callable[[str, str], CatalogName | None]
"""(provider or empty, model) as events name them → the catalog's name, or None."""


@dataclass(frozen=True, slots=True)
class DailyWindow:
    """A part of every day in UTC, for prices that depend on the hour; it may pass midnight."""

    start: time
    end: time

    def __contains__(self, instant: datetime) -> bool:
        at = as_utc(instant).time()
        if self.end < self.start:
            return at >= self.start or at < self.end
        return self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class ProviderPrice:
    """A provider's price for one kind of token of one model.

    Attributes:
        id: UUID as text; cost entries name it.
        provider: lower case.
        model: as the catalog names it, lower case.
        token_type: the kind of token.
        amount_per_million: major units of `currency` for a million tokens.
        currency: ISO 4217 code.
        effective_from: the first instant at which it applies; None means from the beginning.
        effective_to: the first instant at which it no longer applies; None if no end is known.
        above_input_tokens: applies only to requests with more input tokens than this; 0 means all.
        window: the part of the day to which it is limited, if any.
        source: the source of the price.
        service_tier: the tier to which it is limited; empty for the standard one.
    """

    id: str
    provider: str
    model: str
    token_type: TokenType
    amount_per_million: Decimal
    currency: str
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    above_input_tokens: int = 0
    window: DailyWindow | None = None
    source: str = OVERRIDE
    service_tier: str = ""

    def holds(self, at: datetime) -> bool:
        """Whether it applies at an instant."""
        begun = self.effective_from is None or self.effective_from <= at
        ended = self.effective_to is not None and self.effective_to <= at
        return begun and not ended and (self.window is None or at in self.window)

    def rank(self) -> tuple[int, bool, datetime, str]:
        """Decides which of several prices that apply wins: the greatest rank.

        The id decides last; later ids are greater.
        """
        beginning = self.effective_from or _BEGINNING
        return self.above_input_tokens, self.window is not None, beginning, self.id


class PriceBook:
    """All imported prices of one catalog, and the names with which events refer to them."""

    def __init__(self, prices: Iterable[ProviderPrice], resolve: ResolveModel) -> None:
        self._resolve = resolve
        self._rows: dict[tuple[str, str], list[ProviderPrice]] = {}
        for price in prices:
            self._rows.setdefault((price.provider, price.model), []).append(price)

    def name(self, provider: str, model: str) -> CatalogName:
        """The catalog's name of a model; for an unknown model the given name in lower case."""
        given = provider.strip().lower()
        return self._resolve(provider, model) or CatalogName(given, model.strip().lower(), given)

    def rows(self, provider: str, model: str) -> Sequence[ProviderPrice]:
        """Every imported row of a model, whatever its dates."""
        known = self.name(provider, model)
        return self._rows.get((known.listed_by, known.model), ())

    def all_rows(self) -> list[ProviderPrice]:
        """Every imported row."""
        return [price for rows in self._rows.values() for price in rows]


@dataclass(frozen=True)
class Prices:
    """The prices that one organization sees: its own, and below them the imported ones.

    Attributes:
        book: the imported prices.
        overrides: its own prices.
    """

    book: PriceBook
    overrides: Sequence[ProviderPrice] = ()

    def holding(self, call: ModelCall, at: datetime) -> list[ProviderPrice]:
        """The rows of a model that apply at an instant; own rows replace imported ones.

        There is one row for each service tier, kind of token and size of request.
        """
        best: dict[tuple[str, TokenType, int], ProviderPrice] = {}
        own = self._own(call, at)
        replaced = {(price.service_tier, price.token_type) for price in own}
        imported = [
            price
            for price in self.book.rows(call.provider, call.model)
            if price.holds(at) and (price.service_tier, price.token_type) not in replaced
        ]
        for price in sorted([*imported, *own], key=ProviderPrice.rank):
            best[price.service_tier, price.token_type, price.above_input_tokens] = price
        return [best[key] for key in sorted(best)]

    def find(
        self, call: ModelCall, token_type: TokenType, *, at: datetime, input_tokens: Decimal
    ) -> ProviderPrice | None:
        """The price of one kind of token in a call with this many input tokens; None if none is known."""
        holding = self.holding(call, at)
        if not any(price.service_tier == call.service_tier for price in holding):
            return None
        fitting = [
            price for price in holding if not price.above_input_tokens or input_tokens > price.above_input_tokens
        ]
        for kind in (token_type, _STAND_IN.get(token_type)):
            for tier in (call.service_tier, ""):
                rows = [price for price in fitting if price.token_type is kind and price.service_tier == tier]
                if rows:
                    return max(rows, key=ProviderPrice.rank)
        return None

    def _own(self, call: ModelCall, at: datetime) -> list[ProviderPrice]:
        known = self.book.name(call.provider, call.model)
        models = {call.model.strip().lower(), known.model}
        providers = {call.provider.strip().lower(), known.provider}
        return [
            price
            for price in self.overrides
            if price.holds(at) and price.model in models and price.provider in providers
        ]
