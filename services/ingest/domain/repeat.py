"""Whether an event that repeats a transaction_id is the same event again, or another event that reuses the id.

The first event of an identity, the original, stays. A repeat is the same event if all of its content is the same: ids
and code as text, properties as JSON values (order, spaces and `1.0` for `1` make no difference), and the time if both
have one.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NamedTuple

from services.ingest.domain import identity
from services.ingest.domain.usage_event import UsageEvent
from services.kernel.money import decimal_or_none


class Original(NamedTuple):
    """What the log knows of the first event of an identity.

    Attributes:
        content_hash: the hash of its content without its time.
        occurred_us: when it occurred.
        is_time_given: whether the sender gave the time; otherwise the server filled it in.
        received_us: when the log received it.
    """

    content_hash: bytes
    occurred_us: int
    is_time_given: bool
    received_us: int


class Content(NamedTuple):
    """The part of an original that may be written in several ways."""

    properties: bytes
    amount: Decimal | None


def is_repeat(event: UsageEvent, content_hash: bytes, original: Original) -> bool:
    """Whether an event repeats the original byte for byte. A time that only one of them has makes no difference."""
    return content_hash == original.content_hash and _same_time(event, original)


def is_rewritten(event: UsageEvent, original: Original, content: Content) -> bool:
    """Whether an event that differs from the original in its bytes still has the same content."""
    as_stored = identity.with_content_of(event, properties=content.properties, amount=content.amount)
    return (
        as_stored == original.content_hash
        and event.amount == content.amount
        and _values(event.properties) == _values(content.properties)
        and _same_time(event, original)
    )


def _same_time(event: UsageEvent, original: Original) -> bool:
    return identity.same_time(event.occurred_us, original.occurred_us, is_stored_given=original.is_time_given)


def _values(properties: bytes) -> Any:
    return json.loads(properties, parse_int=_number, parse_float=_number)


def _number(text: str) -> tuple[str, Decimal | str]:
    """A number that equals no string and no boolean (in Python, True equals 1)."""
    number = decimal_or_none(text)
    return ("number", text if number is None else number)
