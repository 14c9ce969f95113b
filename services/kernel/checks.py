"""Every wrong field at once: a check names its own field, its caller says which block the field is in.

    with inside(f"plan.charges[{number}]") as checks:
        checks(require_text, "code", charge.code, MAX_CODE)
        amount = checks.read(ZERO, decimal_of, charge, "min_amount")
        return Charge(charge.code, amount)

What is refused in the block is remembered under its whole path and raised as one error at the end of the block. A value
that cannot be read is replaced by a stand-in, so that the rest of the block can be checked; nothing made of the
stand-in leaves the block.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import ParamSpec, Self, TypeVar

from services.kernel.errors import FieldViolation, InvalidArgumentError

P = ParamSpec("P")
T = TypeVar("T")

# An error travels in the trailer of a gRPC call, which is limited to 8 KiB; after twenty violations a caller knows
# enough.
MAX_VIOLATIONS = 20
_FIRST_NAME = re.compile(r"^[a-z_]+")
_SAME_NAMES: Mapping[str, str] = MappingProxyType({})


class Checks:
    """What has been refused in a block so far."""

    def __init__(self, path: str, names: Mapping[str, str]) -> None:
        self._path, self._names = path, names
        self._violations: list[FieldViolation] = []

    def __call__(self, check: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run a check that raises InvalidArgumentError for what it refuses."""
        self.read(None, check, *args, **kwargs)

    def read(self, instead: T, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `read` returns, or `instead` if it refuses the value."""
        try:
            return read(*args, **kwargs)
        except InvalidArgumentError as error:
            if not error.violations:
                raise
            self._remember(error)
            return instead

    def refuse(self, field: str, reason: str, description: str) -> None:
        """Remember that a field is wrong."""
        self._remember(InvalidArgumentError.of_field(field, reason, description))

    def _remember(self, error: InvalidArgumentError) -> None:
        self._add(error)
        if len(self._violations) >= MAX_VIOLATIONS:
            raise _Enough from error

    def _add(self, error: InvalidArgumentError) -> None:
        for violation in error.violations:
            whole = replace(violation, field=self._whole(violation.field))
            # The same value may be checked twice: when it is read, and again in the object that is made of it.
            if (whole.field, whole.reason) not in {(known.field, known.reason) for known in self._violations}:
                self._violations.append(whole)

    def _whole(self, field: str) -> str:
        own = _FIRST_NAME.sub(lambda match: self._names.get(match.group(), match.group()), field)
        return f"{self._path}.{own}" if self._path else own

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Raise what was remembered, together with what ended the block.

        Raises:
            InvalidArgumentError: names every wrong field, at most `MAX_VIOLATIONS`.
        """
        if isinstance(error, InvalidArgumentError) and error.violations:
            self._add(error)
        elif error is not None and not isinstance(error, _Enough):
            return
        if self._violations:
            raise InvalidArgumentError.of_fields(self._violations[:MAX_VIOLATIONS]) from error


def inside(path: str = "", names: Mapping[str, str] = _SAME_NAMES) -> Checks:
    """A block whose refusals are remembered and raised together at its end.

    Args:
        path: prefix of every field refused in the block, as the caller wrote it, e.g. `plan.charges[2]`.
        names: the caller's names of fields that are called differently here; only the first part of a path is renamed.
    """
    return Checks(path, names)


class _Enough(Exception):  # noqa: N818 - not an error: the block has seen as much as it tells
    """Ends the block early, once it has refused `MAX_VIOLATIONS` fields."""
