"""Texts, numbers, instants and words: each is read as one value, or refused.

Reading is strict: a whole number is not a text, and `"29.00"` is not a number of cents. Numbers are taken exactly, and
their digits and exponent are limited before anything is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal

from msgspec import inspect

from gateway.decode.body import NumberText
from gateway.decode.refusals import Invalid, Source
from gateway.schema import MAX_INTEGER, Words
from services.kernel import instant
from services.kernel.money import decimal_or_none

# Longer than any text of a catalog or a customer; a field that may be longer has a limit of its own.
MAX_TEXT = 10_000
# Longer than any number that int64 or our decimals hold.
MAX_NUMBER_TEXT = 80
_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_FLAGS = {"true": True, "false": False}
_SURROGATES = re.compile("[\ud800-\udfff]")


def read_text(kind: inspect.StrType, value: object, path: str, source: Source) -> str | Invalid:
    """A text that a database can hold, within the field's limits."""
    if not isinstance(value, str) or isinstance(value, NumberText):
        return source.refusals.add(path, "invalid_format", "must be a text")
    if not is_storable(value):
        return source.refusals.add(path, "invalid_format", "holds a character that no text may hold")
    if len(value) < (kind.min_length or 0):
        return source.refusals.add(path, "value_is_mandatory", "is empty")
    most = kind.max_length or MAX_TEXT
    if len(value) > most:
        return source.refusals.add(path, "value_is_too_long", f"has more than {most} characters")
    if kind.pattern and not re.search(kind.pattern, value):
        return source.refusals.add(path, "invalid_format", "is not written as it must be")
    return value


def is_storable(text: str) -> bool:
    """Whether a database and a message can hold a text: it has no NUL and no lone surrogate."""
    return "\0" not in text and (text.isascii() or not _SURROGATES.search(text))


def read_whole(kind: inspect.IntType, value: object, path: str, source: Source) -> int | Invalid:
    """A whole number within the field's limits, of 64 bits at most."""
    number = _whole_number(value, is_text=source.is_text)
    if number is None:
        return source.refusals.add(path, "invalid_format", "must be a whole number")
    least = -MAX_INTEGER - 1 if kind.ge is None else kind.ge
    most = MAX_INTEGER if kind.le is None else kind.le
    if not least <= number <= most:
        return source.refusals.add(path, "value_is_out_of_range", f"must be from {least} to {most}")
    return number


def _whole_number(value: object, *, is_text: bool) -> int | None:
    if isinstance(value, NumberText):
        # 29.0 is the whole number 29 in JSON; the digits are limited before they are expanded.
        number = decimal_or_none(value)
        return int(number) if number is not None and number == number.to_integral_value() else None
    if is_text and isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_flag(_: inspect.BoolType, value: object, path: str, source: Source) -> bool | Invalid:
    """Yes or no."""
    found = _FLAGS.get(value) if source.is_text and isinstance(value, str) else value
    return found if isinstance(found, bool) else source.refusals.add(path, "invalid_format", "must be true or false")


def read_decimal(_: inspect.DecimalType, value: object, path: str, source: Source) -> Decimal | Invalid:
    """An exact number, written as a JSON number or as text."""
    number = _number(value)
    if number is None:
        return source.refusals.add(path, "invalid_format", "must be a decimal number of at most 38 digits")
    return number


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, int) and abs(value) > 10**MAX_NUMBER_TEXT:
        return None
    return decimal_or_none(str(value))


def read_instant(_: inspect.DateTimeType, value: object, path: str, source: Source) -> datetime | Invalid:
    """An instant, written as RFC 3339, as Unix seconds or as a day."""
    found = instant_of(value)
    if found is None:
        return source.refusals.add(path, "invalid_format", f"must be an RFC 3339 time or Unix seconds, {instant.SPAN}")
    return found


def instant_of(value: object) -> datetime | None:
    """The instant that a JSON value writes, possibly as a day; None if it writes none or it is out of range."""
    if isinstance(value, str) and not isinstance(value, NumberText):
        day = instant.from_date(value)
        return instant.midnight(day) if day is not None else instant.from_text(value)
    number = _number(value)
    return None if number is None else instant.from_seconds(number)


def read_day(_: inspect.DateType, value: object, path: str, source: Source) -> date | Invalid:
    """A day."""
    found = instant.from_date(value) if isinstance(value, str) else None
    return source.refusals.add(path, "invalid_format", "must be a day such as 2024-02-01") if found is None else found


def read_literal(kind: inspect.LiteralType, value: object, path: str, source: Source) -> object:
    """One of a few fixed texts or whole numbers."""
    if not isinstance(value, bool | dict | list) and value in kind.values:
        return value
    return source.refusals.add(path, "value_is_invalid", f"must be one of {', '.join(map(str, kind.values))}")


def read_word(words: Words, value: object, path: str, source: Source) -> str | Invalid:
    """One of the dialect's words for the values of an enum."""
    if isinstance(value, str) and words.value(value) is not None:
        return str(value)
    return source.refusals.add(path, "value_is_invalid", f"must be one of {', '.join(words)}")


# How a field is read, by its type; for types that contain no other type.
READERS: Mapping[type[inspect.Type], Callable[..., object]] = {
    inspect.StrType: read_text,
    inspect.IntType: read_whole,
    inspect.BoolType: read_flag,
    inspect.DecimalType: read_decimal,
    inspect.DateTimeType: read_instant,
    inspect.DateType: read_day,
    inspect.LiteralType: read_literal,
}
