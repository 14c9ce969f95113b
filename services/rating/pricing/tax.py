"""Taxes: which taxes apply to a fee, and their amounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.kernel.errors import InvalidArgumentError
from services.kernel.money import ZERO, Currency

_WHOLE_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax by its rate.

    Attributes:
        code: the organization's own name for it.
        rate_percent: 0 to 100.
        name: what an invoice calls it.
    """

    code: str
    rate_percent: Decimal
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse a rate below zero or above 100 percent."""
        if not 0 <= self.rate_percent <= _WHOLE_PERCENT:
            raise InvalidArgumentError.of_field("rate_percent", "value_is_out_of_range", "is 0 to 100")

    def of(self, base_amount: Decimal) -> Decimal:
        """The exact tax on a base, in the base's own units."""
        return base_amount * self.rate_percent.scaleb(-2)


@dataclass(frozen=True, slots=True)
class InvoiceTax:
    """One tax of an invoice.

    Attributes:
        tax: the tax.
        base_amount: the exact sum of the amounts it is due on, after coupons, in major currency units.
        amount_cents: the tax, rounded once.
    """

    tax: Tax
    base_amount: Decimal
    amount_cents: int


def applicable_taxes(*levels: Sequence[Tax] | None) -> tuple[Tax, ...]:
    """The taxes of the most specific level that names any: charge, plan, customer, then organization."""
    return next((tuple(level) for level in levels if level), ())


def total_taxes(bases: Iterable[tuple[Sequence[Tax], Decimal]], currency: Currency) -> tuple[InvoiceTax, ...]:
    """Each tax on the sum of the bases it applies to, rounded once, sorted by code."""
    sums: dict[Tax, Decimal] = {}
    for taxes, base_amount in bases:
        for tax in taxes:
            sums[tax] = sums.get(tax, ZERO) + base_amount
    return tuple(
        InvoiceTax(tax, base_amount, currency.to_minor(tax.of(base_amount)))
        for tax, base_amount in sorted(sums.items(), key=lambda item: (item[0].code, item[0].rate_percent))
    )
