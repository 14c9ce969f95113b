"""Laws of invoices: everything sums, nothing falls below zero, corrections reach what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.invoicing.adjustment import adjust, settle
from services.rating.invoicing.credit_amounts import CreditableFee, CreditableInvoice, CreditItem, credit
from services.rating.invoicing.totals import Balance, compute_totals
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.tax import Tax

D = Decimal
FEBRUARY = Period(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))

amounts = st.decimals(0, 10_000, places=4)
currencies = st.sampled_from([CURRENCIES[code] for code in ("EUR", "JPY", "KWD")])
taxes = st.lists(
    st.sampled_from([Tax("vat", D(20)), Tax("city", D("2.125")), Tax("zero", D(0))]), max_size=2, unique=True
).map(tuple)
coupons = st.lists(
    st.one_of(
        st.builds(CouponTerms, st.just("fixed"), st.just(CouponFrequency.FOREVER), st.integers(1, 10**7)),
        st.builds(
            CouponTerms,
            st.just("rate"),
            st.just(CouponFrequency.FOREVER),
            rate_percent=st.decimals(D("0.01"), 100, places=2),
            metric_codes=st.sampled_from([(), ("m",)]),
        ),
    ),
    max_size=3,
)
balances = st.lists(st.builds(Balance, st.just("b"), st.integers(0, 10**7)), max_size=3)
fee_parts = st.lists(st.tuples(amounts, taxes, st.sampled_from(["m", "n"])), max_size=6)


def fees_of(parts: Sequence[tuple[Decimal, tuple[Tax, ...], str]], currency: Any) -> list[Fee]:
    """Fees of these exact amounts."""
    made = []
    for amount, fee_taxes, metric_code in parts:
        line = Line("amount", D(1), amount, D(0), amount)
        fee = Fee.of(FeeKind.CHARGE, FEBRUARY, Priced.of((line,), D(1)), currency)
        made.append(replace(fee, taxes=fee_taxes, metric_code=metric_code, filter_key=str(len(made))))
    return made


@given(fee_parts, currencies, coupons, balances, balances)
def test_fees_sum_to_the_invoice(
    parts: list[Any], currency: Any, applied: list[CouponTerms], notes: list[Balance], prepaid: list[Balance]
) -> None:
    """Fees less coupons plus taxes less balances is the total, to the minor unit, and never below zero."""
    fees = fees_of(parts, currency)
    totals = compute_totals(fees, currency, coupons=applied, credit_notes=notes, prepaid_credits=prepaid)
    assert totals.fees_amount_cents == sum(fee.amount_cents for fee in fees)
    assert totals.total_amount_cents == (
        totals.fees_amount_cents
        - totals.coupons_amount_cents
        + totals.taxes_amount_cents
        - totals.credit_notes_amount_cents
        - totals.prepaid_credits_amount_cents
    )
    assert sum(totals.coupon_amounts, D(0)) == currency.to_major(totals.coupons_amount_cents)
    assert totals.total_amount_cents >= 0
    for fee, taken in zip(fees, totals.coupon_amounts, strict=True):
        assert 0 <= taken <= currency.to_major(fee.amount_cents)


@given(fee_parts, st.lists(amounts, max_size=6), currencies, coupons)
def test_an_invoice_with_adjustments_is_never_below_zero(
    parts: list[Any], corrected: list[Decimal], currency: Any, applied: list[CouponTerms]
) -> None:
    """What does not fit waits; what is placed and what waits are all of it."""
    fees = fees_of(parts, currency)
    before = fees_of([(amount, part[1], part[2]) for amount, part in zip(corrected, parts, strict=False)], currency)
    after = [replace(fee, amount_cents=fee.amount_cents // 3, precise_amount=fee.precise_amount / 3) for fee in before]
    adjustments = adjust(before, after, currency)
    placed, waiting = settle(adjustments, fees)
    assert sorted([*placed, *waiting], key=id) == sorted(adjustments, key=id)
    totals = compute_totals([*fees, *placed], currency, coupons=applied)
    assert totals.total_amount_cents >= 0
    assert all(tax.amount_cents >= 0 for tax in totals.taxes)


@given(fee_parts, fee_parts, currencies)
def test_adjusting_reaches_the_corrected_amount(was: list[Any], now: list[Any], currency: Any) -> None:
    """What was invoiced plus its adjustments is what the corrected usage costs, and adjusting again adds nothing."""
    invoiced, rerated = fees_of(was, currency), fees_of(now, currency)
    adjustments = adjust(invoiced, rerated, currency)
    assert sum(fee.amount_cents for fee in (*invoiced, *adjustments)) == sum(fee.amount_cents for fee in rerated)
    assert adjust((*invoiced, *adjustments), rerated, currency) == ()


@given(fee_parts, currencies, st.lists(st.integers(1, 9), min_size=6, max_size=6))
def test_credit_notes_of_a_whole_invoice_add_up_to_it(parts: list[Any], currency: Any, ninths: list[int]) -> None:
    """Give every fee back in two parts: sub-totals and taxes sum to the invoice's own."""
    fees = fees_of(parts, currency)
    assume(any(fee.amount_cents for fee in fees))
    totals = compute_totals(fees, currency)
    invoice = CreditableInvoice(
        tuple(map(CreditableFee, fees)), totals.sub_total_amount_cents, totals.taxes_amount_cents
    )
    smallest = D(1).scaleb(-currency.exponent)
    first = [
        (currency.to_major(fee.amount_cents) * part / 9).quantize(smallest)
        for fee, part in zip(fees, ninths, strict=False)
    ]
    total = 0
    for share in (first, [currency.to_major(fee.amount_cents) - part for fee, part in zip(fees, first, strict=True)]):
        note = credit(invoice, [CreditItem(number, amount) for number, amount in enumerate(share)], currency)
        total += note.total_amount_cents
        invoice = replace(
            invoice,
            fees=tuple(
                replace(fee, credited_amount=fee.credited_amount + amount)
                for fee, amount in zip(invoice.fees, share, strict=True)
            ),
            credited_sub_total_amount_cents=invoice.credited_sub_total_amount_cents + note.sub_total_amount_cents,
            credited_taxes_amount_cents=invoice.credited_taxes_amount_cents + note.taxes_amount_cents,
        )
    assert total == totals.total_amount_cents
