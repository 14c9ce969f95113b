"""What a caller sends becomes Structs: every wrong field is named at once, and nothing is ignored in silence.

msgspec stops at its first error, so a small walker goes over the Struct's fields itself. It is strict: a whole number
is no text, `"29.00"` is no number of cents, an unknown key is refused by its name. Numbers are taken exactly, and
their digits and exponent are bounded before anything is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct, inspect

from gateway import instants
from gateway.problem import Problem
from gateway.schema import MAX_INTEGER, Part, Words, part_of, parts_of
from services.kernel.money import decimal_or_none

S = TypeVar("S", bound=Struct)

# Deeper than any body that means something, and far from the depth at which Python's own stack ends.
MAX_DEPTH = 32
# Longer than any text of a catalog or a customer; what may be longer says so by its own bound.
MAX_TEXT = 10_000
# Enough to mend a form at one go; the answer to a body of junk must not be larger than the junk.
MAX_REFUSALS = 100
# Longer than any number that int64 or our decimals hold.
MAX_NUMBER_TEXT = 80
_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_QUERY_NAME = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_FLAGS = {"true": True, "false": False}
_SURROGATES = re.compile("[\ud800-\udfff]")


class NumberText(str):
    """A JSON number with a fraction or an exponent, as it was written."""

    __slots__ = ()


_JSON = msgspec.json.Decoder(float_hook=NumberText)


class _Invalid:
    """Stands for a value that was refused."""


_INVALID = _Invalid()


@dataclass
class Refusals:
    """What is wrong with a request, field by field.

    Attributes:
        fields: codes by the path that the caller wrote.
        sentences: the same for a person.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)

    def add(self, path: str, code: str, detail: str) -> _Invalid:
        """Refuse a field."""
        if len(self.fields) < MAX_REFUSALS:
            self.fields.setdefault(path, []).append(code)
            self.sentences.append(f"{path}: {detail}")
        return _INVALID

    def take(self, others: Refusals) -> None:
        """Add the refusals of others."""
        for (path, codes), sentence in zip(others.fields.items(), others.sentences, strict=False):
            for code in codes:
                self.add(path, code, sentence.removeprefix(f"{path}: "))

    def raise_any(self) -> None:
        """Refuse the request if anything is wrong with it.

        Raises:
            Problem: 422, with every wrong field.
        """
        if self.fields:
            raise Problem(422, "validation_errors", "; ".join(self.sentences), fields=self.fields)


@dataclass(frozen=True)
class _Source:
    """Where values come from, which decides how they are written.

    Attributes:
        refusals: collects what is wrong.
        is_text: whether every value is a text, as in paths and queries.
    """

    refusals: Refusals
    is_text: bool


def parse(body: bytes) -> object:
    """The JSON of a body; numbers that are not whole stay texts, an empty body is an empty object.

    Raises:
        Problem: 400, it is no JSON, no UTF-8, or nested too deeply.
    """
    if not body.strip():
        return {}
    try:
        value = _JSON.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "bad_request", f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise _too_deep() from error
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deep(value):
        raise _too_deep()
    return value


def _too_deep() -> Problem:
    return Problem(400, "bad_request", f"the body is nested more than {MAX_DEPTH} deep")


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def unwrap(value: object, root: str, refusals: Refusals, *, is_optional: bool = False) -> Mapping[str, Any]:
    """The object under a body's root name, or the body itself where there is no root, or may be none.

    Raises:
        Problem: 400, there is no object.
    """
    if not isinstance(value, dict):
        raise Problem(400, "bad_request", "the body must be a JSON object")
    if not root or (is_optional and root not in value):
        return value
    inner = value.get(root)
    if not isinstance(inner, dict):
        raise Problem(400, "bad_request", f"param is missing or the value is empty: {root}")
    for name in value:
        if name != root:
            refusals.add(name, "unknown_field", "is not known here")
    return inner


