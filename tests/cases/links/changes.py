"""The cases about changes of plan and terminations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from tests.cases.cases import Case, Figures, instant
from tests.cases.customer import (
    COUNT,
    RECURRING_SUM,
    SUM,
    Customer,
    at_each,
    cents_of,
    fees_of,
    span,
    standard,
)
from tests.cases.links.link import Link
from tests.support.accounts.account import CreditNote, Invoice, Usage

# How many of a case's first bills it tells of.
_BILLS_TOLD = 2


def _terminated_prorated(case: Case, customer: Customer) -> Figures:
    """A prorated recurring sum at the termination of its subscription, with and without a carried value."""
    given = case["given"]
    steps = {text.split(" ", 1)[1]: text.split(" ", 1)[0] for text in given.get("steps", [])}
    event = given.get("event", {"at": steps.get("event 5"), "amount": 5})
    ended_at = given.get("terminate_at") or steps["terminate"].replace("06:00Z", "06:00:00Z")
    customer.open(instant(given.get("subscribe_at") or steps["subscribe"]))
    customer.metric(RECURRING_SUM)
    customer.plan(given["plan"], given["charge"])
    customer.subscribe()
    customer.use(at_each(event["at"], {"amount": event["amount"]}))
    customer.advance(instant(ended_at))
    customer.terminate()
    last = customer.invoices()[-1]
    return {
        "charge_fee_amount_cents": cents_of([last], "charge"),
        "credit_note_credit_cents": sum(note.credit_cents for note in customer.credit_notes()),
        "termination_invoice": {
            "fees_cents": last.fees_cents,
            "credit_notes_cents": last.credit_notes_cents,
            "total_cents": last.total_cents,
        },
        "termination_invoice_total_cents": last.total_cents,
    }


def _grace_and_termination(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    grace = timedelta(days=3)
    customer.open(
        instant(given["subscribe_at"]),
        tax_rate=given["tax_rate"],
        billing_configuration={"invoice_grace_period": grace.days},
    )
    customer.metric(COUNT)
    customer.plan(given["plan"], given["charge"])
    customer.subscribe()
    customer.use([*at_each("2022-12-16", {}), *at_each("2022-12-17", {})])
    ended_at = instant(given["terminate_at"])
    customer.advance(ended_at)
    customer.terminate()
    first, draft = customer.invoices()
    (note,) = customer.credit_notes()
    customer.advance(ended_at + grace)
    return {
        "first_invoice_total": first.total_cents,
        "credit_note_total": note.total_cents,
        "termination_draft_total": draft.total_cents,
        "termination_final_total": customer.invoices()[-1].total_cents,
    }


def _upgraded_then_terminated(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given.get("subscription_at") or given["subscribe_at"]))
    customer.plan(given["plan"])
    if "upgrade_at" in given:
        customer.plan({**given["plan"], "amount_cents": 100}, code="cheaper")
        customer.subscribe("cheaper", billing_time=given["billing_time"])
        customer.advance(instant(given["upgrade_at"]))
        customer.change("plan")
    else:
        customer.subscribe(billing_time=given["billing_time"])
    customer.advance(instant(given["terminate_at"]))
    customer.terminate()
    return {"subscription_fee_cents": cents_of(customer.invoices()[-1:], "subscription")}


def _month_to_year(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given["subscription_at"]))
    customer.plan(given["plan_old"], code="old")
    customer.plan(given["plan_new"], code="new")
    customer.subscribe("old", billing_time=given["billing_time"])
    customer.advance(instant(given["upgrade_at"]))
    invoices, used = customer.invoices(), customer.closed_usage()
    customer.change("new")
    (note,) = customer.credit_notes()
    return {
        "credit_note_credit_cents": note.credit_cents,
        "new_invoice_fees_cents": customer.invoices()[-1].fees_cents,
        "boundaries": [_boundary(invoice, used) for invoice in invoices[:_BILLS_TOLD]],
    }


def _boundary(invoice: Invoice, used: Sequence[Usage]) -> dict[str, object]:
    """What an invoice covers: a base price that begins on its day, and usage that ended then."""
    charged = [usage for usage in used if usage.issued_on == invoice.issued_on]
    charges = [{"charges_from": usage.first, "charges_to": usage.last} for usage in charged]
    return {"bill": invoice.issued_on, **span(invoice.fees[0]), **(charges[0] if charges else {})}


def _two_upgrades(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant("2024-03-05T12:12:00Z"), tax_rate=given["tax_rate"])
    for number, cents in enumerate(given["plans"]):
        customer.plan({"amount_cents": cents, "pay_in_advance": True}, code=f"plan-{number}")
    customer.subscribe("plan-0", billing_time=given["billing_time"])
    customer.advance(instant("2024-03-12T12:12:00Z"))
    customer.change("plan-1")
    customer.advance(instant("2024-03-12T13:12:00Z"))
    customer.change("plan-2")
    return {
        "fees": [fee.amount_cents for fee in fees_of(customer.invoices(), "subscription")],
        "credit_notes": [note.total_cents for note in customer.credit_notes()],
    }


def _same_day_termination(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given["at"]), tax_rate=given["tax_rate"], timezone=given["customer_timezone"])
    customer.plan(given["plan"])
    customer.subscribe()
    customer.terminate()
    first, *others = customer.invoices()
    (note,) = customer.credit_notes()
    return {
        "first_invoice_total": first.total_cents,
        "termination_invoice_total": sum(invoice.total_cents for invoice in others),
        "credit_note": {"sub_total": note.sub_total_cents, "taxes": note.taxes_cents, "total": note.total_cents},
    }


def _downgrade(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given["subscription_at"]))
    customer.plan(given["plan_old"], code="old")
    customer.plan(given["plan_new"], code="new")
    customer.subscribe("old", billing_time=given["billing_time"])
    customer.advance(instant(given["downgrade_requested"]))
    state = customer.change("new")
    customer.advance(instant(given["bill_at"]))
    last = customer.invoices()[-1]
    return {
        "status_until_period_end": state,
        "new_invoice_fees_cents": last.fees_cents,
        "new_period": span(last.fees[0]),
    }


# --- all ways to resolve the credit of a termination ------------------------------------------------------------------


def _termination(case: Case, customer: Customer) -> Figures:
    """Plan 100.00, five events of 10 at 1.00, terminated in its first February."""
    given = case["given"]
    customer.open(instant(given["subscribe_at"]), tax_rate=given["tax_rate"])
    customer.metric(SUM)
    customer.plan(given["plan"], standard("1"))
    customer.subscribe()
    customer.use(at_each("2025-02-10", {"amount": "10"}, 5))
    customer.advance(instant(given["terminate_at"]))
    if "paid_cents" in given:
        customer.pay(customer.invoices()[0], given["paid_cents"])
    resolution = given.get("on_termination_credit_note", "credit")
    customer.terminate(
        # Lago's word for giving nothing back.
        credit="none" if resolution == "skip" else resolution,
        is_invoiced=given.get("on_termination_invoice") != "skip",
    )
    return _what_is_left(customer.invoices(), customer.credit_notes())


def _what_is_left(invoices: Sequence[Invoice], notes: Sequence[CreditNote]) -> Figures:
    last = invoices[-1]
    return {
        "first_invoice_total": invoices[0].total_cents,
        "invoices_count": len(invoices),
        "subscription_fee": cents_of([last], "subscription"),
        "final_invoice": {
            "sub_total_excl": last.sub_total_cents,
            "taxes": last.taxes_cents,
            "credit_notes": last.credit_notes_cents,
            "total": last.total_cents,
        },
        "credit_notes": len(notes),
        "credit_note_total": sum(note.total_cents for note in notes),
        "credit_note": {
            "total": sum(note.total_cents for note in notes),
            "refund": sum(note.refund_cents for note in notes),
            "credit": sum(note.credit_cents for note in notes),
        },
        "credit_note_balance": sum(note.balance_cents for note in notes),
    }


# Cases of the kind `subscription_billing`, by id.
LINKS: Mapping[str, Link] = {
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
