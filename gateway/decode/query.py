"""The parameters of a query as values."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.decode.refusals import Refusals

# `a[]` is an entry of a list, `a[b]` an entry of an object.
_NAME = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")

QueryValue = str | list[str] | dict[str, str]


def query_values(pairs: Iterable[tuple[str, str]], refusals: Refusals) -> dict[str, QueryValue]:
    """The parameters of a query as values: `a[]=1&a[]=2` is a list, `a[b]=1` an object; empty ones are ignored."""
    values: dict[str, QueryValue] = {}
    for name, text in pairs:
        # Most names have no brackets, and looking for one costs less than a pattern.
        match = _NAME.fullmatch(name) if "[" in name else None
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
