"""Adjustments: what a closed period owes, or is owed, after its usage has been corrected.

The closed invoice stays as it is. The period is rated again, and for each fee that changed, the difference becomes a
line on the next invoice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from services.kernel.money import ZERO, Currency
from services.rating.pricing.charges import Line
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.tax import Tax


def adjust(invoiced: Iterable[Fee], rerated: Iterable[Fee], currency: Currency) -> tuple[Fee, ...]:
    """Adjustment fees for every fee whose amount differs from what was invoiced.

    `invoiced` holds the fees of the closed period and all its adjustments so far; `rerated` holds the fees that its
    usage gives now. Fees are matched by what they are for, and amounts may be below zero.
    """
    owed: dict[tuple[str, ...], list[Fee]] = {}
    for fee in invoiced:
        owed.setdefault(fee.subject, []).append(fee)
    adjustments = [_adjustment(owed.pop(fee.subject, []), fee, currency) for fee in rerated]
    gone = [_adjustment(fees, _nothing(fees[0]), currency) for fees in owed.values()]
    return tuple(fee for fee in (*adjustments, *gone) if fee.amount_cents)


def settle(adjustments: Sequence[Fee], fees: Iterable[Fee]) -> tuple[tuple[Fee, ...], tuple[Fee, ...]]:
    """The adjustments that fit on an invoice with these other fees, and those that wait for the next invoice.

    Adjustments above zero always fit. One below zero fits if fees with the same taxes outweigh it, so that neither the
    invoice nor any of its taxes falls below zero; otherwise all of it waits, and keeps its explanation.
    """
    left: Counter[tuple[Tax, ...]] = Counter()
    for fee in (*fees, *(adjustment for adjustment in adjustments if adjustment.amount_cents > 0)):
        left[fee.taxes] += fee.amount_cents
    placed, waiting = [], []
    for fee in adjustments:
        if fee.amount_cents < 0:
            if left[fee.taxes] + fee.amount_cents < 0:
                waiting.append(fee)
                continue
            left[fee.taxes] += fee.amount_cents
        placed.append(fee)
    return tuple(placed), tuple(waiting)


def _adjustment(invoiced: Sequence[Fee], now: Fee, currency: Currency) -> Fee:
    """One fee for the difference, in whole minor units, so that both sides can be read on the invoices."""
    before_cents = sum(fee.amount_cents for fee in invoiced)
    before, after = currency.to_major(before_cents), currency.to_major(now.amount_cents)
    units_before = sum((fee.units for fee in invoiced), ZERO)
    lines = (
        Line("amount with corrected usage", now.units, _average(after, now.units), ZERO, after),
        Line("amount already invoiced", units_before, _average(before, units_before), ZERO, -before),
    )
    return replace(
        now,
        kind=FeeKind.ADJUSTMENT,
        adjusts=now.kind if now.adjusts is None else now.adjusts,
        precise_amount=after - before,
        amount_cents=now.amount_cents - before_cents,
        units=now.units - units_before,
        event_count=now.event_count - sum(fee.event_count for fee in invoiced),
        lines=lines,
        description=f"adjustment: {now.description}",
    )


def _nothing(fee: Fee) -> Fee:
    """The fee of a subject for which no usage is left."""
    return replace(fee, precise_amount=ZERO, amount_cents=0, units=ZERO, event_count=0, lines=())


def _average(amount: Decimal, units: Decimal) -> Decimal:
    return amount / units if units else ZERO
