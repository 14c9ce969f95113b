"""Package: units are sold in whole packages; a package that has begun is paid in full."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from services.kernel.checks import inside
from services.kernel.money import ZERO
from services.rating.pricing.charges.checks import require_amount, require_positive, require_price
from services.rating.pricing.charges.priced import Line, unit_line


@dataclass(frozen=True, slots=True)
class Package:
    """A price for every package begun after the free units.

    Attributes:
        package_amount: price of one package, in major currency units.
        package_size: units in a package, more than zero.
        free_units: units before the first package.
    """

    package_amount: Decimal
    package_size: Decimal
    free_units: Decimal = ZERO

    def __post_init__(self) -> None:
        """Refuse empty packages and numbers below zero."""
        with inside() as checks:
            checks(require_price, "package_amount", self.package_amount)
            checks(require_positive, "package_size", self.package_size)
            checks(require_amount, "free_units", self.free_units)

    def lines(self, units: Decimal) -> tuple[Line, ...]:
        """A line of packages, after a line of free units if the charge has any."""
        paid = max(ZERO, units - self.free_units)
        packages = (paid / self.package_size).to_integral_value(rounding=ROUND_CEILING)
        line = unit_line("packages", packages, self.package_amount)
        if not self.free_units:
            return (line,)
        return (unit_line("free units", units - paid, ZERO), line)
