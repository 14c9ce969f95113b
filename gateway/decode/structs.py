"""Values become Structs: every wrong field is named, and nothing is ignored in silence.

msgspec stops at its first error, so this module goes over the Struct's fields itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import TypeVar, cast

from msgspec import Struct, inspect

from gateway.decode import scalars
from gateway.decode.body import NumberText
from gateway.decode.refusals import INVALID, Invalid, Refusals, Source
from gateway.schema import Part, part_of, parts_of

S = TypeVar("S", bound=Struct)

# How many characters of an unknown key an error message repeats.
_SHOWN = 100


def read(
    struct: type[S], values: Mapping[str, object], refusals: Refusals, *, path: str = "", is_text: bool = False
) -> S | None:
    """The Struct of some values; None if any of them is wrong, which `refusals` then says.

    Args:
        struct: the Struct's type. Its class variable `NOT_OFFERED` names keys that the dialect knows and Farebox does
            not offer; `FIXED` names keys that have only one possible value in Farebox.
        values: a JSON object, or parameters by name.
        refusals: collects what is wrong.
        path: the object's place in the request.
        is_text: whether every value is a text, as in paths and queries.
    """
    found = _object(struct, values, path, Source(refusals, is_text))
    return None if isinstance(found, Invalid) else cast("S", found)


def _object(struct: type[Struct], values: object, path: str, source: Source) -> object:
    if not isinstance(values, dict | Mapping):
        return source.refusals.add(path, "invalid_format", "must be an object")
    parts = _parts(struct)
    if not values and not parts:
        return struct()
    before = len(source.refusals.sentences)
    _refuse_unknown(struct, values, parts, path, source.refusals)
    given: dict[str, object] = {}
    for name, part in parts.items():
        if name in values:
            given[part.attribute] = _field(part, values[name], _join(path, name), source)
        elif part.is_required:
            source.refusals.add(_join(path, name), "value_is_mandatory", "is missing")
    if len(source.refusals.sentences) > before or any(isinstance(value, Invalid) for value in given.values()):
        return INVALID
    return struct(**given)


@cache  # as many as there are Structs
def _parts(struct: type[Struct]) -> Mapping[str, Part]:
    """The fields of a Struct by the names that callers write."""
    return {part.name: part for part in parts_of(struct)}


def _refuse_unknown(
    struct: type[Struct], values: Mapping[str, object], known: Mapping[str, Part], path: str, refusals: Refusals
) -> None:
    not_offered: Collection[str] = getattr(struct, "NOT_OFFERED", ())
    fixed: Mapping[str, object] = getattr(struct, "FIXED", {})
    for name, value in values.items():
        if name in known:
            continue
        if name in fixed:
            if not _is(value, fixed[name]):
                refusals.add(_join(path, name), "not_available", f"is always {json.dumps(fixed[name])}")
        elif name not in not_offered:
            refusals.add(_join(path, _printable(name)), "unknown_field", "is not known here")
        elif value not in (None, "", [], {}):
            refusals.add(_join(path, name), "not_available", "is not offered")


def _is(value: object, fixed: object) -> bool:
    """Whether a value is null or the only possible one; 0 does not count as false."""
    return value is None or (type(value) is type(fixed) and value == fixed)


def _field(part: Part, value: object, path: str, source: Source) -> object:
    if value is None:
        return None if part.is_nullable else source.refusals.add(path, "value_is_mandatory", "must not be null")
    if part.words is not None and not isinstance(part.kinds[0], inspect.ListType):
        return scalars.read_word(part.words, value, path, source)
    return _value(part.kinds, value, path, source)


def _value(kinds: tuple[inspect.Type, ...], value: object, path: str, source: Source) -> object:
    """The value, read as the first type that takes it; if none does, the first type's reasons are given."""
    if len(kinds) == 1:
        return _READERS[type(kinds[0])](kinds[0], value, path, source)
    reasons: list[Refusals] = []
    for kind in kinds:
        attempt = Refusals()
        found = _READERS[type(kind)](kind, value, path, Source(attempt, source.is_text))
        if not attempt.fields:
            return found
        reasons.append(attempt)
    source.refusals.take(reasons[0])
    return INVALID


def _list(kind: inspect.ListType, value: object, path: str, source: Source) -> object:
    if source.is_text and isinstance(value, str):
        # In a query, `status=draft` is a list with one entry.
        value = [value]
    if not isinstance(value, list):
        return source.refusals.add(path, "invalid_format", "must be a list")
    if kind.max_length is not None and len(value) > kind.max_length:
        return source.refusals.add(path, "value_is_too_long", f"has more than {kind.max_length} entries")
    declared = part_of(kind.item_type)
    return [_field(declared, entry, f"{path}[{index}]", source) for index, entry in enumerate(value)]


def _mapping(kind: inspect.DictType, value: object, path: str, source: Source) -> object:
    if not isinstance(value, dict):
        return source.refusals.add(path, "invalid_format", "must be an object")
    declared = part_of(kind.value_type)
    for name in value:
        if not scalars.is_storable(name):
            return source.refusals.add(path, "invalid_format", "has a key that no text may hold")
    return {name: _field(declared, entry, _join(path, name), source) for name, entry in value.items()}


def _struct(kind: inspect.StructType, value: object, path: str, source: Source) -> object:
    return _object(kind.cls, value, path, source)


def _anything(_: inspect.Type, value: object, path: str, source: Source) -> object:
    """Free JSON, whose numbers become exact decimals."""
    if isinstance(value, dict):
        return _mapping(inspect.DictType(inspect.StrType(), inspect.AnyType()), value, path, source)
    if isinstance(value, list):
        return _list(inspect.ListType(inspect.AnyType()), value, path, source)
    if isinstance(value, NumberText):
        return scalars.read_decimal(inspect.DecimalType(), value, path, source)
    return scalars.read_text(inspect.StrType(), value, path, source) if isinstance(value, str) else value


_READERS: Mapping[type[inspect.Type], Callable[..., object]] = {
    **scalars.READERS,
    inspect.ListType: _list,
    inspect.DictType: _mapping,
    inspect.StructType: _struct,
    inspect.AnyType: _anything,
}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _printable(name: str) -> str:
    """A key that a caller chose, shortened and made harmless for an answer."""
    return name[:_SHOWN] if scalars.is_storable(name) else ascii(name[:_SHOWN])
