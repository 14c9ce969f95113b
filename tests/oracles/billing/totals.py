"""The total of an invoice: fees, less coupons, plus taxes, less credit notes; and the amounts of a credit note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from tests.oracles.billing.charge import Fee
from tests.oracles.billing.money import exact, nearest

_NONE = Fraction(0)
# Decimals of a minor unit that a credit note's item keeps; the rest is cut off.
_ITEM_SCALE = 10**5


@dataclass
class Coupon:
    """A coupon that the customer holds.

    Attributes:
        body: the coupon.
        used_cents: what it has taken off so far.
        used_count: on how many invoices.
    """

    body: Mapping[str, Any]
    used_cents: int = 0
    used_count: int = 0

    @property
    def breadth(self) -> int:
        """Narrow ones go first: those of metrics, those of plans, the others."""
        limits = self.body.get("applies_to", {})
        return 0 if limits.get("billable_metric_codes") else 1 if limits.get("plan_codes") else 2

    def covers(self, fee: Fee) -> bool:
        """Whether it may take something off a fee."""
        limits = self.body.get("applies_to", {})
        if limits.get("billable_metric_codes"):
            return fee.kind not in {"subscription", "commitment"} and fee.code in limits["billable_metric_codes"]
        return not limits.get("plan_codes") or fee.plan in limits["plan_codes"]

    def cents_off(self, base_cents: Fraction) -> int:
        """What it takes off a base, at most all of it."""
        if self.is_used_up or base_cents <= 0:
            return 0
        if self.body["coupon_type"] == "percentage":
            return nearest(base_cents * exact(self.body["percentage_rate"]) / 100)
        left = self.body["amount_cents"] - (self.used_cents if self.body["frequency"] == "once" else 0)
        return min(left, nearest(base_cents))

    @property
    def is_used_up(self) -> bool:
        """Whether nothing is left of it, so that the customer may be given it again."""
        if self.body["frequency"] == "once":
            is_percentage = self.body["coupon_type"] == "percentage"
            return bool(self.used_count) if is_percentage else self.used_cents >= self.body["amount_cents"]
        return self.body["frequency"] == "recurring" and self.used_count >= self.body["frequency_duration"]

    def use(self, cents: int) -> None:
        """It has taken something off an invoice."""
        if cents:
            self.used_cents, self.used_count = self.used_cents + cents, self.used_count + 1


@dataclass
class Note:
    """A credit note.

    Attributes:
        total_cents: with taxes.
        refund_cents, offset_cents: paid back, and taken off the open invoice; the rest is the customer's.
        left_cents: what invoices have not used of that rest.
    """

    total_cents: int
    refund_cents: int = 0
    offset_cents: int = 0
    left_cents: int = 0

    @property
    def credit_cents(self) -> int:
        """What went to the customer's balance."""
        return self.total_cents - self.refund_cents - self.offset_cents


@dataclass
class Invoice:
    """An invoice.

    Attributes:
        fees: its fees, those of 0 cents as well.
        coupons_cents: what each fee lost to coupons, exactly.
        taxes: the amount of each tax, by code.
        credits_cents: covered by credit notes.
        paid_cents: what was paid of it.
        credited_cents: what later credit notes gave back of each fee, exactly.
        credited_sub_total_cents, credited_taxes_cents: what they came to, rounded.
        unused_cents: what each base price came to for days that nobody used, where that was to be given back.
    """

    fees: list[Fee]
    coupons_cents: list[Fraction] = field(default_factory=list)
    taxes: dict[str, int] = field(default_factory=dict)
    credits_cents: int = 0
    paid_cents: int = 0
    credited_cents: dict[int, Fraction] = field(default_factory=dict)
    credited_sub_total_cents: int = 0
    credited_taxes_cents: int = 0
    unused_cents: dict[int, int] = field(default_factory=dict)

    @property
    def sub_total_cents(self) -> int:
        """Fees less coupons."""
        return sum(fee.cents for fee in self.fees) - int(sum(self.coupons_cents))

    @property
    def taxes_cents(self) -> int:
        return sum(self.taxes.values())

    @property
    def total_cents(self) -> int:
        """What is left to pay."""
        return self.sub_total_cents + self.taxes_cents - self.credits_cents

    def worth(self, number: int, part: Fraction, rates: Mapping[str, Fraction]) -> tuple[int, int]:
        """What a part of a fee came to, less its share of the coupons; and the taxes on it, each rounded."""
        fee = self.fees[number]
        after = part - (self.coupons_cents[number] * part / fee.cents if fee.cents else _NONE)
        return nearest(after), sum(nearest(after * rates[code] / 100) for code in fee.taxes)


