"""The per-transaction state of percentage charges: what they need besides a sum, in bounded size.

A plain sum cannot tell three things that a percentage needs: which events came first (for the free allowance), how many
fell below the minimum, and how many went above the maximum. If every event were kept, an invoice would cost more the
more events it has. It is enough to keep

- the earliest events, up to and including the one that uses the allowance up, and
- of all later ones, which are paid in full, how many were raised to the minimum, how many were cut to the
  maximum, and the count and value of the rest.

An earlier event that arrives late pushes later ones out of the first part into the second. Nothing ever moves back, so
adding and merging do not depend on order. Only voiding an event from before the end of the allowance needs the event
log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from services.kernel.money import ZERO
from services.rating.pricing.metric import Measurement
from services.rating.shared.exact import exact_difference, exact_sum


class Transaction(NamedTuple):
    """One event of a percentage charge; sorts by time, then by event id."""

    at: datetime
    event_id: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class TransactionTerms:
    """The terms under which each transaction is paid. Amounts are in major currency units.

    Attributes:
        rate_percent: share of the value.
        fixed_amount: added for each transaction that is not free.
        free_events: how many events are free at the beginning; None for no such bound.
        free_amount: how much value is free at the beginning; None for no such bound. If both are given, both end as
            soon as one does.
        minimum_amount: the least that a paid transaction costs.
        maximum_amount: the most that a paid transaction costs.
    """

    rate_percent: Decimal
    fixed_amount: Decimal = ZERO
    free_events: int | None = None
    free_amount: Decimal | None = None
    minimum_amount: Decimal | None = None
    maximum_amount: Decimal | None = None

    @property
    def has_allowance(self) -> bool:
        """Whether anything is free."""
        return self.free_events is not None or self.free_amount is not None

    @property
    def has_bounds(self) -> bool:
        """Whether a transaction has a least or a most amount."""
        return self.minimum_amount is not None or self.maximum_amount is not None

    def ends_allowance(self, events: int, value: Decimal) -> bool:
        """Whether this many events of this much value, the first of the period, use the allowance up."""
        return (self.free_events is not None and events >= self.free_events) or (
            self.free_amount is not None and value >= self.free_amount
        )


class PaidTransactions(NamedTuple):
    """Paid transactions, grouped by the bound they reach.

    Attributes:
        minimum_count: how many were raised to the minimum.
        maximum_count: how many were cut to the maximum.
        regular_count: how many reached neither bound.
        regular_value: the value of those that reached neither bound.
    """

    minimum_count: int = 0
    maximum_count: int = 0
    regular_count: int = 0
    regular_value: Decimal = ZERO

    def plus(self, other: PaidTransactions) -> PaidTransactions:
        """Both together."""
        return PaidTransactions(
            self.minimum_count + other.minimum_count,
            self.maximum_count + other.maximum_count,
            self.regular_count + other.regular_count,
            exact_sum(self.regular_value, other.regular_value),
        )

    def minus(self, other: PaidTransactions) -> PaidTransactions:
        """These transactions without some that are among them."""
        return PaidTransactions(
            self.minimum_count - other.minimum_count,
            self.maximum_count - other.maximum_count,
            self.regular_count - other.regular_count,
            exact_difference(self.regular_value, other.regular_value),
        )


NOTHING_PAID = PaidTransactions()


@dataclass(frozen=True, slots=True)
class Transactions:
    """The state of a percentage charge; merges in any order, see the module.

    Attributes:
        terms: the charge's terms; states merge only under the same ones.
        earliest: sorted events up to the one that ends the allowance; empty without allowance.
        later: all others, grouped by the bound they reach.
    """

    terms: TransactionTerms
    earliest: tuple[Transaction, ...] = ()
    later: PaidTransactions = NOTHING_PAID

    def add(self, measurements: Iterable[Measurement]) -> Transactions:
        """The state with more events."""
        added = (Transaction(measurement.at, measurement.event_id, measurement.number) for measurement in measurements)
        return self._settle([*self.earliest, *added], self.later)

    def without(self, measurement: Measurement) -> Transactions | None:
        """The state without one voided event; None if only the event log knows which event moves up."""
        voided = Transaction(measurement.at, measurement.event_id, measurement.number)
        if self.earliest and voided <= self.earliest[-1]:
            if self._allowance_ended:
                return None
            return replace(self, earliest=tuple(transaction for transaction in self.earliest if transaction != voided))
        return replace(self, later=self.later.minus(self._paid_as(voided.value)))

    def settle(self, carried: Decimal = ZERO) -> tuple[Decimal, PaidTransactions]:
        """The value that is free, and everything that is paid.

        Args:
            carried: value from before the first transaction; it uses up a free amount first.
        """
        terms, used = self.terms, max(ZERO, carried)
        free = ZERO if terms.free_amount is None else min(carried, terms.free_amount)
        paid = self.later.plus(PaidTransactions(regular_value=carried - free))
        for number, transaction in enumerate(self.earliest):
            if terms.ends_allowance(number, used):
                paid = paid.plus(self._paid_as(transaction.value))
                continue
            left = transaction.value if terms.free_amount is None else terms.free_amount - used
            used += max(ZERO, transaction.value)
            free += min(transaction.value, left)
            if transaction.value > left:
                paid = paid.plus(self._paid_as(transaction.value - left))
        return free, paid

    @property
    def _allowance_ended(self) -> bool:
        used = sum((max(ZERO, transaction.value) for transaction in self.earliest), ZERO)
        return self.terms.ends_allowance(len(self.earliest), used)

    def _settle(self, unsorted: list[Transaction], later: PaidTransactions) -> Transactions:
        """Keep the first events as long as the allowance lasts; sort the others by the bound they reach."""
        if not self.terms.has_allowance:
            return Transactions(self.terms, (), self._sorted_into(unsorted, later))
        ordered = sorted(unsorted)
        used, kept = ZERO, len(ordered)
        for number, transaction in enumerate(ordered, 1):
            # A negative value does not give allowance back: once it has ended, it stays ended.
            used += max(ZERO, transaction.value)
            if self.terms.ends_allowance(number, used):
                kept = number
                break
        return Transactions(self.terms, tuple(ordered[:kept]), self._sorted_into(ordered[kept:], later))

    def _sorted_into(self, transactions: Iterable[Transaction], paid: PaidTransactions) -> PaidTransactions:
        for transaction in transactions:
            paid = paid.plus(self._paid_as(transaction.value))
        return paid

    def _paid_as(self, value: Decimal) -> PaidTransactions:
        """One paid transaction, counted under the bound that it reaches."""
        terms = self.terms
        if not terms.has_bounds:
            return PaidTransactions(regular_count=1, regular_value=value)
        amount = value * terms.rate_percent.scaleb(-2) + terms.fixed_amount
        if terms.maximum_amount is not None and amount > terms.maximum_amount:
            return PaidTransactions(maximum_count=1)
        if terms.minimum_amount is not None and amount < terms.minimum_amount:
            return PaidTransactions(minimum_count=1)
        return PaidTransactions(regular_count=1, regular_value=value)
