"""One error vocabulary inside; it is translated only at the edges (chassis.rpc to gRPC, gateway.problem to JSON).

FareboxError                    reason (UPPER_SNAKE, stable), message (a sentence), metadata (strings)
├── InvalidArgumentError        the request can never succeed as it is; names fields
├── UnauthenticatedError        no valid key or organization
├── PermissionDeniedError       a valid caller who may not do this
├── NotFoundError               the named thing does not exist for this organization
├── AlreadyExistsError          the id is taken by something else
├── FailedPreconditionError     the thing is not in a state that allows it
├── AbortedError                a concurrent change won; try again
├── ResourceExhaustedError      a bound was reached; carries how long to wait
└── UnavailableError            a dependency is away; try again
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that cannot be accepted.

    Attributes:
        field: path of the field as the caller wrote it, e.g. `events[3].properties.tokens`.
        reason: stable machine word, lower snake, e.g. `value_is_mandatory`, `invalid_format`.
        description: a sentence for a person.
    """

    field: str
    reason: str
    description: str


class FareboxError(Exception):
    """Base of every expected error: a stable reason, a sentence, and string metadata."""

    def __init__(self, reason: str, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = {name: str(value) for name, value in metadata.items()}


class InvalidArgumentError(FareboxError):
    """The request can never succeed as it is."""

    def __init__(
        self, reason: str, message: str, *, violations: Iterable[FieldViolation] = (), **metadata: object
    ) -> None:
        super().__init__(reason, message, **metadata)
        self.violations = tuple(violations)

    @classmethod
    def of_field(cls, field: str, reason: str, description: str) -> InvalidArgumentError:
        """The common case: one field is wrong."""
        return cls.of_fields([FieldViolation(field, reason, description)])

    @classmethod
    def of_fields(cls, violations: Sequence[FieldViolation]) -> InvalidArgumentError:
        """The general case: at least one field is wrong. All are named, and the message describes the first."""
        first = violations[0]
        return cls("FIELD_INVALID", f"{first.field}: {first.description}", violations=violations, field=first.field)


class UnauthenticatedError(FareboxError):
    """The caller gave no valid key or organization."""


class PermissionDeniedError(FareboxError):
    """The caller is known and may not do this."""


class NotFoundError(FareboxError):
    """The named thing does not exist for this organization."""


class AlreadyExistsError(FareboxError):
    """The id is taken by something with other content."""


class FailedPreconditionError(FareboxError):
    """The thing is not in a state that allows this verb."""


class AbortedError(FareboxError):
    """A concurrent change won the race; the caller may try again."""


class ResourceExhaustedError(FareboxError):
    """A bound was reached before anything was stored; the caller should wait `retry_after_seconds`."""

    def __init__(self, reason: str, message: str, *, retry_after_seconds: int = 1, **metadata: object) -> None:
        super().__init__(reason, message, **metadata)
        self.retry_after_seconds = retry_after_seconds


class UnavailableError(FareboxError):
    """A dependency is away; nothing was stored; the caller may try again."""
