"""The words of a filter: enum values on the wire to those of the domain; unknown values are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TypeVar

from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import uuid_or_none

T = TypeVar("T")


def words_from_pb(values: Iterable[int], known: Mapping[int, T], field: str) -> tuple[T, ...]:
    """The words that a filter names, or a refusal of the field."""
    wanted = tuple(values)
    if any(value not in known for value in wanted):
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is not one of the known values")
    return tuple(known[value] for value in wanted)


def day_from_pb(text: str, field: str) -> date | None:
    """The day that a filter names; None if it names none."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InvalidArgumentError.of_field(field, "invalid_format", "is a day such as 2024-02-01") from error


def id_from_pb(text: str, field: str) -> str:
    """The Farebox id that a filter names; empty if it names none."""
    if text and uuid_or_none(text) is None:
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is not a Farebox id")
    return text
