"""Charge models: how units become an amount, in major units of the currency. An amount below zero is zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from tests.oracles.billing.money import exact

Properties = Mapping[str, Any]
_NONE = Fraction(0)


class Tier(NamedTuple):
    """A step of a tiered price: the units above `above` up to and including `up_to`, which the last one lacks."""

    above: Fraction
    up_to: Fraction | None
    unit_amount: Fraction
    flat_amount: Fraction

    def holds(self, units: Fraction) -> bool:
        """Whether the last of this many units is in this tier."""
        return self.up_to is None or units <= self.up_to

    def part_of(self, units: Fraction) -> Fraction:
        """How many of the units lie in it; what is below zero lies in the first."""
        end = units if self.holds(units) else self.up_to
        assert end is not None
        return end - self.above if end > self.above or not self.above else _NONE


def tiers(ranges: Sequence[Properties]) -> list[Tier]:
    """The tiers of a price sheet; each begins where the one before ends. A rate is a hundredth of a price."""
    found, above = [], _NONE
    for given in ranges:
        up_to = None if given["to_value"] is None else exact(given["to_value"])
        price = exact(given["rate"]) / 100 if "rate" in given else exact(given["per_unit_amount"])
        found.append(Tier(above, up_to, price, exact(given["flat_amount"])))
        above = up_to if up_to is not None else above
    return found


def amount(model: str, properties: Properties, units: Fraction) -> Fraction:
    """The price of units under every model that needs to know no more than them."""
    if model == "standard":
        return units * exact(properties["amount"])
    if model == "package":
        begun = ceil((units - exact(properties.get("free_units"))) / exact(properties["package_size"]))
        return max(0, begun) * exact(properties["amount"])
    if model == "volume":
        # The tier that holds all units, a fraction counted whole, prices all of them.
        tier = next(tier for tier in tiers(properties["volume_ranges"]) if tier.holds(Fraction(ceil(units))))
        return units * tier.unit_amount + tier.flat_amount
    return graduated(tiers(properties[f"{model}_ranges"]), units)


def graduated(steps: Sequence[Tier], units: Fraction) -> Fraction:
    """Each tier's units at its price, and the flat amount of every tier entered; the first always is."""
    return sum(
        (
            tier.part_of(units) * tier.unit_amount + tier.flat_amount
            for tier in steps
            if not tier.above or units > tier.above
        ),
        _NONE,
    )


class Percentage(NamedTuple):
    """The parts of a percentage charge: the share of a value, and what single transactions add."""

    of_value: Fraction
    of_transactions: Fraction


def percentage(properties: Properties, carried: Fraction, values: Sequence[Fraction], units: Fraction) -> Percentage:
    """A share of the value of each transaction, the oldest first.

    Args:
        properties: rate, fixed part, allowance, bounds.
        carried: what a recurring metric brought into the period: value without a transaction.
        values: of the transactions.
        units: all of it as the metric rounds it.
    """
    rate, fixed = exact(properties["rate"]) / 100, exact(properties.get("fixed_amount"))
    paid_value, of_transactions, has_value = _NONE, _NONE, False
    for left, is_transaction in _paid_parts(properties, carried, values):
        price = left * rate + fixed
        bound = _bound(properties, price) if is_transaction else None
        if bound is not None:
            of_transactions += bound
        else:
            paid_value, has_value = paid_value + left, True
            of_transactions += fixed if is_transaction else _NONE
    # The metric rounds the aggregate: what this adds or takes is value like that which is paid by rate.
    rounding = units - carried - sum(values)
    if has_value and rounding:
        paid_value = max(paid_value + rounding, min(paid_value, _NONE))
    return Percentage(paid_value * rate, of_transactions)


def _paid_parts(
    properties: Properties, carried: Fraction, values: Sequence[Fraction]
) -> Iterator[tuple[Fraction, bool]]:
    """The value that is paid, transaction by transaction, and whether it is one.

    The first so many transactions are free, or the first so much value; whichever is used up first ends both.
    """
    free_count = properties.get("free_units_per_events") or None
    free_value = exact(properties.get("free_units_per_total_aggregation")) or None
    has_allowance = bool(free_count or free_value)
    used = max(carried, _NONE)
    if carried:
        # What is carried uses a free value up; below zero it gives none back. Without one all of it is value.
        paid = carried if free_value is None else max(_NONE, carried - free_value)
        if paid:
            yield paid, False
    for number, value in enumerate(values):
        is_used_up = (free_count and number >= free_count) or (free_value and used >= free_value)
        if is_used_up or not has_allowance:
            yield value, True
            continue
        free = value if free_value is None else min(value, free_value - used)
        used += max(value, _NONE)
        if value > free:
            yield value - free, True


def _bound(properties: Properties, price: Fraction) -> Fraction | None:
    """The least or most that a transaction costs, where its price lies beyond; None where it does not."""
    least, most = properties.get("per_transaction_min_amount"), properties.get("per_transaction_max_amount")
    if most is not None and price > exact(most):
        return exact(most)
    if least is not None and price < exact(least):
        return exact(least)
    return None
