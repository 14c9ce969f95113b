"""Bodies in the form of Stripe's clients: forms with nested names, `payload[value]=25`."""

from __future__ import annotations

import re
from typing import TypeVar

from msgspec import Struct

from gateway.decode import structs
from gateway.decode.refusals import Refusals
from gateway.exchange import read_pairs

# One level more than Stripe's own parameters for these routes.
MAX_DEPTH = 3
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INNER = re.compile(r"\[([^\[\]]*)\]")
S = TypeVar("S", bound=Struct)


def read_form(struct: type[S], raw: bytes) -> S:
    """The Struct that a form describes.

    Raises:
        Problem: 400, it is not a form; 422, names every field that is wrong.
    """
    refusals = Refusals()
    values = _nested(raw, refusals)
    found = structs.read(struct, values, refusals, is_text=True)
    refusals.raise_any()
    if found is None:
        raise AssertionError("a Struct that cannot be read is refused")
    return found


def _nested(raw: bytes, refusals: Refusals) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in read_pairs(raw, "form"):
        match = _NAME.fullmatch(name)
        keys = [match[1], *_INNER.findall(match[2])] if match else []
        if not 0 < len(keys) <= MAX_DEPTH:
            refusals.add(name[:100], "invalid_format", "is not a name such as `event_name` or `payload[value]`")
        elif not _put(values, keys, value):
            refusals.add(name[:100], "invalid_format", "is given twice, or as a value and as an object")
    return values


def _put(values: dict[str, object], keys: list[str], value: str) -> bool:
    """Put a value at its place; False if something else is already there."""
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        values = inner
    if keys[-1] in values:
        return False
    values[keys[-1]] = value
    return True
