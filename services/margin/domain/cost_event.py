"""Cost events: what was paid for on behalf of a customer, and how a repeat is distinguished from a change.

Senders may repeat an event with a fresh id (an SDK that wraps an LLM client makes a new id on each replay). So an event
has two identities: the sender's id and, if the provider's request id is known, the natural key of what the request
spent on one kind of token. The same identity with other content is a conflict; the time is not part of the content.

**The request is the unit of costing.** Events that name the same parent and request are parts of one request. What all
of them together sent to a model decides the tier that prices each of them. So an event of the request that arrives late
may change the price of those before it, and the order of arrival never changes what the request costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from services.kernel.checks import inside
from services.kernel.money import ZERO, plain
from services.margin.domain.costing import CostLine, cost_of_tokens
from services.margin.domain.limits import MAX_COST, MAX_NAME_BYTES, MAX_TEXT
from services.margin.domain.price import CatalogName, ModelCall, Prices
from services.margin.domain.token import SENT, TokenType

# More events in one call would not be done within its deadline.
MAX_BATCH = 1000
# How many events of one request are priced together: kinds of token times operations, many times over.
MAX_SIBLINGS = 1000
_SEPARATOR = "\x1f"
_TEXTS = (
    *("cost_event_id", "cost_meter_code", "parent_transaction_id", "external_customer_id"),
    *("request_id", "operation_key"),
)


class Outcome(StrEnum):
    """The outcome of a cost event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    UNPRICED = "unpriced"


class RequestKey(NamedTuple):
    """A request to a provider: the provider's id of it, within the usage event for which it was made."""

    parent_transaction_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class CostEvent:
    """Something the organization paid for.

    Attributes:
        cost_event_id: the sender's identity of the event, unique in the organization for all time.
        cost_meter_code: what was bought.
        parent_transaction_id: the usage event for which it was needed, or empty.
        external_customer_id: the customer, or empty if it is the parent's.
        request_id, operation_key: the provider's id of the request, and its purpose, or empty.
        occurred_at: when it occurred; None means when it was received.
        provider, model, token_type, tokens: what was used; `tokens` is 0 or more.
        amount: for anything but tokens, the cost itself in major units; negative for a refund.
        currency: the currency of the amount.
        service_tier: the tier in which the request was served; empty for the standard one.
    """

    cost_event_id: str
    cost_meter_code: str
    parent_transaction_id: str = ""
    external_customer_id: str = ""
    request_id: str = ""
    operation_key: str = ""
    occurred_at: datetime | None = None
    provider: str = ""
    model: str = ""
    token_type: TokenType = TokenType.INPUT
    tokens: int = 0
    amount: Decimal | None = None
    currency: str = "USD"
    service_tier: str = ""

    @property
    def identity(self) -> tuple[str, bytes]:
        """The sender's identity with the content, which distinguishes two events of one batch."""
        return self.cost_event_id, self.content_hash

    @property
    def request(self) -> RequestKey | None:
        """The request it is part of; None if it names none."""
        return RequestKey(self.parent_transaction_id, self.request_id) if self.request_id else None

    @property
    def call(self) -> ModelCall:
        """The model that was called."""
        return ModelCall(self.provider, self.model, self.service_tier)

    @property
    def natural_key(self) -> bytes | None:
        """16 bytes that a replay with a fresh id has in common with the event; None if no request is named."""
        if not self.request_id:
            return None
        named = (self.parent_transaction_id, self.request_id, self.operation_key, self.provider, self.model)
        return _digest(self.cost_meter_code, *named, self.token_type)

    @property
    def content_hash(self) -> bytes:
        """16 bytes of everything but the identities and the time."""
        amount = "" if self.amount is None else f"{plain(self.amount)} {self.currency}"
        where = (self.cost_meter_code, self.parent_transaction_id, self.external_customer_id, self.request_id)
        what = (self.operation_key, self.provider, self.model, self.token_type, str(self.tokens), amount)
        return _digest(*where, *what, *([self.service_tier] if self.service_tier else []))


def require_valid(event: CostEvent, *, field: str) -> CostEvent:
    """The event itself, or an InvalidArgumentError that names every wrong field below `field`."""
    with inside(field) as checks:
        for name in ("cost_event_id", "cost_meter_code"):
            if not getattr(event, name):
                checks.refuse(name, "value_is_mandatory", "must be given")
        for name in _TEXTS:
            if len(getattr(event, name)) > MAX_TEXT:
                checks.refuse(name, "value_is_too_long", f"at most {MAX_TEXT} characters")
        for name in ("provider", "model", "service_tier"):
            if len(getattr(event, name).encode()) > MAX_NAME_BYTES:
                checks.refuse(name, "value_is_too_long", f"at most {MAX_NAME_BYTES} bytes")
        if not event.parent_transaction_id and not event.external_customer_id:
            checks.refuse("external_customer_id", "value_is_mandatory", "give a customer or a parent_transaction_id")
        if event.tokens < 0:
            checks.refuse("tokens", "value_is_out_of_range", "is 0 or more")
        if event.amount is not None and abs(event.amount) > MAX_COST:
            checks.refuse("amount", "value_is_out_of_range", f"is at most {MAX_COST}")
    return event


def cost_of_events(events: Sequence[CostEvent], prices: Prices) -> list[CostLine]:
    """The cost line of each event of one request, in order: its own amount, or the provider's price of its tokens.

    The tier of a price is chosen by everything that was sent to the same model in the request. Each event is priced at
    its own instant, which must be known.

    Args:
        events: all known events of the request; an event that names no request is a request by itself.
        prices: the prices that the organization sees.
    """
    sent: dict[tuple[CatalogName, str], Decimal] = {}
    for event in events:
        if event.amount is None and event.token_type in SENT:
            called = _called(event, prices)
            sent[called] = sent.get(called, ZERO) + event.tokens
    return [_line(event, prices, sent.get(_called(event, prices), ZERO)) for event in events]


def by_request(events: Iterable[CostEvent]) -> Mapping[RequestKey, list[CostEvent]]:
    """The events that name a request, by that request."""
    requests: dict[RequestKey, list[CostEvent]] = {}
    for event in events:
        if event.request is not None:
            requests.setdefault(event.request, []).append(event)
    return requests


def _called(event: CostEvent, prices: Prices) -> tuple[CatalogName, str]:
    """One model in one service tier, however the sender spelled its name."""
    return prices.book.name(event.provider, event.model), event.service_tier


def _line(event: CostEvent, prices: Prices, sent: Decimal) -> CostLine:
    if event.occurred_at is None:
        raise ValueError("an event is priced at an instant")
    if event.amount is None:
        tokens = Decimal(event.tokens)
        return cost_of_tokens(prices, event.call, event.token_type, tokens, at=event.occurred_at, sent=sent)
    known = prices.book.name(event.provider, event.model)
    amount = event.amount
    return CostLine(known.provider, known.model, None, Decimal(1), amount, amount, event.currency, None)


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b(_SEPARATOR.join(parts).encode(), digest_size=16).digest()
