"""Percentage: a share of the value of each transaction, with a free allowance, a fixed part and bounds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from services.kernel.checks import inside
from services.kernel.money import ZERO
from services.rating.pricing.charges.checks import require_positive, require_price
from services.rating.pricing.charges.priced import Lines, shared, unit_line
from services.rating.pricing.charges.transactions import PaidTransactions, TransactionTerms
from services.rating.pricing.charges.usage import Usage


@dataclass(frozen=True, slots=True)
class Percentage:
    """A share of the value, transaction by transaction. A bound that is never reached changes nothing.

    The metric's rounding applies to the aggregate, not to a transaction: the value it adds or takes away counts like
    value that is paid by rate. The value that a recurring metric brings into a period counts as value without a
    transaction, before all transactions. If the plan changes within a period, the value is shared by days; what single
    transactions cost is not.

    Attributes:
        rate_percent: share of the value, e.g. 2.9.
        fixed_amount: added for each transaction that is not free, in major currency units.
        free_events: how many events are free at the beginning; None for no such bound.
        free_amount: how much value is free at the beginning; None for no such bound.
        per_transaction_min_amount: the least that a paid transaction costs.
        per_transaction_max_amount: the most that a paid transaction costs.
    """

    rate_percent: Decimal
    fixed_amount: Decimal = ZERO
    free_events: int | None = None
    free_amount: Decimal | None = None
    per_transaction_min_amount: Decimal | None = None
    per_transaction_max_amount: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse numbers below zero, empty allowances (leave them out) and a minimum above the maximum."""
        least, most = self.per_transaction_min_amount, self.per_transaction_max_amount
        with inside() as checks:
            checks(require_price, "rate_percent", self.rate_percent)
            checks(require_price, "fixed_amount", self.fixed_amount)
            if self.free_events is not None and self.free_events < 1:
                checks.refuse("free_events", "value_is_out_of_range", "is 1 or more, or absent")
            if self.free_amount is not None:
                checks(require_positive, "free_amount", self.free_amount)
            if least is not None:
                checks(require_price, "per_transaction_min_amount", least)
            if most is not None:
                checks(require_price, "per_transaction_max_amount", most)
            if least is not None and most is not None and least > most:
                checks.refuse("per_transaction_min_amount", "value_is_out_of_range", "is at most the maximum")

    @property
    def terms(self) -> TransactionTerms:
        """The terms under which each transaction is paid."""
        return TransactionTerms(
            self.rate_percent,
            self.fixed_amount,
            self.free_events,
            self.free_amount,
            self.per_transaction_min_amount,
            self.per_transaction_max_amount,
        )

    @property
    def needs_transactions(self) -> bool:
        """Whether units and event count are not enough, so that a store must keep `Transactions`."""
        return self.terms.has_allowance or self.terms.has_bounds

    def lines(self, usage: Usage) -> Lines:
        """Lines for the free value, the share, the metric's rounding, the fixed parts, and what reached a bound.

        Raises:
            ValueError: the charge needs transactions and the caller kept none, which is a programming error.
        """
        if usage.transactions is not None:
            free, paid = usage.transactions.settle(usage.carried)
        elif self.needs_transactions:
            raise ValueError("a percentage with an allowance or bounds is priced on its transactions")
        else:
            free, paid = ZERO, PaidTransactions(0, 0, usage.event_count, usage.units - usage.rounding)
        rate = self.rate_percent.scaleb(-2)
        of_value = [unit_line("free allowance", free, ZERO)] if free else []
        of_value.append(unit_line("share of the value", paid.regular_value, rate))
        if rounding := _rounding(usage, paid):
            of_value.append(unit_line("rounding of the metric", rounding, rate))
        of_transactions = []
        for name, count, amount in (
            ("fixed part of each transaction", paid.regular_count, self.fixed_amount),
            ("transactions at the minimum", paid.minimum_count, self.per_transaction_min_amount),
            ("transactions at the maximum", paid.maximum_count, self.per_transaction_max_amount),
        ):
            if count and amount:
                of_transactions.append(unit_line(name, Decimal(count), amount))
        lines, exact = shared(tuple(of_value), usage.share)
        if exact is not None:
            exact += sum((Fraction(line.amount) for line in of_transactions), Fraction(0))
        return Lines((*lines, *of_transactions), exact)


def _rounding(usage: Usage, paid: PaidTransactions) -> Decimal:
    """How much the metric's rounding adds to the value that is paid by rate, or takes from it: at most all of it."""
    if not (paid.regular_count or paid.regular_value):
        return ZERO
    least = min(paid.regular_value, ZERO)
    return max(paid.regular_value + usage.rounding, least) - paid.regular_value
