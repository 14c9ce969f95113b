"""Reading JSON objects field by field: null means absent, and what cannot be read is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from farebox.common.v1 import decimal_pb2
from gateway.problem import Problem, invalid
from services.kernel.instant import from_date, from_seconds, from_text, midnight
from services.kernel.money import decimal_or_none, plain

T = TypeVar("T")

# What an int64 of a message holds.
MAX_INTEGER = 2**63 - 1


class Reader:
    """One JSON object of a request.

    Attributes:
        path: where it stands in the request, empty for the whole; prefixes the names in refusals.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self.path = path

    def value(self, name: str) -> Any:
        """The field as it is; None where it is null or absent."""
        return self._values.get(name)

    def has(self, *names: str) -> bool:
        """Whether any of these fields is given."""
        return any(self.value(name) is not None for name in names)

    def text(self, name: str, default: str = "") -> str:
        """A text field; numbers are taken for texts, as loosely typed callers send ids."""
        value = self.value(name)
        match value:
            case None:
                return default
            case str():
                return value
            case bool() | list() | dict():
                raise self.refusal(name, "invalid_format", "must be a text")
            case _:
                return str(value)

    def required(self, name: str) -> str:
        """A text field that must not be empty."""
        found = self.text(name)
        if not found:
            raise self.refusal(name, "value_is_mandatory", "is missing")
        return found

    def integer(self, name: str, default: int = 0) -> int:
        """A whole number, also as text or with a fraction of zero."""
        value = self.value(name)
        if value is None:
            return default
        number = _number(value)
        if number is None or number != number.to_integral_value() or abs(number) > MAX_INTEGER:
            raise self.refusal(name, "invalid_format", "must be a whole number")
        return int(number)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A yes or no, also as text."""
        value = self.value(name)
        if value is None:
            return default
        known = {"true": True, "false": False}.get(str(value).lower())
        if known is None:
            raise self.refusal(name, "invalid_format", "must be true or false")
        return known

    def number(self, name: str) -> Decimal | None:
        """An exact number, as text or as JSON number."""
        value = self.value(name)
        if value is None:
            return None
        number = _number(value)
        if number is None:
            raise self.refusal(name, "invalid_format", "must be a decimal number")
        return number

    def decimal(self, name: str) -> decimal_pb2.Decimal | None:
        """An exact number for the wire; None where it is absent."""
        number = self.number(name)
        return None if number is None else decimal_pb2.Decimal(value=plain(number))

    def instant(self, name: str) -> datetime | None:
        """An instant: RFC 3339, Unix seconds, or a day, which begins at midnight in UTC."""
        value = self.value(name)
        if value is None:
            return None
        found = read_instant(value)
        if found is None:
            raise self.refusal(name, "invalid_format", "must be an RFC 3339 time or Unix seconds")
        return found

    def texts(self, name: str) -> list[str]:
        """A list of texts; empty where it is absent."""
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refusal(name, "invalid_format", "must be a list of texts")
        return value

    def objects(self, name: str) -> list[Reader]:
        """A list of objects; empty where it is absent."""
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.refusal(name, "invalid_format", "must be a list of objects")
        return [Reader(item, f"{self._name(name)}[{index}]") for index, item in enumerate(value)]

    def object(self, name: str) -> Reader:
        """An object within; an empty one where it is absent."""
        value = self.value(name)
        if value is not None and not isinstance(value, dict):
            raise self.refusal(name, "invalid_format", "must be an object")
        return Reader(value or {}, self._name(name))

    def choice(self, name: str, known: Mapping[str, T], default: T) -> T:
        """One of the words of a table."""
        value = self.value(name)
        if value is None or value == "":
            return default
        if not isinstance(value, str) or value.lower() not in known:
            raise self.refusal(name, "value_is_invalid", f"must be one of {', '.join(known)}")
        return known[value.lower()]

    def names(self) -> list[str]:
        """The names of the fields that are given."""
        return [name for name, value in self._values.items() if value is not None]

    def refusal(self, name: str, code: str, detail: str) -> Problem:
        """A refusal that names a field of this object."""
        return invalid(self._name(name), code, detail)

    def _name(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def read_instant(value: Any) -> datetime | None:
    """The instant that a JSON value writes, a bare day included; None where it writes none."""
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return from_seconds(Decimal(value))
    if not isinstance(value, str):
        return None
    day = from_date(value)
    return midnight(day) if day is not None else from_text(value)


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    return decimal_or_none(str(value))
