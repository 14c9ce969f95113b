"""The cases about changes of plan and terminations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tests.rating_case_runner import Case, instant
from tests.support.rating_cases.account import (
    COUNT,
    RECURRING_SUM,
    SUM,
    Account,
    Json,
    Runner,
    at_each,
    cents_of,
    fees_of,
    span,
)
from tests.support.rating_cases.period_kinds import standard


def _terminated_prorated(case: Case, account: Account) -> dict[str, object]:
    """A prorated recurring sum at the termination of its subscription, with and without a carried value."""
    given = case["given"]
    steps = {text.split(" ", 1)[1]: text.split(" ", 1)[0] for text in given.get("steps", [])}
    event = given.get("event", {"at": steps.get("event 5"), "amount": 5})
    ended_at = given.get("terminate_at") or steps["terminate"].replace("06:00Z", "06:00:00Z")
    account.open(instant(given.get("subscribe_at") or steps["subscribe"]))
    account.metric(RECURRING_SUM)
    account.plan(given["plan"], given["charge"])
    account.subscribe()
    account.use(at_each(event["at"], {"amount": event["amount"]}))
    account.advance(instant(ended_at))
    account.terminate()
    last = account.invoices()[-1]
    return {
        "charge_fee_amount_cents": cents_of([last], "charge"),
        "credit_note_credit_cents": sum(note["credit_amount_cents"] for note in account.credit_notes()),
        "termination_invoice": {
            "fees_cents": last["fees_amount_cents"],
            "credit_notes_cents": last["credit_notes_amount_cents"],
            "total_cents": last["total_amount_cents"],
        },
        "termination_invoice_total_cents": last["total_amount_cents"],
    }


def _grace_and_termination(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    grace = timedelta(days=3)
    account.open(
        instant(given["subscribe_at"]),
        tax_rate=given["tax_rate"],
        billing_configuration={"invoice_grace_period": grace.days},
    )
    account.metric(COUNT)
    account.plan(given["plan"], given["charge"])
    account.subscribe()
    account.use([*at_each("2022-12-16", {}), *at_each("2022-12-17", {})])
    ended_at = instant(given["terminate_at"])
    account.advance(ended_at)
    account.terminate()
    first, draft = account.invoices()
    (note,) = account.credit_notes()
    account.advance(ended_at + grace)
    return {
        "first_invoice_total": first["total_amount_cents"],
        "credit_note_total": note["total_amount_cents"],
        "termination_draft_total": draft["total_amount_cents"],
        "termination_final_total": account.invoices()[-1]["total_amount_cents"],
    }


def _upgraded_then_terminated(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant(given.get("subscription_at") or given["subscribe_at"]))
    account.plan(given["plan"])
    if "upgrade_at" in given:
        account.plan({**given["plan"], "amount_cents": 100}, code="cheaper")
        account.subscribe("cheaper", billing_time=given["billing_time"])
        account.advance(instant(given["upgrade_at"]))
    account.subscribe(billing_time=given["billing_time"])
    account.advance(instant(given["terminate_at"]))
    account.terminate()
    return {"subscription_fee_cents": cents_of(account.invoices()[-1:], "subscription")}


def _month_to_year(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant(given["subscription_at"]))
    account.plan(given["plan_old"], code="old")
    account.plan(given["plan_new"], code="new")
    account.subscribe("old", billing_time=given["billing_time"])
    account.advance(instant(given["upgrade_at"]))
    invoices, used = account.invoices(), account.closed_usage()
    account.subscribe("new")
    (note,) = account.credit_notes()
    return {
        "credit_note_credit_cents": note["credit_amount_cents"],
        "new_invoice_fees_cents": account.invoices()[-1]["fees_amount_cents"],
        "boundaries": [_boundary(each["bill"], invoices, used) for each in case["expect"]["boundaries"]],
    }


def _boundary(bill: str, invoices: list[Any], used: list[Any]) -> dict[str, object]:
    """What the invoice of a day covers: a base price that begins then, and usage that ended then."""
    (invoice,) = [each for each in invoices if each["issuing_date"] == bill]
    charged = [each for each in used if each["issuing_date"] == bill]
    charges = [{"charges_from": each["from_datetime"], "charges_to": each["to_datetime"]} for each in charged]
    return {"bill": bill, **span(invoice["fees"][0]), **(charges[0] if charges else {})}


def _two_upgrades(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant("2024-03-05T12:12:00Z"), tax_rate=given["tax_rate"])
    for number, cents in enumerate(given["plans"]):
        account.plan({"amount_cents": cents, "pay_in_advance": True}, code=f"plan-{number}")
    account.subscribe("plan-0", billing_time=given["billing_time"])
    account.advance(instant("2024-03-12T12:12:00Z"))
    account.subscribe("plan-1")
    account.advance(instant("2024-03-12T13:12:00Z"))
    account.subscribe("plan-2")
    return {
        "fees": [fee["amount_cents"] for fee in fees_of(account.invoices(), "subscription")],
        "credit_notes": [note["total_amount_cents"] for note in account.credit_notes()],
    }


def _same_day_termination(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant(given["at"]), tax_rate=given["tax_rate"], timezone=given["customer_timezone"])
    account.plan(given["plan"])
    account.subscribe()
    account.terminate()
    first, *others = account.invoices()
    (note,) = account.credit_notes()
    return {
        "first_invoice_total": first["total_amount_cents"],
        "termination_invoice_total": sum(each["total_amount_cents"] for each in others),
        "credit_note": {
            "sub_total": note["sub_total_excluding_taxes_amount_cents"],
            "taxes": note["taxes_amount_cents"],
            "total": note["total_amount_cents"],
        },
    }


def _downgrade(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant(given["subscription_at"]))
    account.plan(given["plan_old"], code="old")
    account.plan(given["plan_new"], code="new")
    account.subscribe("old", billing_time=given["billing_time"])
    account.advance(instant(given["downgrade_requested"]))
    promised = account.subscribe("new")
    account.advance(instant(given["bill_at"]))
    last = account.invoices()[-1]
    return {
        "status_until_period_end": promised["status"],
        "new_invoice_fees_cents": last["fees_amount_cents"],
        "new_period": span(last["fees"][0]),
    }


# --- all ways to resolve the credit of a termination ----------------------------------------------------------------


def _termination(case: Case, account: Account) -> dict[str, object]:
    """Plan 100.00, five events of 10 at 1.00, terminated in its first February."""
    given = case["given"]
    account.open(instant(given["subscribe_at"]), tax_rate=given["tax_rate"])
    account.metric(SUM)
    account.plan(given["plan"], standard("1"))
    account.subscribe()
    account.use(at_each("2025-02-10", {"amount": "10"}, 5))
    account.advance(instant(given["terminate_at"]))
    if "paid_cents" in given:
        account.pay(account.invoices()[0], given["paid_cents"])
    names = ("on_termination_credit_note", "on_termination_invoice")
    account.terminate(**{name: given[name] for name in names if name in given})
    return _what_is_left(account.invoices(), account.credit_notes())


def _what_is_left(invoices: list[Any], notes: list[Any]) -> dict[str, object]:
    last, totals = invoices[-1], [note["total_amount_cents"] for note in notes]
    return {
        "first_invoice_total": invoices[0]["total_amount_cents"],
        "invoices_count": len(invoices),
        "subscription_fee": cents_of([last], "subscription"),
        "final_invoice": _invoice(last),
        "credit_notes": len(notes),
        "credit_note_total": sum(totals),
        "credit_note": {
            "total": sum(totals),
            "refund": sum(note["refund_amount_cents"] for note in notes),
            "credit": sum(note["credit_amount_cents"] for note in notes),
        },
        "credit_note_balance": sum(note["balance_amount_cents"] for note in notes),
    }


def _invoice(invoice: Json) -> dict[str, object]:
    return {
        "sub_total_excl": invoice["sub_total_excluding_taxes_amount_cents"],
        "taxes": invoice["taxes_amount_cents"],
        "credit_notes": invoice["credit_notes_amount_cents"],
        "total": invoice["total_amount_cents"],
    }


# Cases of the kind `subscription_billing`, by id.
CHANGE_CASES: Mapping[str, Runner] = {
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
    "term-noinvoice": _termination,
    "term-arrears": _termination,
}
