"""The cases about changes of plan and terminations, one function for each shape of case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from services.kernel.ids import SubscriptionId
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription import apply_change
from services.rating.invoicing.credit_note import credit_unused
from services.rating.invoicing.invoice import Balance, Totals
from tests.rating_case_billed import (
    COUNT,
    RECURRING_SUM,
    SUM,
    Billed,
    events,
    plan_from,
    span,
    standard,
    totals_of,
    unused_note,
)
from tests.rating_case_invoice_runner import creditable
from tests.rating_case_runner import EUR, Case, instant


def _terminated_prorated(case: Case) -> dict[str, object]:
    """A prorated recurring sum at the termination of its subscription, with and without a carried value."""
    given = case["given"]
    steps = {text.split(" ", 1)[1]: text.split(" ", 1)[0] for text in given.get("steps", [])}
    start = instant(given.get("subscribe_at") or steps["subscribe"])
    event = given.get("event", {"at": steps.get("event 5"), "amount": 5})
    ended_at = instant(given.get("terminate_at") or steps["terminate"].replace("06:00Z", "06:00:00Z"))
    billed = Billed.start(given["plan"], start)
    effect = billed.terminate(ended_at)
    nominal = billed.nominal(ended_at)
    usage = events(RECURRING_SUM, [instant(event["at"])], str(event["amount"]), prorated=True)
    if instant(event["at"]) < nominal.start:
        usage = usage.carry()
    period = effect.subscription.usage_part(nominal)
    assert period is not None
    charge = standard(given["charge"]["properties"]["amount"], prorated=True)
    fees = billed.rate(charge, RECURRING_SUM, usage, period, nominal)
    charge_cents = fees[0].amount_cents
    result: dict[str, object] = {"charge_fee_amount_cents": charge_cents}
    if billed.plan.in_advance:
        base = billed.base_fee(nominal)
        assert base is not None
        note = unused_note(base, effect, 0)
        totals = totals_of(fees, 0, [Balance("note", note.balance_cents)])
        result["credit_note_credit_cents"] = note.credit_cents
        result["termination_invoice"] = {
            "fees_cents": totals.fees_cents,
            "credit_notes_cents": totals.credit_notes_cents,
            "total_cents": totals.total_cents,
        }
    elif effect.preview.old_fee is not None:
        result["termination_invoice_total_cents"] = totals_of([effect.preview.old_fee, *fees], 0).total_cents
    return result


def _grace_and_termination(case: Case) -> dict[str, object]:
    given = case["given"]
    billed = Billed.start(given["plan"], instant(given["subscribe_at"]))
    ended_at = instant(given["terminate_at"])
    effect = billed.terminate(ended_at)
    note = unused_note(billed.first_fee(), effect, given["tax_rate"])
    nominal = billed.nominal(ended_at)
    usage = events(COUNT, [instant("2022-12-16"), instant("2022-12-17")])
    charge = standard(given["charge"]["properties"]["amount"])
    fees = billed.rate(charge, COUNT, usage, nominal, nominal)
    return {
        "first_invoice_total": totals_of([billed.first_fee()], given["tax_rate"]).total_cents,
        "credit_note_total": note.total_cents,
        "termination_draft_total": totals_of(fees, given["tax_rate"]).total_cents,
        "termination_final_total": totals_of(
            fees, given["tax_rate"], [Balance("note", note.balance_cents)]
        ).total_cents,
    }


def _upgraded_then_terminated(case: Case) -> dict[str, object]:
    given = case["given"]
    start = instant(given.get("subscription_at") or given["subscribe_at"])
    billed = Billed.start(given["plan"], start, alignment=given["billing_time"])
    if "upgrade_at" in given:
        cheaper = replace(billed.plan, base_amount=Decimal(1))
        successor = replace(billed, plan=cheaper).upgrade(billed.plan, instant(given["upgrade_at"])).successor
        assert successor is not None
        billed = replace(billed, subscription=successor)
    fee = billed.terminate(instant(given["terminate_at"])).preview.old_fee
    assert fee is not None
    return {"subscription_fee_cents": fee.amount_cents}


def _month_to_year(case: Case) -> dict[str, object]:
    given = case["given"]
    billed = Billed.start(given["plan_old"], instant(given["subscription_at"]), alignment=given["billing_time"])
    upgraded_at = instant(given["upgrade_at"])
    effect = billed.upgrade(plan_from(given["plan_new"]), upgraded_at)
    assert effect.preview.new_fee is not None
    base = billed.base_fee(billed.nominal(upgraded_at))
    assert base is not None
    boundaries: list[dict[str, object]] = []
    for expected in case["expect"]["boundaries"]:
        due = billed.due(instant(expected["bill"]))
        assert due.base_period is not None
        boundary = {"bill": expected["bill"], **span(due.base_period)}
        charged = billed.subscription.usage_part(due.usage_period)
        if charged is not None:
            used = span(charged)
            boundary |= {"charges_from": used["from"], "charges_to": used["to"]}
        boundaries.append(boundary)
    return {
        "credit_note_credit_cents": unused_note(base, effect, given["tax_rate"]).credit_cents,
        "new_invoice_fees_cents": effect.preview.new_fee.amount_cents,
        "boundaries": boundaries,
    }


def _two_upgrades(case: Case) -> dict[str, object]:
    given = case["given"]
    plans = [plan_from({"amount_cents": cents, "pay_in_advance": True}) for cents in given["plans"]]
    alignment = given.get("billing_time", "anniversary")
    billed = replace(
        Billed.start({"amount_cents": 0}, instant("2024-03-05T12:12:00Z"), alignment=alignment), plan=plans[0]
    )
    fee, fees, notes = billed.first_fee(), [billed.first_fee().amount_cents], []
    for plan, at in zip(plans[1:], ("2024-03-12T12:12:00Z", "2024-03-12T13:12:00Z"), strict=True):
        effect = billed.upgrade(plan, instant(at))
        notes.append(unused_note(fee, effect, given.get("tax_rate", 25)).total_cents)
        assert effect.preview.new_fee is not None
        assert effect.successor is not None
        fee, billed = effect.preview.new_fee, replace(billed, plan=plan, subscription=effect.successor)
        fees.append(fee.amount_cents)
    return {"fees": fees, "credit_notes": notes}


def _same_day_termination(case: Case) -> dict[str, object]:
    given = case["given"]
    at = instant(given["at"])
    billed = Billed.start(given["plan"], at, timezone=given["customer_timezone"])
    note = unused_note(billed.first_fee(), billed.terminate(at), given["tax_rate"])
    return {
        "first_invoice_total": totals_of([billed.first_fee()], given["tax_rate"]).total_cents,
        "termination_invoice_total": totals_of([], given["tax_rate"]).total_cents,
        "credit_note": {"sub_total": note.sub_total_cents, "taxes": note.taxes_cents, "total": note.total_cents},
    }


def _downgrade(case: Case) -> dict[str, object]:
    given = case["given"]
    billed = Billed.start(given["plan_old"], instant(given["subscription_at"]), alignment=given["billing_time"])
    effect = billed.upgrade(plan_from(given["plan_new"]), instant(given["downgrade_requested"]))
    at = instant(given["bill_at"])
    _, successor = apply_change(effect.subscription, new_id=SubscriptionId("new"), at=at, timezone="UTC")
    assert successor is not None
    assert effect.preview.new_fee is not None
    moved = Billed(plan_from(given["plan_new"]), successor)
    # The fee that was previewed is the fee that the new subscription's first billing gives.
    assert moved.first_fee().amount_cents == effect.preview.new_fee.amount_cents
    return {
        "status_until_period_end": str(effect.subscription.state),
        "new_invoice_fees_cents": moved.first_fee().amount_cents,
        "new_period": span(moved.first_fee().period),
    }


def _termination(case: Case) -> dict[str, object]:
    """Plan 100.00, five events of 10 at 1.00, terminated in its first February: all ways to resolve the credit."""
    given = case["given"]
    rate, ended_at = given["tax_rate"], instant(given["terminate_at"])
    billed = Billed.start(given["plan"], instant(given["subscribe_at"]))
    nominal = billed.nominal(ended_at)
    usage = events(SUM, [instant("2025-02-10")] * 5, "10")
    effect = billed.terminate(ended_at)
    used = billed.rate(standard("1"), SUM, usage, nominal, nominal)
    if not billed.plan.in_advance:
        old_fee = effect.preview.old_fee
        assert old_fee is not None
        totals = totals_of([old_fee, *used], rate)
        return {"final_invoice": _invoice(totals), "subscription_fee": old_fee.amount_cents}
    resolution = given.get("on_termination_credit_note", "credit")
    first = billed.first_fee()
    if resolution == "skip":
        assert effect.preview.unused is not None
        invoice = creditable([first], totals_of([first], rate))
        note = credit_unused(invoice, 0, effect.preview.unused, EUR, Resolution.NONE)
        return {"credit_notes": int(note is not None), "final_invoice": _invoice(totals_of(used, rate))}
    note = unused_note(first, effect, rate, paid_cents=given.get("paid_cents", 0), resolution=resolution)
    totals = totals_of(used, rate, [Balance("note", note.balance_cents)])
    return {
        "first_invoice_total": totals_of([first], rate).total_cents,
        "credit_note_total": note.total_cents,
        "credit_note": {"total": note.total_cents, "refund": note.refund_cents, "credit": note.credit_cents},
        "final_invoice": _invoice(totals),
        "credit_note_balance": note.balance_cents - totals.credit_notes_cents,
    }


def _invoice(totals: Totals) -> dict[str, object]:
    return {
        "sub_total_excl": totals.sub_total_cents,
        "taxes": totals.taxes_cents,
        "credit_notes": totals.credit_notes_cents,
        "total": totals.total_cents,
    }


CHANGES: dict[str, Callable[[Case], dict[str, object]]] = {
    "term-arrears-recurring-prorated": _terminated_prorated,
    "term-pia-recurring": _terminated_prorated,
    "term-arrears-recurring": _terminated_prorated,
    "grace-pia-term-1": _grace_and_termination,
    "upgrade-proration-1": _upgraded_then_terminated,
    "upgrade-proration-2": _upgraded_then_terminated,
    "upgrade-month-to-year": _month_to_year,
    "multi-upgrade-cal": _two_upgrades,
    "multi-upgrade-anniv": _two_upgrades,
    "tpia-Asia/Tokyo": _same_day_termination,
    "tpia-LA": _same_day_termination,
    "downgrade-m-to-y": _downgrade,
    "term-credit": _termination,
    "term-refund": _termination,
    "term-skip": _termination,
    "term-arrears": _termination,
}
