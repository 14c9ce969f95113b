"""Checks that the charge models share; every refusal names the field by its path from the charge."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import is_within_limits

# More steps than any price sheet has; limited so that pricing a charge stays fast.
MAX_TIERS = 1000
# A million millions in major units for one unit: a higher price is a typing mistake, and sums must fit into 64 bits.
MAX_PRICE = 10**12


class HasUpTo(Protocol):
    """A step of a tiered price."""

    @property
    def up_to(self) -> Decimal | None:
        """The last unit of the step, None for the last step."""


def require_amount(field: str, number: object) -> None:
    """Refuse anything but an exact number of zero or more; a float is refused, not converted."""
    if not isinstance(number, Decimal) or not is_within_limits(number):
        raise InvalidArgumentError.of_field(field, "invalid_number", "needs an exact decimal number")
    if number < 0:
        raise InvalidArgumentError.of_field(field, "value_is_out_of_range", "is zero or more")


def require_positive(field: str, number: object) -> None:
    """Refuse anything but an exact number above zero."""
    require_amount(field, number)
    if not number:
        raise InvalidArgumentError.of_field(field, "value_is_out_of_range", "is more than zero")


def require_price(field: str, number: object) -> None:
    """Refuse anything but an exact number of zero to `MAX_PRICE`."""
    require_amount(field, number)
    if isinstance(number, Decimal) and number > MAX_PRICE:
        raise InvalidArgumentError.of_field(field, "value_is_out_of_range", f"is at most {MAX_PRICE}")


def require_tiers(field: str, tiers: Sequence[HasUpTo]) -> None:
    """Refuse tiers that leave a gap, overlap or end; the refusal names every wrong tier."""
    if not 1 <= len(tiers) <= MAX_TIERS:
        raise InvalidArgumentError.of_field(field, "value_is_out_of_range", f"has 1 to {MAX_TIERS} tiers")
    below = Decimal(0)
    with inside() as checks:
        for number, tier in enumerate(tiers[:-1]):
            path = f"{field}[{number}].up_to"
            if tier.up_to is None:
                checks.refuse(path, "value_is_mandatory", "only the last tier is open")
                continue
            checks(require_amount, path, tier.up_to)
            if tier.up_to <= below:
                checks.refuse(path, "value_is_out_of_range", "is more than the tier before")
            below = tier.up_to
        if tiers[-1].up_to is not None:
            checks.refuse(f"{field}[{len(tiers) - 1}].up_to", "value_is_invalid", "is absent on the last tier")