def total(invoice: Invoice, rates: Mapping[str, Fraction], coupons: Sequence[Coupon], notes: Sequence[Note]) -> None:
    """Work an invoice out, and use what the customer holds. Each tax is rounded once for the whole invoice."""
    left = _net(invoice.fees)
    whole = list(left)
    for coupon in sorted(coupons, key=lambda held: held.breadth):
        bases = [cents if coupon.covers(fee) else _NONE for fee, cents in zip(invoice.fees, left, strict=True)]
        base = sum(bases, _NONE)
        off = coupon.cents_off(base)
        coupon.use(off)
        left = [cents - (off * part / base if base else 0) for cents, part in zip(left, bases, strict=True)]
    invoice.coupons_cents = [before - after for before, after in zip(whole, left, strict=True)]
    for code in sorted({code for fee in invoice.fees for code in fee.taxes}):
        base = sum(
            (
                fee.cents - off
                for fee, off in zip(invoice.fees, invoice.coupons_cents, strict=True)
                if code in fee.taxes
            ),
            _NONE,
        )
        invoice.taxes[code] = nearest(base * rates[code] / 100)
    for note in notes:
        used = min(note.left_cents, invoice.total_cents)
        note.left_cents -= used
        invoice.credits_cents += used


def _net(fees: Sequence[Fee]) -> list[Fraction]:
    """What coupons may reduce: what is owed back by adjustments is taken off the other fees of the same taxes alike."""
    net = []
    for fee in fees:
        same = [other.cents for other in fees if other.taxes == fee.taxes]
        owed, back = sum(cents for cents in same if cents > 0), -sum(cents for cents in same if cents < 0)
        net.append(fee.cents * (1 - Fraction(min(back, owed), owed)) if fee.cents > 0 else _NONE)
    return net


def credit(
    invoice: Invoice, number: int, cents: Fraction, rates: Mapping[str, Fraction], resolution: str
) -> Note | None:
    """Give back so many (exact) cents of a fee, at most what is left of it, less coupons and with taxes.

    The item keeps five decimals of a minor unit. The credit note that gives back the last of an invoice takes exactly
    what is left.
    """
    given = min(cents, Fraction(invoice.fees[number].cents))
    left = given - invoice.credited_cents.get(number, _NONE)
    if left <= 0:
        return None
    item = cut(left)
    credited = {**invoice.credited_cents, number: invoice.credited_cents.get(number, _NONE) + item}
    is_last = all(credited.get(index, _NONE) == fee.cents for index, fee in enumerate(invoice.fees))
    sub_total, taxes = invoice.worth(number, item, rates)
    sub_total_left = invoice.sub_total_cents - invoice.credited_sub_total_cents
    taxes_left = invoice.taxes_cents - invoice.credited_taxes_cents
    sub_total = sub_total_left if is_last else min(sub_total, sub_total_left)
    taxes = taxes_left if is_last else min(taxes, taxes_left)
    note = Note(sub_total + taxes)
    if not note.total_cents:
        # Coupons had covered it.
        return None
    invoice.credited_cents = credited
    invoice.credited_sub_total_cents += sub_total
    invoice.credited_taxes_cents += taxes
    if resolution != "credit":
        used = sum(invoice.worth(number, Fraction(invoice.fees[number].cents), rates)) - sum(
            invoice.worth(number, cut(given), rates)
        )
        _resolve(note, invoice, number, used, rates, resolution)
    note.left_cents = note.credit_cents
    return note


def _resolve(
    note: Note, invoice: Invoice, number: int, used_cents: int, rates: Mapping[str, Fraction], resolution: str
) -> None:
    """Pay back what was paid of the fee beyond its used days; the rest lowers the open invoice, if that is asked.

    What was paid covers the fees of an invoice alike.
    """
    fee_cents = sum(invoice.worth(number, Fraction(invoice.fees[number].cents), rates))
    whole_cents = invoice.sub_total_cents + invoice.taxes_cents
    paid_cents = nearest(Fraction(invoice.paid_cents * fee_cents, whole_cents)) if whole_cents else 0
    note.refund_cents = max(0, min(note.total_cents, paid_cents - used_cents))
    if resolution == "offset":
        note.offset_cents = min(note.total_cents - note.refund_cents, invoice.total_cents - invoice.paid_cents)
        invoice.paid_cents += note.offset_cents


def cut(cents: Fraction) -> Fraction:
    """An amount to five decimals of a minor unit, the rest cut off."""
    return Fraction(floor(cents * _ITEM_SCALE), _ITEM_SCALE)
