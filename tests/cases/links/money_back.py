"""The kinds of cases about credit notes, coupons and taxes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from tests.cases.cases import Case, Figures, instant
from tests.cases.customer import COUNT, METRIC, PLAN, Customer, Json, fees_of, standard
from tests.cases.links.link import Link
from tests.support.accounts.account import CreditNote

_OTHER = "other"
_OTHER_PLAN = "other-plan"
# Months of thirty days, for cases without dates.
_APRIL, _MAY, _JUNE = instant("2024-04-01"), instant("2024-05-01"), instant("2024-06-01")


# --- credit notes of a termination ------------------------------------------------------------------------------------


def _credit_note_termination(case: Case, customer: Customer) -> Figures:
    """A subscription ends within a month that was billed in advance.

    Where a case has two fees on its invoice, they are of two subscriptions. Each has an invoice of its own here, and
    what was paid is shared between the two by what they come to.
    """
    given = case["given"]
    plan_cents, other_cents = _plan_amounts(given)
    customer.open(instant(given["started_at"]), tax_rate=given["tax_rate"])
    terms = {"pay_in_advance": True, "trial_period_days": given.get("trial_period_days", 0)}
    customer.plan({"amount_cents": plan_cents, **terms})
    customer.subscribe(billing_time=given["billing_time"])
    if other_cents is not None:
        customer.plan({"amount_cents": other_cents, **terms}, code=_OTHER_PLAN)
        customer.subscribe(_OTHER_PLAN, external_id=_OTHER, billing_time=given["billing_time"])
    if "coupon_cents" in given:
        # In the cases, the coupon is taken off the fee that is credited.
        customer.coupon(_fixed("coupon", given["coupon_cents"], applies_to={"plan_codes": [PLAN]}))
    customer.advance(instant(given["terminated_at"]))
    earlier = _prepare(given, customer)
    customer.terminate(credit=given.get("on_termination", "credit"))
    notes = [note for note in customer.credit_notes() if note.identity not in earlier]
    return _figures(notes[0]) if notes else {"credit_note": None}


def _plan_amounts(given: Json) -> tuple[int, int | None]:
    """What the plan costs, and the plan of the customer's other subscription; None where there is none."""
    if "fees" in given:
        other, plan = given["fees"]
        return plan, other
    plan = given.get("fee_plan_amount_cents", given["plan_amount_cents"])
    return plan, plan if given.get("second_equal_subscription") else None


