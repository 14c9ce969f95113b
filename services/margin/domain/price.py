"""Prices of providers: dated rows that never change, and the rule that picks the one that holds.

An organization's own price wins over an imported one from its first instant on. Among the rows that hold at an
instant, the highest tier that the request exceeds prices the whole request (strictly: 200,000 tokens are not above
200,000), then a window of the day wins over the whole day, then the later beginning over the earlier.

A request may be served in another service tier than the standard one (a batch, say). Where the model has prices of
that tier, a kind of token that they leave out keeps its standard price; where it has none, nothing is known.
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
# A price without a first instant has held since before any that has one.
_BEGINNING = datetime.min.replace(tzinfo=UTC)

# Providers bill reasoning as output unless they say otherwise. No other kind stands in for a missing one: an audio
# token at the price of text would be a guess.
_STAND_IN = {TokenType.REASONING: TokenType.OUTPUT}


class CatalogName(NamedTuple):
    """What the catalog calls a model.

    Attributes:
        provider: who sells it.
        model: its name.
        listed_by: whose price list it is in: a provider that resells another's models may have none of its own.
    """

    provider: str
    model: str
    listed_by: str


@dataclass(frozen=True, slots=True)
class ModelCall:
    """What was called, as the sender names it.

    Attributes:
        provider: who sold it, or empty.
        model: the model.
        service_tier: as `service_tier_named` knows it; empty for the standard one.
    """

    provider: str
    model: str
    service_tier: str = ""


# Words of senders and providers for the tier that is had without asking for one.
_STANDARD = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand"})


def service_tier_named(word: str) -> str:
    """The service tier that a sender's word means, in lower case: `batch`, `flex`, `priority`; empty for standard."""
    tier = word.strip().lower()
    return "" if tier in _STANDARD else tier


ResolveModel = Callable[[str, str], CatalogName | None]
"""(provider or empty, model) as events name them → what the catalog calls it, or None."""


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
    """What a provider asks for one kind of token of one model.

    Attributes:
        id: UUID as text; cost entries name it.
        provider: lower case.
        model: as the catalog names it, lower case.
        token_type: which kind.
        amount_per_million: major units of `currency` for a million tokens.
        currency: ISO 4217 code.
        effective_from: first instant it holds; None from the beginning.
        effective_to: first instant it does not; None while it does.
        above_input_tokens: holds only for requests with more input tokens; 0 for all.
        window: the part of the day it is limited to, if any.
        source: where it comes from.
        service_tier: the tier it is limited to; empty for the standard one.
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
        """Whether it holds at an instant."""
        begun = self.effective_from is None or self.effective_from <= at
        ended = self.effective_to is not None and self.effective_to <= at
        return begun and not ended and (self.window is None or at in self.window)

    def rank(self) -> tuple[int, bool, datetime, str]:
        """Which of several prices that hold wins: the greatest. The id settles the rest, later ids being greater."""
        beginning = self.effective_from or _BEGINNING
        return self.above_input_tokens, self.window is not None, beginning, self.id


class PriceBook:
    """All imported prices of one catalog, and the names by which events ask for them."""

    def __init__(self, prices: Iterable[ProviderPrice], resolve: ResolveModel) -> None:
        self._resolve = resolve
        self._rows: dict[tuple[str, str], list[ProviderPrice]] = {}
        for price in prices:
            self._rows.setdefault((price.provider, price.model), []).append(price)

    def name(self, provider: str, model: str) -> CatalogName:
        """What the catalog calls a model; as given, in lower case, where it does not know it."""
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
    """The prices one organization sees: the imported ones under its own.

    Attributes:
        book: the imported ones.
        overrides: its own.
    """

    book: PriceBook
    overrides: Sequence[ProviderPrice] = ()

    def holding(self, call: ModelCall, at: datetime) -> list[ProviderPrice]:
        """The rows of a model that hold at an instant; own rows replace imported ones.

        There is one for each service tier, kind of token and size of request.
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
        """The price of one kind of token in a call with so many input tokens; None where none is known."""
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
