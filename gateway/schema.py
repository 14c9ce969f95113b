"""The vocabulary of Structs: amounts, decimals, instants and enums with their units, and how fields were declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Protocol, cast

from msgspec import Meta, Raw, Struct, inspect

# The range of an int64 in a message.
MAX_INTEGER = 2**63 - 1
# The range of an int32 in a message.
MAX_COUNT = 2**31 - 1
# As long as the services' own limit for codes and external ids.
MAX_CODE = 255

# msgspec writes a type's own `type` last, so a second type is kept as a note, which `gateway.openapi` applies.
OR_NUMBER = "x-or-number"
_OR_NUMBER = {OR_NUMBER: True}

Cents = Annotated[
    int,
    Meta(
        ge=-MAX_INTEGER - 1,
        le=MAX_INTEGER,
        description="An amount in minor units of its currency: 2900 is 29.00 USD, 2900 JPY, 2.900 KWD.",
        extra_json_schema={"format": "int64"},
    ),
]
Code = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_CODE, description="The organization's own code, unique for its kind of thing."),
]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
CurrencyCode = Annotated[str, Meta(pattern="^[A-Za-z]{3}$", description="ISO 4217 code.")]
DecimalText = Annotated[
    str, Meta(description="An exact decimal number as text, without exponent.", extra_json_schema={"format": "decimal"})
]
DecimalInput = Annotated[
    Decimal,
    Meta(
        description="An exact decimal number, as text or as JSON number; at most 38 digits, exponent within ±30.",
        extra_json_schema=_OR_NUMBER,
    ),
]
ExactNumber = Annotated[
    Raw, Meta(description="An exact decimal as JSON number, digit by digit.", extra_json_schema={"type": "number"})
]
Instant = Annotated[datetime, Meta(tz=True, description="An instant, RFC 3339 in UTC.")]
InstantInput = Annotated[
    datetime,
    Meta(
        tz=True,
        description="RFC 3339 with a zone, or Unix seconds as number or text, or a day, which begins at midnight UTC.",
        extra_json_schema=_OR_NUMBER,
    ),
]
Date = Annotated[date, Meta(description="A day, e.g. 2024-02-01.")]

_FIELD, _WORDS = "field", "words"


def keys(text: str) -> frozenset[str]:
    """Keys of a JSON object or a query, written one after the other."""
    return frozenset(text.split())


def of(field: str) -> Meta:
    """The field of the message that a field of a Struct corresponds to, if their names differ."""
    return Meta(extra={_FIELD: field})


class ProtoEnum(Protocol):
    """What generated code offers for an enum."""

    def items(self) -> Iterable[tuple[str, int]]:
        """Names and values."""


class Words:
    """The dialect's words for the values of an enum: `AGGREGATION_SUM` is `sum_agg`.

    Attributes:
        meta: for reading: `Annotated[str, AGGREGATION.meta]` is refused unless it is one of the words.
        told: for answers: the words without their synonyms.
    """

    def __init__(
        self, enum: ProtoEnum, prefix: str, *, suffix: str = "", synonyms: Mapping[str, str] | None = None
    ) -> None:
        """Take the words from the enum.

        Args:
            enum: the generated enum; its 0, which is never sent, has no word.
            prefix: the prefix of the enum's names.
            suffix: the suffix that the dialect appends.
            synonyms: further words that are understood, with the word that each means.
        """
        self._words = {value: name.removeprefix(prefix).lower() + suffix for name, value in enum.items() if value}
        self._values = {word: value for value, word in self._words.items()}
        self._values |= {word: self._values[same] for word, same in (synonyms or {}).items()}
        self.told = Meta(extra={_WORDS: self}, extra_json_schema={"enum": list(self._words.values())})
        self.meta = Meta(extra={_WORDS: self}, extra_json_schema={"enum": list(self._values)})

    def __iter__(self) -> Iterator[str]:
        """All words that are understood; the words of answers come first."""
        return iter(self._values)

    def word(self, value: int) -> str | None:
        """The word of a value; None for the enum's 0."""
        return self._words.get(value)

    def value(self, word: str) -> int | None:
        """The value of a word, or None."""
        return self._values.get(word)


@dataclass(frozen=True)
class Part:
    """A field of a Struct as it was declared.

    Attributes:
        name: its name as callers write it.
        attribute: the Struct's attribute.
        kinds: the types that it may have, apart from null.
        is_nullable: whether null is one of its values.
        is_required: whether it must be given.
        message_field: its name in the message.
        words: the words of its enum, or of its entries' enum, if it has one.
    """

    name: str
    attribute: str
    kinds: tuple[inspect.Type, ...]
    is_nullable: bool
    is_required: bool
    message_field: str
    words: Words | None


@cache  # as many as there are Structs
def parts_of(struct: type[Struct]) -> tuple[Part, ...]:
    """The fields of a Struct."""
    info = cast("inspect.StructType", inspect.type_info(struct))
    return tuple(_part(field) for field in info.fields)


def _part(field: inspect.Field) -> Part:
    return part_of(field.type, field.encode_name, field.name, is_required=field.required)


def part_of(kind: inspect.Type, name: str = "", attribute: str = "", *, is_required: bool = False) -> Part:
    """What was declared for a type: a field's, or that of a list's entries."""
    extra: dict[str, object] = {}
    kinds = tuple(_kinds(kind, extra))
    entry = kinds[0].item_type if isinstance(kinds[0], inspect.ListType) else None
    words = extra.get(_WORDS) if entry is None else part_of(entry).words
    return Part(
        name=name,
        attribute=attribute,
        kinds=tuple(kind for kind in kinds if not isinstance(kind, inspect.NoneType)),
        is_nullable=any(isinstance(kind, inspect.NoneType | inspect.AnyType) for kind in kinds),
        is_required=is_required,
        message_field=str(extra.get(_FIELD, attribute)),
        words=words if isinstance(words, Words) else None,
    )


def _kinds(kind: inspect.Type, extra: dict[str, object]) -> Iterable[inspect.Type]:
    """The alternatives of a type, with its notes collected in `extra`."""
    if isinstance(kind, inspect.Metadata):
        extra |= kind.extra or {}
        yield from _kinds(kind.type, extra)
    elif isinstance(kind, inspect.UnionType):
        for alternative in kind.types:
            yield from _kinds(alternative, extra)
    else:
        yield kind


def bare(kind: inspect.Type) -> inspect.Type:
    """A type without its notes."""
    return bare(kind.type) if isinstance(kind, inspect.Metadata) else kind
