"""Writing what all resources share: ids, instants, exact numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from google.protobuf.message import Message

from farebox.common.v1 import decimal_pb2
from farebox.common.v1.period_pb2 import Period
from services.kernel.instant import to_text
from services.kernel.money import ZERO, plain

# Lago names the last second of a span, we the first instant after it.
_SECOND = timedelta(seconds=1)


def ids(identity: str) -> dict[str, str | None]:
    """Both names of a Farebox id; null where there is none."""
    return {"lago_id": identity or None, "nozle_id": identity or None}


def instant(message: Message, field: str) -> str | None:
    """An instant of a message as text; None where it is absent."""
    return to_text(getattr(message, field).ToDatetime(tzinfo=UTC)) if message.HasField(field) else None


def first_instant(period: Period) -> str:
    """Where a span begins."""
    return to_text(period.start.ToDatetime(tzinfo=UTC))


def last_second(period: Period) -> str:
    """The last second of a span, as Lago writes its end."""
    return to_text(period.end.ToDatetime(tzinfo=UTC) - _SECOND)


def decimal(message: Message, field: str) -> str | None:
    """An exact number of a message as text; None where it is absent."""
    return str(getattr(message, field).value) if message.HasField(field) else None


def exact(value: decimal_pb2.Decimal) -> Decimal:
    """An exact number from the wire; an empty one is 0."""
    return Decimal(value.value) if value.value else ZERO


def number(message: Message, field: str) -> msgspec.Raw | None:
    """An exact number of a message as JSON number, digit by digit; None where it is absent."""
    return json_number(exact(getattr(message, field))) if message.HasField(field) else None


def json_number(value: Decimal) -> msgspec.Raw:
    """A decimal as JSON number, digit by digit."""
    return msgspec.Raw(plain(value).encode())


def word(table: Mapping[str, Any], value: Any) -> str | None:
    """The dialect's word for a value of a table of words; the first one where several mean the same."""
    return next((name for name, known in table.items() if known == value), None)
