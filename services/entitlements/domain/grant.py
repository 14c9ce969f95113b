"""A grant: credits that a customer was given, from when until when, and in which order grants are burned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from services.entitlements.domain.recurrence import Recurrence
from services.kernel.errors import FieldViolation, InvalidArgumentError
from services.kernel.money import ZERO

# Finer than any price of a token, and what the SDKs that speak of credits write at most.
MAX_FRACTION_DIGITS = 12
# With 15 whole and 12 fraction digits, millions of amounts add up without a digit of the decimal context being lost.
MAX_CREDITS = Decimal(10) ** 15
# A priority is a small number that a person chose; 0 burns first.
MAX_PRIORITY = 255
# Grants without a priority stand between those that a person put before and behind.
DEFAULT_PRIORITY = 100
# Later than every expiry.
_NEVER = datetime.max.replace(tzinfo=UTC)


class GrantSource(StrEnum):
    """Where a grant came from."""

    SUBSCRIPTION = "subscription"
    TOP_UP = "top_up"
    MANUAL = "manual"
    ADJUSTMENT = "adjustment"
    ALLOCATED = "allocated"


class BurnOrder(StrEnum):
    """Which of two grants is burned first; what follows decides between equals."""

    # Expiry, priority, creation, id: nothing expires that could have been used.
    EXPIRY_FIRST = "expiry_first"
    # Priority, expiry in whole seconds, creation, id: as OpenMeter does.
    PRIORITY_FIRST = "priority_first"


@dataclass(frozen=True, slots=True)
class Grant:
    """Credits that a customer was given.

    Attributes:
        id: Farebox id.
        amount: credits at the start, and again at each recurrence; above 0.
        effective_at: the first instant at which they can be burned.
        created_at: when they were given.
        expires_at: the first instant at which they can no longer be burned; None if they do not expire.
        voided_at: when they were taken back; None if they were not. What was burned before stays burned.
        priority: lower burns first; from 0 to `MAX_PRIORITY`.
        recurrence: when the balance becomes the amount again, whatever was left of it; None if it never does.
        min_rollover: at a reset the balance becomes at least this many credits.
        max_rollover: at a reset the balance becomes at most this many credits.
        source: where it came from.
    """

    id: str
    amount: Decimal
    effective_at: datetime
    created_at: datetime
    expires_at: datetime | None = None
    voided_at: datetime | None = None
    priority: int = DEFAULT_PRIORITY
    recurrence: Recurrence | None = None
    min_rollover: Decimal = ZERO
    max_rollover: Decimal = ZERO
    source: GrantSource = GrantSource.MANUAL

    def __post_init__(self) -> None:
        """Refuse a grant that means nothing, and name each of its wrong fields."""
        if violations := list(_violations(self)):
            raise InvalidArgumentError.of_fields(violations)

    @property
    def ends_at(self) -> datetime | None:
        """The first instant at which it can no longer be burned, for whichever reason; None if there is none."""
        return min((at for at in (self.expires_at, self.voided_at) if at is not None), default=None)

    @property
    def is_voided_at_end(self) -> bool:
        """Whether it ends because it was taken back, not because it expires."""
        return self.voided_at is not None and self.voided_at == self.ends_at

    def is_active(self, at: datetime) -> bool:
        """Whether it can be burned at an instant."""
        return self.effective_at <= at and (self.ends_at is None or at < self.ends_at)


def credits_are_exact(amount: Decimal) -> bool:
    """Whether an amount has at most 12 fraction digits that mean something, and is below the largest one."""
    return amount.is_finite() and abs(amount) < MAX_CREDITS and amount == round(amount, MAX_FRACTION_DIGITS)


def in_burn_order(grants: Iterable[Grant], order: BurnOrder) -> list[Grant]:
    """The grants in the order in which they are burned."""
    return sorted(grants, key=_KEYS[order])


def _expiry_first(grant: Grant) -> tuple[object, ...]:
    return grant.expires_at or _NEVER, grant.priority, grant.created_at, grant.id


def _priority_first(grant: Grant) -> tuple[object, ...]:
    return grant.priority, (grant.expires_at or _NEVER).replace(microsecond=0), grant.created_at, grant.id


_KEYS: dict[BurnOrder, Callable[[Grant], tuple[object, ...]]] = {
    BurnOrder.EXPIRY_FIRST: _expiry_first,
    BurnOrder.PRIORITY_FIRST: _priority_first,
}


def _violations(grant: Grant) -> Iterator[FieldViolation]:
    if credits_are_exact(grant.amount) and grant.amount <= 0:
        yield FieldViolation("amount", "value_is_out_of_range", "must be above 0")
    for name, amount in _amounts(grant):
        if not credits_are_exact(amount):
            yield FieldViolation(
                name, "value_is_out_of_range", f"at most {MAX_FRACTION_DIGITS} fraction digits, below {MAX_CREDITS:f}"
            )
    are_exact = all(credits_are_exact(amount) for _, amount in _amounts(grant))
    if are_exact and not ZERO <= grant.min_rollover <= grant.max_rollover:
        yield FieldViolation("min_rollover", "value_is_out_of_range", "from 0 to max_rollover")
    if not 0 <= grant.priority <= MAX_PRIORITY:
        yield FieldViolation("priority", "value_is_out_of_range", f"from 0 to {MAX_PRIORITY}")
    if grant.expires_at is not None and grant.expires_at <= grant.effective_at:
        yield FieldViolation("expires_at", "value_is_invalid", "must be later than effective_at")


def _amounts(grant: Grant) -> Iterable[tuple[str, Decimal]]:
    return ("amount", grant.amount), ("min_rollover", grant.min_rollover), ("max_rollover", grant.max_rollover)
