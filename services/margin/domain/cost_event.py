"""Cost events: what was paid for on behalf of a customer, and how a repeat is told from a change.

Senders repeat themselves with a fresh id (an SDK that wraps an LLM client makes a new one on each replay). So an
event has two identities: the sender's id, and, where the provider's request id is known, the natural key of what the
request spent on one kind of token. The same identity with other content is a conflict; the time is not content.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.kernel.errors import InvalidArgumentError
from services.kernel.money import plain
from services.margin.domain.costing import CostLine, cost_of_request
from services.margin.domain.price import Prices
from services.margin.domain.token import TokenType

# As in the proto: ids and codes are text of at most this length.
MAX_TEXT = 255
# More events than this in one call would not fit its deadline.
MAX_BATCH = 1000
_SEPARATOR = "\x1f"


class Outcome(StrEnum):
    """What became of a cost event."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True)
class CostEvent:
    """Something the organization paid for.

    Attributes:
        cost_event_id: the sender's identity, unique in the organization for ever.
        cost_meter_code: what was bought.
        parent_transaction_id: the usage event it was needed for, or empty.
        external_customer_id: the customer, or empty where the parent tells.
        request_id, operation_key: the provider's id of the request and what it was for, or empty.
        occurred_at: when it happened; None means when it was received.
        provider, model, token_type, tokens: what was used; `tokens` is 0 or more.
        amount: for anything but tokens: the cost itself in major units; it may be negative, as a refund is.
        currency: of the amount.
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

    @property
    def identity(self) -> tuple[str, bytes]:
        """The sender's identity with the content: what tells two events of one batch apart."""
        return self.cost_event_id, self.content_hash

    @property
    def natural_key(self) -> bytes | None:
        """16 bytes that a replay with a fresh id shares; None where no request is named."""
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
        return _digest(*where, *what)


def require_valid(event: CostEvent, *, field: str) -> CostEvent:
    """The event itself, or an InvalidArgumentError that names the wrong field below `field`."""
    for name in ("cost_event_id", "cost_meter_code"):
        if not getattr(event, name):
            raise InvalidArgumentError.of_field(f"{field}.{name}", "value_is_mandatory", "must be given")
    names = ("cost_event_id", "cost_meter_code", "parent_transaction_id", "external_customer_id", "request_id")
    for name in (*names, "operation_key", "provider", "model"):
        if len(getattr(event, name)) > MAX_TEXT:
            raise InvalidArgumentError.of_field(
                f"{field}.{name}", "value_is_too_long", f"at most {MAX_TEXT} characters"
            )
    if not event.parent_transaction_id and not event.external_customer_id:
        raise InvalidArgumentError.of_field(
            f"{field}.external_customer_id", "value_is_mandatory", "give a customer or a parent_transaction_id"
        )
    if event.tokens < 0:
        raise InvalidArgumentError.of_field(f"{field}.tokens", "value_is_out_of_range", "is 0 or more")
    return event


def cost_of_event(event: CostEvent, prices: Prices, *, at: datetime) -> list[CostLine]:
    """The cost line of one event by itself: its own amount, or the provider's price of its tokens."""
    if event.amount is None:
        tokens: dict[TokenType | None, Decimal] = {event.token_type: Decimal(event.tokens)}
        return cost_of_request(prices, event.provider, event.model, tokens, at=at)
    provider, model = event.provider.lower(), event.model.lower()
    return [CostLine(provider, model, None, Decimal(1), event.amount, event.amount, event.currency, None)]


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b(_SEPARATOR.join(parts).encode(), digest_size=16).digest()