def query_values(pairs: Iterable[tuple[str, str]], refusals: Refusals) -> dict[str, Any]:
    """Parameters of a query as values: `a[]=1&a[]=2` is a list, `a[b]=1` an object; an empty one says nothing."""
    values: dict[str, Any] = {}
    for name, text in pairs:
        match = _QUERY_NAME.fullmatch(name)
        bare_name, key = match.groups() if match else (name, None)
        known = values.get(bare_name)
        if key == "" and isinstance(known, list | None):
            values[bare_name] = [*(known or ()), text]
        elif key and isinstance(known, dict | None) and key not in (known or {}):
            values[bare_name] = {**(known or {}), key: text}
        elif key is None and known is None:
            values[bare_name] = text
        else:
            refusals.add(name, "value_is_invalid", "is given twice")
    return {name: value for name, value in values.items() if value != ""}


def read(
    struct: type[S], values: Mapping[str, Any], refusals: Refusals, *, path: str = "", is_text: bool = False
) -> S | None:
    """The Struct that the values say; None where something is wrong with them, which `refusals` then names.

    Args:
        struct: what is wanted. Its class variable `NOT_OFFERED` names keys that the dialect knows and we do not offer.
        values: a JSON object, or parameters by name.
        refusals: collects what is wrong.
        path: where the object stands in the request.
        is_text: whether every value is a text, as in paths and queries.
    """
    found = _object(struct, values, path, _Source(refusals, is_text))
    return None if isinstance(found, _Invalid) else cast("S", found)


def _object(struct: type[Struct], values: object, path: str, source: _Source) -> object:
    if not isinstance(values, dict | Mapping):
        return source.refusals.add(path, "invalid_format", "must be an object")
    before = len(source.refusals.sentences)
    parts = {part.name: part for part in parts_of(struct)}
    _refuse_unknown(struct, values, parts, path, source.refusals)
    given: dict[str, object] = {}
    for name, part in parts.items():
        if name in values:
            given[part.attribute] = _field(part, values[name], _join(path, name), source)
        elif part.is_required:
            source.refusals.add(_join(path, name), "value_is_mandatory", "is missing")
    if len(source.refusals.sentences) > before or any(isinstance(value, _Invalid) for value in given.values()):
        return _INVALID
    return struct(**given)


def _refuse_unknown(
    struct: type[Struct], values: Mapping[str, Any], known: Mapping[str, Part], path: str, refusals: Refusals
) -> None:
    not_offered: Iterable[str] = getattr(struct, "NOT_OFFERED", ())
    for name, value in values.items():
        if name in known:
            continue
        if name not in not_offered:
            refusals.add(_join(path, _printable(name)), "unknown_field", "is not known here")
        elif value not in (None, "", [], {}):
            refusals.add(_join(path, name), "not_available", "is not offered")


def _field(part: Part, value: object, path: str, source: _Source) -> object:
    if value is None:
        return None if part.is_nullable else source.refusals.add(path, "value_is_mandatory", "must not be null")
    if part.words is not None and not isinstance(part.kinds[0], inspect.ListType):
        return _word(part.words, value, path, source)
    return _value(part.kinds, value, path, source)


def _word(words: Words, value: object, path: str, source: _Source) -> object:
    if isinstance(value, str) and words.value(value) is not None:
        return str(value)
    return source.refusals.add(path, "value_is_invalid", f"must be one of {', '.join(words)}")


def _value(kinds: tuple[inspect.Type, ...], value: object, path: str, source: _Source) -> object:
    """The value as the first of the types that takes it; where none does, the first one says why."""
    reasons: list[Refusals] = []
    for kind in kinds:
        attempt = Refusals()
        found = _READERS[type(kind)](kind, value, path, _Source(attempt, source.is_text))
        if not attempt.fields:
            return found
        reasons.append(attempt)
    source.refusals.take(reasons[0])
    return _INVALID


def _text(kind: inspect.StrType, value: object, path: str, source: _Source) -> object:
    if not isinstance(value, str) or isinstance(value, NumberText):
        return source.refusals.add(path, "invalid_format", "must be a text")
    if not _is_storable(value):
        return source.refusals.add(path, "invalid_format", "holds a character that no text may hold")
    if len(value) < (kind.min_length or 0):
        return source.refusals.add(path, "value_is_mandatory", "is empty")
    most = kind.max_length or MAX_TEXT
    if len(value) > most:
        return source.refusals.add(path, "value_is_too_long", f"has more than {most} characters")
    if kind.pattern and not re.search(kind.pattern, value):
        return source.refusals.add(path, "invalid_format", "is not written as it must be")
    return value