def _prepare(given: Json, customer: Customer) -> set[object]:
    """Pay, void or credit the month's invoice as the case says; the identities of the credit notes."""
    invoices = customer.invoices()
    last = max(invoice.issued_on for invoice in invoices)
    current = [invoice for invoice in invoices if invoice.issued_on == last]
    own = current[0]
    if given.get("invoice_status") == "voided":
        customer.void(own)
    if given.get("invoice_paid_cents"):
        total_cents = sum(invoice.total_cents for invoice in current)
        customer.pay(own, given["invoice_paid_cents"] * own.total_cents // total_cents)
    if "previous_credit_items_cents" not in given:
        return set()
    own = next(invoice for invoice in customer.invoices() if invoice.identity == own.identity)
    return {customer.credit(own, [(own.fees[0], given["previous_credit_items_cents"])]).identity}


def _figures(note: CreditNote) -> Figures:
    precise = {"item_precise": note.item_precise_cents[0]} if note.item_precise_cents else {}
    return {
        "item_cents": note.item_cents[0],
        "sub_total": note.sub_total_cents,
        "taxes": note.taxes_cents,
        "total": note.total_cents,
        "credit": note.credit_cents,
        "refund": note.refund_cents,
        "offset": note.offset_cents,
        **precise,
    }


def _unused_days(case: Case, customer: Customer) -> Figures:
    """A month of thirty days in advance, of which the days but these are used."""
    given = case["given"]
    unused, whole = map(int, given["unused"].split("/"))
    customer.open(_APRIL, tax_rate=given["tax_rate"])
    customer.plan({"amount_cents": given["plan_amount_cents"], "pay_in_advance": True})
    customer.subscribe()
    # The day of termination is used.
    customer.advance(_APRIL + timedelta(days=whole - unused - 1, hours=1))
    customer.terminate()
    (note,) = customer.credit_notes()
    return _figures(note)


def _items_one_by_one(case: Case, customer: Customer) -> Figures:
    """An invoice with a base price and a charge, each given back by a credit note of its own."""
    given = case["given"]
    base_cents, charge_cents = given["items_cents"]
    customer.open(_APRIL, tax_rate=given["tax_rate"])
    customer.metric(COUNT)
    customer.plan({"amount_cents": base_cents}, standard(f"{charge_cents / 100:.2f}"))
    customer.subscribe()
    customer.use([(_APRIL, {})])
    customer.advance(_MAY)
    (invoice,) = customer.invoices()
    notes = [customer.credit(invoice, [(fee, fee.amount_cents)]) for fee in invoice.fees]
    return {
        "invoice": {"taxes": invoice.taxes_cents, "total": invoice.total_cents},
        "credit_notes": [{"taxes": note.taxes_cents, "total": note.total_cents} for note in notes],
    }


# --- coupons and taxes ------------------------------------------------------------------------------------------------


def _fixed(code: str, cents: int, **terms: object) -> Json:
    frequency = terms.pop("frequency", "once")
    return {"code": code, "coupon_type": "fixed_amount", "amount_cents": cents, "frequency": frequency, **terms}


def _coupon_amount(case: Case, customer: Customer) -> Figures:
    """What a coupon takes off a month's usage; where some of it is used already, the month before used it."""
    given = case["given"]
    frequency = given.get("frequency", "once")
    customer.open(_APRIL)
    customer.metric({"aggregation_type": "sum_agg", "field_name": "amount"})
    customer.plan({"amount_cents": 0}, standard("0.01"))
    customer.subscribe()
    duration = {"frequency_duration": 3} if frequency == "recurring" else {}
    if given["type"] == "percentage":
        rate = {"coupon_type": "percentage", "percentage_rate": str(given["percentage_rate"])}
        customer.coupon({"code": "coupon", "frequency": frequency, **rate, **duration})
    else:
        customer.coupon(_fixed("coupon", given["amount_cents"], frequency=frequency, **duration))
    if "already_used" in given:
        customer.use([(_APRIL, {"amount": given["already_used"]})])
    customer.advance(_MAY)
    customer.use([(_MAY, {"amount": given["base"]})])
    customer.advance(_JUNE)
    return {"amount_cents": customer.invoices()[-1].coupons_cents}


def _coupon_distribution(case: Case, customer: Customer) -> Figures:
    """One invoice with a base price and a charge for each other fee; each coupon takes off its part of every fee."""
    given = case["given"]
    base_cents, *others = given["fees"]
    customer.open(_APRIL, tax_rate=given.get("tax_rate"))
    charges = []
    for number, cents in enumerate(others):
        customer.metric(COUNT, code=f"{METRIC}-{number}")
        charges.append({**standard(f"{cents / 100:.2f}"), "billable_metric_id": f"{METRIC}-{number}"})
    customer.plan({"amount_cents": base_cents}, *charges)
    customer.subscribe()
    for number, cents in enumerate(given["coupons"]):
        customer.coupon(_fixed(f"coupon-{number}", cents))
    for number in range(len(others)):
        customer.use([(_APRIL, {})], code=f"{METRIC}-{number}")
    customer.advance(_MAY)
    return _figures_of_invoice(customer)


def _figures_of_invoice(customer: Customer) -> Figures:
    (invoice,) = customer.invoices()
    return {
        "fee_coupons": [fee.coupons_cents for fee in invoice.fees],
        "precise_coupons": [fee.coupons_cents for fee in invoice.fees],
        "fee_taxes": [fee.taxes_cents for fee in invoice.fees],
        "taxes_rate": fees_of([invoice], "subscription")[0].taxes_rate,
        "invoice": {
            "fees": invoice.fees_cents,
            "coupons": invoice.coupons_cents,
            "sub_total_excl": invoice.sub_total_cents,
            "taxes": invoice.taxes_cents,
            "total": invoice.total_cents,
        },
    }


def _invoice_taxes(case: Case, customer: Customer) -> Figures:
    """The same, told fee by fee with one rate for all."""
    given = case["given"]
    (rate,) = {fee["rate"] for fee in given["fees"]}
    fees = [fee["cents"] for fee in given["fees"]]
    told = {"fees": fees, "coupons": given["coupons_cents"], "tax_rate": rate}
    return _coupon_distribution({**case, "given": told}, customer)


def _taxes_of_charges(case: Case, customer: Customer) -> Figures:
    """A plan and two charges, each with a tax of its own; one of the charges stays below its minimum."""
    given = case["given"]
    base, fx, cards, true_up = given["fees"]
    customer.open(_APRIL)
    codes = {rate: customer.tax(rate) for rate in sorted({fee["rate"] for fee in given["fees"]})}
    charges = []
    for number, fee in enumerate((fx, cards)):
        customer.metric(COUNT, code=f"{METRIC}-{number}")
        price = standard(f"{fee['cents'] / 100:.2f}", tax_codes=[codes[fee["rate"]]])
        charges.append({**price, "billable_metric_id": f"{METRIC}-{number}"})
    charges[-1]["min_amount_cents"] = cards["cents"] + true_up["cents"]
    customer.plan({"amount_cents": base["cents"], "tax_codes": [codes[base["rate"]]]}, *charges)
    customer.subscribe()
    customer.coupon(_fixed("coupon", given["coupon_cents"]))
    for number in range(len(charges)):
        customer.use([(_APRIL, {})], code=f"{METRIC}-{number}")
    customer.advance(_MAY)
    return _figures_of_invoice(customer)


# By kind, or by the id of a case.
LINKS: Mapping[str, Link] = {
    "credit_note_termination": _credit_note_termination,
    "credit_note_rounding": _unused_days,
    "cn-round-two": _items_one_by_one,
    "coupon_amount": _coupon_amount,
    "coupon_distribution": _coupon_distribution,
    "invoice_taxes": _invoice_taxes,
    "taxes-1": _taxes_of_charges,
}
