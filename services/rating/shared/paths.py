"""Where in a request a refused value stood: checks name their own field, callers say what it is inside of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from services.kernel.errors import InvalidArgumentError

_FIRST_NAME = re.compile(r"^[a-z_]+")
_SAME_NAMES: Mapping[str, str] = MappingProxyType({})


@contextmanager
def inside(path: str, names: Mapping[str, str] = _SAME_NAMES) -> Iterator[None]:
    """Prefix the fields of every refusal within the block with `path`.

    Args:
        path: as the caller wrote it, e.g. `plan.charges[2]`.
        names: fields that the caller knows by another name, by the first part of their own.

    Raises:
        InvalidArgumentError: the same refusal with whole paths.
    """
    try:
        yield
    except InvalidArgumentError as error:
        if not error.violations:
            raise
        violations = [replace(each, field=f"{path}.{_renamed(each.field, names)}") for each in error.violations]
        first = violations[0]
        raise InvalidArgumentError(
            error.reason, f"{first.field}: {first.description}", violations=violations, field=first.field
        ) from error


def _renamed(field: str, names: Mapping[str, str]) -> str:
    return _FIRST_NAME.sub(lambda found: names.get(found.group(), found.group()), field)