def _is_storable(text: str) -> bool:
    """Whether a database and a message can hold a text: neither NUL nor half a surrogate pair."""
    return "\0" not in text and (text.isascii() or not _SURROGATES.search(text))


def _whole(kind: inspect.IntType, value: object, path: str, source: _Source) -> object:
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
        # 29.0 is the whole number 29 in JSON; the digits are bounded before they are expanded.
        number = decimal_or_none(value)
        return int(number) if number is not None and number == number.to_integral_value() else None
    if is_text and isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _flag(_: inspect.BoolType, value: object, path: str, source: _Source) -> object:
    found = _FLAGS.get(value) if source.is_text and isinstance(value, str) else value
    return found if isinstance(found, bool) else source.refusals.add(path, "invalid_format", "must be true or false")


def _decimal(_: inspect.DecimalType, value: object, path: str, source: _Source) -> object:
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


def _instant(_: inspect.DateTimeType, value: object, path: str, source: _Source) -> object:
    found = read_instant(value)
    if found is None:
        return source.refusals.add(path, "invalid_format", "must be an RFC 3339 time or Unix seconds")
    return found


def read_instant(value: object) -> datetime | None:
    """The instant that a JSON value writes, a bare day included; None where it writes none."""
    if isinstance(value, str) and not isinstance(value, NumberText):
        day = instants.from_date(value)
        return instants.midnight(day) if day is not None else instants.from_text(value)
    number = _number(value)
    return None if number is None else instants.from_seconds(number)


def _day(_: inspect.DateType, value: object, path: str, source: _Source) -> object:
    found: date | None = instants.from_date(value) if isinstance(value, str) else None
    return source.refusals.add(path, "invalid_format", "must be a day such as 2024-02-01") if found is None else found


def _literal(kind: inspect.LiteralType, value: object, path: str, source: _Source) -> object:
    if not isinstance(value, bool | dict | list) and value in kind.values:
        return value
    return source.refusals.add(path, "value_is_invalid", f"must be one of {', '.join(map(str, kind.values))}")


def _list(kind: inspect.ListType, value: object, path: str, source: _Source) -> object:
    if not isinstance(value, list):
        return source.refusals.add(path, "invalid_format", "must be a list")
    if kind.max_length is not None and len(value) > kind.max_length:
        return source.refusals.add(path, "value_is_too_long", f"has more than {kind.max_length} entries")
    declared = part_of(kind.item_type)
    return [_field(declared, entry, f"{path}[{index}]", source) for index, entry in enumerate(value)]


def _mapping(kind: inspect.DictType, value: object, path: str, source: _Source) -> object:
    if not isinstance(value, dict):
        return source.refusals.add(path, "invalid_format", "must be an object")
    declared = part_of(kind.value_type)
    for name in value:
        if not _is_storable(name):
            return source.refusals.add(path, "invalid_format", "has a key that no text may hold")
    return {name: _field(declared, entry, _join(path, name), source) for name, entry in value.items()}


def _struct(kind: inspect.StructType, value: object, path: str, source: _Source) -> object:
    return _object(kind.cls, value, path, source)


def _anything(_: inspect.Type, value: object, path: str, source: _Source) -> object:
    """Free JSON: its numbers become exact decimals."""
    match value:
        case dict():
            return _mapping(inspect.DictType(inspect.StrType(), inspect.AnyType()), value, path, source)
        case list():
            return _list(inspect.ListType(inspect.AnyType()), value, path, source)
        case NumberText() | int() if not isinstance(value, bool):
            return _decimal(inspect.DecimalType(), value, path, source) if isinstance(value, str) else value
        case str() if not _is_storable(value):
            return source.refusals.add(path, "invalid_format", "holds a character that no text may hold")
        case _:
            return value


_READERS: dict[type[inspect.Type], Callable[..., object]] = {
    inspect.StrType: _text,
    inspect.IntType: _whole,
    inspect.BoolType: _flag,
    inspect.DecimalType: _decimal,
    inspect.DateTimeType: _instant,
    inspect.DateType: _day,
    inspect.LiteralType: _literal,
    inspect.ListType: _list,
    inspect.DictType: _mapping,
    inspect.StructType: _struct,
    inspect.AnyType: _anything,
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _printable(name: str) -> str:
    """A key that a stranger chose, short and harmless in an answer."""
    return name[:100] if _is_storable(name) else ascii(name[:100])
