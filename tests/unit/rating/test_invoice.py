"""Invoices, coupons, taxes, credit notes: order, caps, states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.money import CURRENCIES
from services.kernel.period import Period
from services.rating.invoicing import credit_amounts
from services.rating.invoicing.credit_amounts import CreditableFee, CreditableInvoice, CreditItem
from services.rating.invoicing.invoice import (
    Invoice,
    InvoiceState,
    PaymentState,
    finalize,
    record_failed_payment,
    record_payment,
    refresh,
    void,
)
from services.rating.invoicing.totals import Balance, compute_totals
from services.rating.pricing.charges import Line, Priced
from services.rating.pricing.coupon import CouponFrequency, CouponTerms, apply_coupons, spread
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.tax import Tax, applicable_taxes
from tests.support.rating.invoices import draft_at, on_invoice

D = Decimal
EUR = CURRENCIES["EUR"]
AT = datetime(2024, 3, 1, tzinfo=UTC)
PERIOD = Period(datetime(2024, 2, 1, tzinfo=UTC), AT)
VAT = Tax("vat", D(20))
CITY = Tax("city", D("2.5"))


def fee(cents: int, *taxes: Tax, metric_code: str | None = None, plan_code: str = "p") -> Fee:
    """A fee of this many minor units; negative only as an adjustment."""
    amount = D(cents).scaleb(-2)
    made = Fee.of(FeeKind.CHARGE, PERIOD, Priced((Line("a", D(1), amount, D(0), amount),), D(1), amount), EUR)
    return replace(made, taxes=taxes, metric_code=metric_code, plan_code=plan_code)


def coupon(cents: int | None = None, **about: object) -> CouponTerms:
    """A coupon that never runs out."""
    return CouponTerms("c", CouponFrequency.FOREVER, cents, **about)  # type: ignore[arg-type]


def test_order_of_totals() -> None:
    """Fees, coupons, taxes, credit notes, prepaid credits."""
    totals = compute_totals(
        [fee(10000, VAT)],
        EUR,
        coupons=[coupon(1000)],
        credit_notes=[Balance("n1", 800), Balance("n2", 5000)],
        prepaid_credits=[Balance("w1", 0), Balance("w2", 9999)],
    )
    assert (totals.sub_total_amount_cents, totals.taxes_amount_cents) == (9000, 1800)
    assert totals.credit_notes == (Balance("n1", 800), Balance("n2", 5000))
    assert totals.prepaid_credits == (Balance("w2", 5000),)
    assert totals.total_amount_cents == 0


def test_narrow_coupons_go_first() -> None:
    """A broad coupon does not use up what only a narrow one could reduce."""
    fees = [fee(1000, metric_code="m"), fee(1000, metric_code="n", plan_code="q")]
    coupons = [coupon(500), coupon(300, plan_codes=("p",)), coupon(900, metric_codes=("m",))]
    discount = apply_coupons(fees, coupons, EUR)
    assert [credit.amount_cents for credit in discount.credits] == [900, 100, 500]
    assert discount.by_fee == (10, 5)


def test_a_coupon_for_something_else_takes_nothing() -> None:
    """Its limits are respected even when it is the only one."""
    discount = apply_coupons([fee(1000)], [coupon(500, metric_codes=("m",))], EUR)
    assert (discount.by_fee, discount.credits[0].amount_cents) == ((0,), 0)


def test_adjustments_below_zero_lessen_what_coupons_see() -> None:
    """So that neither a fee nor a tax base falls below zero."""
    fees = [fee(10000, VAT), fee(5000), fee(-10000, VAT)]
    totals = compute_totals(fees, EUR, coupons=[coupon(2000)])
    assert totals.coupon_amounts == (0, 20, 0)
    assert (totals.taxes_amount_cents, totals.total_amount_cents) == (0, 3000)


def test_spread_is_exact() -> None:
    """Thirds that sum to the whole."""
    shares = spread(D(10), [D(1), D(1), D(1), D(0)])
    assert sum(shares) == 10
    assert max(shares) - min(shares[:3]) <= D("1e-12")
    assert spread(D(10), []) == ()


@pytest.mark.parametrize(
    ("applied", "amount_cents", "expected"),
    [
        (CouponTerms("c", CouponFrequency.ONCE, 1000), 400, (False, 600)),
        (CouponTerms("c", CouponFrequency.ONCE, 1000, used_amount_cents=600), 400, (True, 0)),
        (CouponTerms("c", CouponFrequency.ONCE, rate_percent=D(10)), 400, (True, 0)),
        (CouponTerms("c", CouponFrequency.RECURRING, 1000, invoices_left=2), 400, (False, 1000)),
        (CouponTerms("c", CouponFrequency.RECURRING, 1000, invoices_left=1), 400, (True, 0)),
        (CouponTerms("c", CouponFrequency.FOREVER, 1000), 400, (False, 1000)),
    ],
)
def test_using_coupons(applied: CouponTerms, amount_cents: int, expected: tuple[bool, int]) -> None:
    """What is left of a coupon after an invoice."""
    used = applied.use(amount_cents)
    assert (used.is_used_up, used.amount_off(D(100), EUR)) == expected
    if used.is_used_up:
        with pytest.raises(FailedPreconditionError):
            used.use(1)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (coupon, "amount_cents"),
        (lambda: coupon(1, rate_percent=D(1)), "amount_cents"),
        (lambda: coupon(0), "amount_cents"),
        (lambda: coupon(rate_percent=D(0)), "rate_percent"),
        (lambda: coupon(rate_percent=D(101)), "rate_percent"),
        (lambda: CouponTerms("c", CouponFrequency.RECURRING, 1), "invoices_left"),
        (lambda: Tax("t", D(101)), "rate_percent"),
    ],
)
def test_refusals_name_their_field(make: Callable[[], object], field: str) -> None:
    """A coupon or tax without a meaning is refused."""
    with pytest.raises(InvalidArgumentError) as refused:
        make()
    assert refused.value.violations[0].field == field


def test_taxes_round_once() -> None:
    """On the sum of their bases, each for itself."""
    totals = compute_totals([fee(6833, VAT), fee(6833, VAT, CITY)], EUR)
    assert [(tax.tax.code, tax.amount_cents) for tax in totals.taxes] == [("city", 171), ("vat", 2733)]


def test_the_most_specific_taxes_apply() -> None:
    """An empty level says nothing."""
    assert applicable_taxes((), None, (VAT,), (CITY,)) == (VAT,)
    assert applicable_taxes(None, ()) == ()


# --- states ---------------------------------------------------------------------------------------------------------

DRAFT = refresh(draft_at(AT), on_invoice([fee(1000)]), compute_totals([fee(1000)], EUR))
FINAL = finalize(DRAFT, at=AT, sequential_id=1, prefix="F", net_payment_term_days=30)
VERBS: dict[str, Callable[[Invoice], Invoice]] = {
    "refresh": lambda invoice: refresh(invoice, (), compute_totals((), EUR)),
    "finalize": lambda invoice: finalize(invoice, at=AT, sequential_id=2, prefix="F", net_payment_term_days=30),
    "void": lambda invoice: void(invoice, at=AT),
    "record_payment": lambda invoice: record_payment(invoice, 1),
    "record_failed_payment": record_failed_payment,
}


@pytest.mark.parametrize(
    ("invoice", "allowed"),
    [
        (DRAFT, {"refresh", "finalize"}),
        (FINAL, {"void", "record_payment", "record_failed_payment"}),
        (record_payment(FINAL, 1), {"record_payment", "record_failed_payment"}),
        (record_payment(FINAL, 1000), set()),
        (void(FINAL, at=AT), set()),
    ],
)
def test_verbs_by_state(invoice: Invoice, allowed: set[str]) -> None:
    """The table of states: any other verb is refused with a reason."""
    for name, verb in VERBS.items():
        if name in allowed:
            verb(invoice)
            continue
        with pytest.raises(FailedPreconditionError) as refused:
            verb(invoice)
        assert refused.value.reason


def test_finalize() -> None:
    """A number, a date, and paid at once when nothing is to pay."""
    assert (FINAL.state, FINAL.number, FINAL.finalized_at) == (InvoiceState.FINALIZED, "F-000001", AT)
    assert (FINAL.issuing_date, FINAL.payment_due_date) == (AT.date(), AT.date() + timedelta(days=30))
    assert FINAL.payment_state is PaymentState.PENDING
    nothing = refresh(DRAFT, (), compute_totals((), EUR))
    empty = finalize(nothing, at=AT, sequential_id=2, prefix="F", net_payment_term_days=30)
    assert empty.payment_state is PaymentState.SUCCEEDED


def test_payments() -> None:
    """A failed attempt is not the end; paid is what was paid in full."""
    failed = record_failed_payment(FINAL)
    assert failed.payment_state is PaymentState.FAILED
    part = record_payment(failed, 400)
    assert (part.payment_state, part.paid_amount_cents) == (PaymentState.FAILED, 400)
    assert record_payment(part, 600).payment_state is PaymentState.SUCCEEDED
    for amount_cents in (0, -1, 601):
        with pytest.raises(FailedPreconditionError):
            record_payment(part, amount_cents)


# --- credit notes ---------------------------------------------------------------------------------------------------


def creditable(*cents: int) -> CreditableInvoice:
    """An invoice of these fees with VAT."""
    fees = tuple(fee(amount, VAT) for amount in cents)
    totals = compute_totals(fees, EUR)
    return CreditableInvoice(tuple(map(CreditableFee, fees)), totals.sub_total_amount_cents, totals.taxes_amount_cents)


def test_credit_is_bounded_by_the_fee() -> None:
    """And a voided invoice has none."""
    with pytest.raises(FailedPreconditionError) as refused:
        credit_amounts.credit(creditable(1000), [CreditItem(0, D("10.01"))], EUR)
    assert refused.value.reason == "CREDIT_EXCEEDS_FEE"
    with pytest.raises(FailedPreconditionError):
        credit_amounts.credit(replace(creditable(1000), is_voided=True), [CreditItem(0, D(1))], EUR)


def test_use_and_void_a_credit_note() -> None:
    """Its balance falls as invoices use it; voided, nothing is left."""
    note = credit_amounts.credit(creditable(1000), [CreditItem(0, D(10))], EUR)
    used = credit_amounts.use(note, 1000)
    assert (note.balance_amount_cents, used.balance_amount_cents) == (1200, 200)
    voided = credit_amounts.void(used)
    assert voided.balance_amount_cents == 0
    for verb in (
        lambda: credit_amounts.use(used, 201),
        lambda: credit_amounts.use(voided, 1),
        lambda: credit_amounts.void(voided),
        lambda: credit_amounts.void(credit_amounts.use(used, 200)),
    ):
        with pytest.raises(FailedPreconditionError):
            verb()


@pytest.mark.parametrize("amount_cents", [1, 400, 1000])
@pytest.mark.parametrize(
    "terms",
    [
        CouponTerms("c", CouponFrequency.ONCE, 1000),
        CouponTerms("c", CouponFrequency.ONCE, rate_percent=D(10)),
        CouponTerms("c", CouponFrequency.RECURRING, 1000, invoices_left=1),
        CouponTerms("c", CouponFrequency.RECURRING, 1000, invoices_left=3),
        CouponTerms("c", CouponFrequency.FOREVER, 1000),
    ],
)
def test_giving_back_is_the_reverse_of_using(terms: CouponTerms, amount_cents: int) -> None:
    """A coupon whose invoice was voided is as it was before."""
    assert terms.use(amount_cents).give_back(amount_cents) == terms
