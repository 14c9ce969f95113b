"""The kinds of cases about credit notes, coupons and taxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.rating_case_runner import Case, instant
from tests.support.rating_cases.account import PLAN, SUBSCRIPTION, Account, Json, Runner

_OTHER = "other"
_OTHER_PLAN = "other-plan"


def _credit_note_termination(case: Case, account: Account) -> dict[str, object]:
    """A subscription ends within a month that was billed in advance.

    Where a case has two fees on its invoice, they are of two subscriptions. Each has an invoice of its own here, and
    what was paid is shared between the two by what they come to.
    """
    given = case["given"]
    plan_cents, other_cents = _plan_amounts(given)
    account.open(instant(given["started_at"]), tax_rate=given["tax_rate"])
    terms = {"pay_in_advance": True, "trial_period_days": given.get("trial_period_days", 0)}
    account.plan({"amount_cents": plan_cents, **terms})
    account.subscribe(billing_time=given["billing_time"])
    if other_cents is not None:
        account.plan({"amount_cents": other_cents, **terms}, code=_OTHER_PLAN)
        account.subscribe(_OTHER_PLAN, external_id=_OTHER, billing_time=given["billing_time"])
    if "coupon_cents" in given:
        account.coupon(_coupon_of_the_plan(given["coupon_cents"]))
    account.advance(instant(given["terminated_at"]))
    earlier = _prepare(given, account)
    account.terminate(on_termination_credit_note=given.get("on_termination", "credit"))
    notes = [note for note in account.credit_notes() if note["lago_id"] not in earlier]
    return _credit_note(notes[0]) if notes else {"credit_note": None}


def _plan_amounts(given: Json) -> tuple[int, int | None]:
    """What the plan costs, and the plan of the customer's other subscription; None where there is none."""
    if "fees" in given:
        other, plan = given["fees"]
        return plan, other
    plan = given.get("fee_plan_amount_cents", given["plan_amount_cents"])
    return plan, plan if given.get("second_equal_subscription") else None


def _coupon_of_the_plan(cents: int) -> Json:
    """In the cases, the coupon is taken off the fee that is credited."""
    limits = {"applies_to": {"plan_codes": [PLAN]}}
    return {"code": "coupon", "coupon_type": "fixed_amount", "amount_cents": cents, "frequency": "once", **limits}


def _prepare(given: Json, account: Account) -> set[str]:
    """Pay, void or credit the month's invoice as the case says; the ids of the credit notes."""
    invoices = account.invoices()
    last = max(invoice["issuing_date"] for invoice in invoices)
    current = [invoice for invoice in invoices if invoice["issuing_date"] == last]
    (own,) = [each for each in current if each["fees"][0]["external_subscription_id"] == SUBSCRIPTION]
    if given.get("invoice_status") == "voided":
        account.void(own)
    if given.get("invoice_paid_cents"):
        total_cents = sum(invoice["total_amount_cents"] for invoice in current)
        account.pay(own, given["invoice_paid_cents"] * own["total_amount_cents"] // total_cents)
    if "previous_credit_items_cents" not in given:
        return set()
    item = {"fee_id": own["fees"][0]["lago_id"], "amount_cents": given["previous_credit_items_cents"]}
    return {account.credit(own, [item])["lago_id"]}


def _credit_note(note: Any) -> dict[str, object]:
    return {
        "item_cents": note["items"][0]["amount_cents"],
        "sub_total": note["sub_total_excluding_taxes_amount_cents"],
        "taxes": note["taxes_amount_cents"],
        "total": note["total_amount_cents"],
        "credit": note["credit_amount_cents"],
        "refund": note["refund_amount_cents"],
        "offset": note["offset_amount_cents"],
    }


CREDIT_KINDS: Mapping[str, Runner] = {"credit_note_termination": _credit_note_termination}
