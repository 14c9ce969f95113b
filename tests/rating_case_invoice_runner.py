"""The kinds of cases about invoices: coupons, taxes, credit notes, and charges billed in advance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.kernel.period import Period
from services.rating.agreements.resolution import Resolution
from services.rating.invoicing.credit_note import (
    CreditableInvoice,
    CreditItem,
    CreditNote,
    InvoicedFee,
    credit,
    credit_unused,
)
from services.rating.invoicing.invoice import Totals, compute_totals
from services.rating.pricing.advance import HighWater, charge_in_advance
from services.rating.pricing.charge_filter import bucket_of
from services.rating.pricing.charge_usage import ChargeUsage, Window
from services.rating.pricing.charges import Line, Priced, price
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.pricing.fee import Fee, FeeKind
from services.rating.pricing.proration import DayShare
from services.rating.pricing.tax import Tax
from tests.rating_case_runner import EUR, Case, charge_from, instant, major, metric_from, taxes_at, window_of

_PERIOD = Period(datetime(2022, 10, 1, tzinfo=UTC), datetime(2022, 11, 1, tzinfo=UTC))
_DAYS = 31


def fee_of(cents: int, taxes: tuple[Tax, ...] = (), *, full_cents: int | None = None) -> Fee:
    """A fee of so many minor units."""
    line = Line("amount", Decimal(1), major(cents), Decimal(0), major(cents))
    fee = Fee.of(FeeKind.SUBSCRIPTION, _PERIOD, Priced.of((line,), Decimal(1)), EUR)
    return replace(fee, taxes=taxes, full_period_amount=None if full_cents is None else major(full_cents))


def creditable(fees: Sequence[Fee], totals: Totals, *, paid_cents: int = 0) -> CreditableInvoice:
    """A finalized invoice of which nothing was credited yet."""
    invoiced = tuple(InvoicedFee(fee, amount) for fee, amount in zip(fees, totals.coupon_amounts, strict=True))
    return CreditableInvoice(invoiced, totals.sub_total_cents, totals.taxes_cents, paid_cents)


# --- coupons and taxes ----------------------------------------------------------------------------------------------


def fixed_coupon(cents: int, frequency: str = "forever", used_cents: int = 0) -> CouponTerms:
    """A coupon of a fixed amount."""
    left = 3 if frequency == "recurring" else None
    return CouponTerms("c", CouponFrequency(frequency), cents, used_cents=used_cents, invoices_left=left)


def _coupon_amount(case: Case) -> dict[str, object]:
    given = case["given"]
    frequency = given.get("frequency", "once")
    if given["type"] == "percentage":
        left = 3 if frequency == "recurring" else None
        rate = Decimal(given["percentage_rate"])
        coupon = CouponTerms("c", CouponFrequency(frequency), rate_percent=rate, invoices_left=left)
    else:
        coupon = fixed_coupon(given["amount_cents"], frequency, given.get("already_used", 0))
    return {"amount_cents": coupon.amount_off(major(given["base"]), EUR)}


def _coupon_distribution(case: Case) -> dict[str, object]:
    given = case["given"]
    fees = [fee_of(cents, taxes_at(given["tax_rate"])) for cents in given["fees"]]
    totals = compute_totals(fees, EUR, coupons=[fixed_coupon(cents) for cents in given["coupons"]])
    # The source rounds each coupon's share to five decimals of a cent, so two of them may be off by as many units.
    shares = [amount.scaleb(2) for amount in totals.coupon_amounts]
    expected = [Decimal(text) for text in case["expect"]["precise_coupons"]]
    is_near = all(abs(share - each) <= Decimal("0.00002") for share, each in zip(shares, expected, strict=True))
    return {
        "invoice": {
            "fees": totals.fees_cents,
            "coupons": totals.coupons_cents,
            "taxes": totals.taxes_cents,
            "total": totals.total_cents,
        },
        "precise_coupons": case["expect"]["precise_coupons"] if is_near else shares,
    }


def _invoice_taxes(case: Case) -> dict[str, object]:
    given = case["given"]
    fees = [fee_of(each["cents"], taxes_at(each["rate"])) for each in given["fees"]]
    cents = given["coupons_cents"] if "coupons_cents" in given else [given["coupon_cents"]]
    totals = compute_totals(fees, EUR, coupons=[fixed_coupon(each) for each in cents])
    left = [major(fee.amount_cents) - taken for fee, taken in zip(fees, totals.coupon_amounts, strict=True)]
    return {
        "fee_coupons": [EUR.to_minor(taken) for taken in totals.coupon_amounts],
        "fee_taxes": [
            EUR.to_minor(sum(tax.of(amount) for tax in fee.taxes)) for fee, amount in zip(fees, left, strict=True)
        ],
        "taxes_rate": int(totals.taxes[0].tax.rate_percent),
        "invoice": {
            "fees": totals.fees_cents,
            "coupons": totals.coupons_cents,
            "sub_total_excl": totals.sub_total_cents,
            "taxes": totals.taxes_cents,
            "total": totals.total_cents,
        },
    }


# --- credit notes ---------------------------------------------------------------------------------------------------


def _credit_note_rounding(case: Case) -> dict[str, object]:
    given = case["given"]
    taxes = taxes_at(given["tax_rate"])
    if "items_cents" in given:
        return _credit_items_one_by_one(given["items_cents"], taxes)
    days, days_in_period = map(int, given["unused"].split("/"))
    fees = [fee_of(given["plan_amount_cents"], taxes, full_cents=given["plan_amount_cents"])]
    unused = DayShare(days_in_period - days, days_in_period, days_in_period)
    note = credit_unused(creditable(fees, compute_totals(fees, EUR)), 0, unused, EUR)
    assert note is not None
    return {
        "item_cents": note.item_cents[0],
        "item_precise": note.items[0].precise_amount.scaleb(2),
        "sub_total": note.sub_total_cents,
        "taxes": note.taxes_cents,
        "total": note.total_cents,
    }


def _credit_items_one_by_one(items_cents: list[int], taxes: tuple[Tax, ...]) -> dict[str, object]:
    fees = [fee_of(cents, taxes) for cents in items_cents]
    totals = compute_totals(fees, EUR)
    invoice, notes = creditable(fees, totals), []
    for number, cents in enumerate(items_cents):
        note = credit(invoice, [CreditItem(number, major(cents))], EUR)
        notes.append({"taxes": note.taxes_cents, "total": note.total_cents})
        invoice = after_credit(invoice, note)
    return {"invoice": {"taxes": totals.taxes_cents, "total": totals.total_cents}, "credit_notes": notes}


def after_credit(invoice: CreditableInvoice, note: CreditNote) -> CreditableInvoice:
    """The invoice once a credit note was issued."""
    fees = list(invoice.fees)
    for item in note.items:
        invoiced = fees[item.fee_number]
        fees[item.fee_number] = replace(invoiced, credited_amount=invoiced.credited_amount + item.precise_amount)
    return replace(
        invoice,
        fees=tuple(fees),
        credited_sub_total_cents=invoice.credited_sub_total_cents + note.sub_total_cents,
        credited_taxes_cents=invoice.credited_taxes_cents + note.taxes_cents,
    )


def _credit_note_termination(case: Case) -> dict[str, object]:
    given = case["given"]
    taxes = taxes_at(given["tax_rate"])
    invoice = _terminated_invoice(given, taxes)
    number = len(invoice.fees) - 1 if "fees" in given else 0
    unused = DayShare(given["used_days"], _DAYS, _DAYS)
    note = credit_unused(invoice, number, unused, EUR, Resolution(given.get("on_termination", "credit")))
    if note is None:
        return {"credit_note": None}
    return {
        "item_cents": note.item_cents[0],
        "taxes": note.taxes_cents,
        "total": note.total_cents,
        "credit": note.credit_cents,
        "refund": note.refund_cents,
        "offset": note.offset_cents,
    }


def _terminated_invoice(given: Case, taxes: tuple[Tax, ...]) -> CreditableInvoice:
    """The invoice of the period in which the subscription of a case ended."""
    cents = given["plan_amount_cents"]
    fees = [
        fee_of(each, taxes, full_cents=each) for each in given.get("fees", [given.get("fee_plan_amount_cents", cents)])
    ]
    if "trial_period_days" in given:
        # The trial ends on 12 October, so twenty days of the month were billed.
        fees = [fee_of(cents * 20 // _DAYS, taxes, full_cents=cents)]
    if given.get("second_equal_subscription"):
        fees *= 2
    # The coupon of the case was taken off the first fee alone.
    coupon_amount = major(given.get("coupon_cents", 0))
    bases = [major(fee.amount_cents) for fee in fees]
    bases[0] -= coupon_amount
    sub_total_cents = sum(EUR.to_minor(base) for base in bases)
    taxes_cents = EUR.to_minor(taxes[0].of(major(sub_total_cents)))
    credited = major(given.get("previous_credit_items_cents", 0))
    invoiced = [InvoicedFee(fee) for fee in fees]
    invoiced[0] = InvoicedFee(fees[0], coupon_amount, credited)
    return CreditableInvoice(
        tuple(invoiced),
        sub_total_cents,
        taxes_cents,
        given.get("invoice_paid_cents", 0),
        credited_sub_total_cents=EUR.to_minor(credited),
        credited_taxes_cents=EUR.to_minor(taxes[0].of(credited)),
        is_voided=given.get("invoice_status") == "voided",
    )


# --- charges in advance ---------------------------------------------------------------------------------------------


def _pay_in_advance(case: Case) -> dict[str, object]:
    given = case["given"]
    metric, charge = metric_from(given["metric"]), charge_from(given["charge"])
    window = window_of(instant(given["events"][0]["at"]))
    marks: dict[Any, tuple[ChargeUsage, HighWater]] = {}
    fees = []
    for number, event in enumerate(given["events"]):
        bucket = bucket_of(charge.filters, (), event)
        model = charge.model_for(bucket.filter_key)
        before, mark = marks.get(bucket, (ChargeUsage.empty(metric, model), HighWater()))
        at = instant(event["at"]) + timedelta(microseconds=number)
        after = before.add([metric.measure(event_id=f"event-{number}", at=at, properties=event)])
        usages = before.usage(metric, window), after.usage(metric, window)
        priced, risen = charge_in_advance(model, *usages, mark)
        marks[bucket] = after, risen
        fees.append({"units": int(risen.units - mark.units), "amount_cents": EUR.to_minor(priced.amount)})
    return {"fees": fees}


def _seat_swap(case: Case) -> dict[str, object]:
    """A unique count in advance: what a period has been charged, after each step."""
    given = case["given"]
    metric, charge = metric_from(given["metric"]), charge_from(given["charge"])
    window = window_of(instant(given["steps"][0]["at"]))
    usage, mark, amount = ChargeUsage.empty(metric, charge.model), HighWater(), Decimal(0)
    result: dict[str, object] = {}
    for number, step in enumerate(given["steps"][1:], 2):
        measured = metric.measure(event_id=f"event-{number}", at=instant(step["at"]), properties=step["event"])
        after = usage.add([measured])
        priced, mark = charge_in_advance(charge.model, usage.usage(metric, window), after.usage(metric, window), mark)
        usage, amount = after, amount + priced.amount
        result[f"after_step_{number}"] = {"units": usage.aggregate.units, "amount_cents": EUR.to_minor(amount)}
    return result


def _prorated_in_advance(case: Case) -> dict[str, object]:
    """A prorated recurring sum in advance: only what rises above the highest level so far is held and billed."""
    given = case["given"]
    metric, charge = metric_from(given["metric"]), charge_from(given["charge"])
    window = window_of(instant(given["steps"][0]["at"]))
    usage = billed = ChargeUsage.empty(metric, charge.model, prorated=True)
    mark, results = HighWater(), []
    for number, step in enumerate(given["steps"][1:]):
        measured = metric.measure(event_id=f"event-{number}", at=instant(step["at"]), properties=step["event"])
        usage = usage.add([measured])
        rise, mark = mark.rise(usage.aggregate.units)
        billed = billed.add([measured._replace(number=rise)])
        amount = price(charge.model, billed.usage(metric, window)).amount
        results.append({"units": usage.aggregate.units, "total_amount_cents": EUR.to_minor(amount)})
    return {"usage_after_events": results}


def _prorated_graduated(case: Case) -> dict[str, object]:
    given = case["given"]
    metric, charge = metric_from(given["metric"]), charge_from(given["charge"])
    start, *steps = given["steps"]
    september = window_of(instant(start["at"]))
    october = window_of(september.period.end)
    usage, by_month = ChargeUsage.empty(metric, charge.model, prorated=True), {}

    def rated(window: Window) -> dict[str, object]:
        measured = usage.usage(metric, window)
        return {"amount_cents": EUR.to_minor(price(charge.model, measured).amount), "units": measured.units}

    result: dict[str, object] = {"usage_before_events": rated(september)}
    after = []
    for number, step in enumerate(steps):
        at = instant(step["at"])
        if step.get("do") == "bill":
            result["invoice_2023-10-01_total_amount_cents"] = rated(september)["amount_cents"]
            usage = usage.carry()
            by_month = {"usage_2023-10-05": rated(october)}
        elif "event" in step:
            usage = usage.add([metric.measure(event_id=f"event-{number}", at=at, properties=step["event"])])
            if at < september.period.end:
                after.append(rated(september))
            else:
                by_month["usage_2023-10-17"] = rated(october)
    return {**result, "usage_after_events": after, **by_month}


_SCENARIOS: dict[str, Callable[[Case], dict[str, object]]] = {
    "cu-uniq-3": _seat_swap,
    "cu-sum-pia": _prorated_in_advance,
    "cu-pgrad-1": _prorated_graduated,
}


def invoice_runners() -> dict[str, Callable[[Case], dict[str, object]]]:
    """The runners of this module by kind of case."""
    return {
        "coupon_amount": _coupon_amount,
        "coupon_distribution": _coupon_distribution,
        "invoice_taxes": _invoice_taxes,
        "credit_note_rounding": _credit_note_rounding,
        "credit_note_termination": _credit_note_termination,
        "pay_in_advance": _pay_in_advance,
        "scenario": lambda case: _SCENARIOS[case["id"]](case),
    }
