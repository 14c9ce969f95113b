"""The kinds of cases about periods: base prices, boundaries, trials, commitments, late events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.cases.cases import Case, Figures, instant
from tests.cases.customer import (
    COUNT,
    METRIC,
    RECURRING_SUM,
    Customer,
    Json,
    at_each,
    cents_of,
    fees_of,
    precise_cents_of,
    span,
    standard,
)
from tests.cases.links.link import Link

_DAY = timedelta(days=1)
# After this time every first period of a case about base prices has ended.
_UNTIL_INVOICED = {"weekly": timedelta(days=8), "monthly": timedelta(days=32), "yearly": timedelta(days=367)}
_HOURS_OF_A_CHANGE = timedelta(hours=10)


def _subscription_fee(case: Case, customer: Customer) -> Figures:
    """The base price of the first period, as it is invoiced when it ends."""
    given = case["given"]
    start = instant(given["period"][0] if "period" in given else given.get("started_at", "2022-03-01"))
    customer.open(start)
    plan = {"interval": given["interval"], "trial_period_days": given.get("trial_days", 0)}
    customer.plan({"amount_cents": given["plan_amount_cents"], **plan})
    customer.subscribe()
    if given.get("terminated_by") == "upgrade":
        customer.plan({"amount_cents": given["plan_amount_cents"] * 2, **plan}, code="dearer")
        customer.advance(start + timedelta(days=given["billed_days"]) + _HOURS_OF_A_CHANGE)
        customer.change("dearer")
    else:
        customer.advance(start + _UNTIL_INVOICED[given["interval"]])
    fees = fees_of(customer.invoices(), "subscription")[:1]
    return {
        "amount_cents": sum(fee.amount_cents for fee in fees),
        "precise_amount_cents": precise_cents_of(fees),
    }


def _billing_boundaries(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given["subscription_at"]))
    customer.plan({"amount_cents": 100, **given})
    customer.subscribe(billing_time=given["billing_time"])
    customer.advance(instant(given["billing_at"]))
    if given.get("terminated"):
        customer.terminate()
    return span(fees_of(customer.invoices(), "subscription")[-1])


# --- minimum commitments ----------------------------------------------------------------------------------------------


def _minimum_commitment(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given["subscribe_at"]))
    customer.plan(given["plan"])
    customer.subscribe(billing_time=given["billing_time"])
    customer.advance(instant(given["bill_at"]))
    return {"commitment_fee_cents": cents_of(customer.invoices(), "commitment")}


def _commitment_with_usage(case: Case, customer: Customer) -> Figures:
    """Its title says when it began, and that 10.00 was used of each of three charges, of which one goes on."""
    begun, ten = instant("2024-02-28T10:00:00Z"), standard("10")
    customer.open(begun)
    metrics = {METRIC: COUNT, f"{METRIC}-advance": COUNT, f"{METRIC}-recurring": RECURRING_SUM}
    charges = []
    for code, metric in metrics.items():
        customer.metric(metric, code=code)
        charges.append({**ten, "billable_metric_id": code, "pay_in_advance": code != METRIC})
    customer.plan(case["given"]["plan"], *charges)
    customer.subscribe()
    for code in metrics:
        customer.use([(begun, {"amount": 1})], code=code)
    customer.advance(instant("2024-04-01"))
    first, second = customer.invoices()
    return {
        "first_period_commitment_cents": cents_of([first], "commitment"),
        "second_period_commitment_cents": cents_of([second], "commitment"),
    }


def _commitment_of_a_downgrade(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant("2024-05-01"))
    customer.plan(given["plan"])
    customer.plan({"amount_cents": 100}, code="cheaper")
    customer.subscribe()
    customer.advance(instant(given["downgrade_requested"]))
    customer.change("cheaper")
    customer.advance(instant(given["bill_at"]))
    invoices = customer.invoices()
    (commitment,) = fees_of(invoices, "commitment")
    return {
        "subscription_fee": cents_of(invoices, "subscription"),
        "commitment_fee": commitment.amount_cents,
        "total": sum(invoice.total_cents for invoice in invoices),
        **span(commitment),
    }


# --- first and late ---------------------------------------------------------------------------------------------------


def _first_weeks(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given["subscribe_at"]), timezone=given["customer_timezone"])
    customer.plan(given["plan"])
    customer.subscribe()
    (invoice,) = customer.invoices()
    return {"first_invoice_total_amount_cents": invoice.total_cents}


def _leap_february(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(instant(given["subscribe_at"]))
    customer.plan(given["plan"])
    customer.subscribe()
    customer.advance(instant(given["bill_at"]))
    invoice, charged = customer.invoices()[-1], customer.closed_usage()[0]
    return {
        "total_amount_cents": invoice.total_cents,
        **span(invoice.fees[0]),
        "charges_from": charged.first,
        "charges_to": charged.last,
    }


def _late_event(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    late = given["late_event"]
    customer.open(
        instant("2022-12-15"),
        tax_rate=given["tax_rate"],
        billing_configuration={"invoice_grace_period": given["grace_days"]},
    )
    customer.metric(COUNT)
    customer.plan(given["plan"], given["charge"])
    customer.subscribe()
    customer.use([(instant(text), {}) for text in given["events"]])
    customer.advance(instant(given["bill_at"]))
    first, draft = customer.invoices()
    customer.use(at_each(late["timestamp"], {}))
    customer.advance(instant(late["sent"]) + timedelta(hours=1))
    refreshed = customer.refresh(draft)
    return {
        "draft_total": draft.total_cents,
        "after_refresh_total": refreshed.total_cents,
        "first_invoice_total_unchanged": first.total_cents,
    }


# --- trials -----------------------------------------------------------------------------------------------------------


def _trial_45(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    _begin_trial(given, customer, standard(given["plan"]["charge_count_amount"]))
    customer.use(at_each(given["event"], {}))
    customer.advance(instant("2024-04-20"))
    invoices = customer.invoices()
    return {
        "apr1_charge_cents": cents_of(invoices, "charge"),
        "trial_end_fee_cents": cents_of(invoices, "subscription"),
    }


def _begin_trial(given: Json, customer: Customer, charge: Json, **details: Any) -> None:
    customer.open(instant(given["subscribe_at"]), **details)
    customer.metric(COUNT)
    customer.plan(given["plan"], charge)
    customer.subscribe()


def _trial_commitment(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    _begin_trial(given, customer, given["charge"])
    for text in given["events"]:
        customer.use(at_each(text, {}))
    customer.advance(instant(given["bill_at"][-1]))
    april, trial_end, may = customer.invoices()
    return {
        "apr1": {"charge_cents": cents_of([april], "charge"), "fees_count": len(april.fees)},
        "trial_end_apr19": {
            "subscription_cents": cents_of([trial_end], "subscription"),
            "fees_count": len(trial_end.fees),
        },
        "may1": {
            "subscription_cents": cents_of([may], "subscription"),
            "charge_cents": cents_of([may], "charge"),
            "commitment_cents": cents_of([may], "commitment"),
            "fees_count": len(may.fees),
        },
    }


def _trial_ends_on_billing_day(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    timezone, charge = given["customer_timezone"], standard(given["plan"]["charge_count_amount"])
    _begin_trial(given, customer, charge, timezone=timezone)
    customer.use(at_each("2024-03-25", {}))
    billed_at = datetime.fromisoformat(given["bill_at_local"]).replace(tzinfo=ZoneInfo(timezone))
    customer.advance(billed_at.astimezone(UTC) + _DAY)
    invoices = customer.invoices()
    return {
        "subscription_fee_cents": cents_of(invoices, "subscription"),
        "charge_fee_cents": cents_of(invoices, "charge"),
    }


# By kind, or by the id of a case.
LINKS: Mapping[str, Link] = {
    "subscription_fee": _subscription_fee,
    "billing_boundaries": _billing_boundaries,
    "minimum_commitment": _minimum_commitment,
    "commit-downgrade": _commitment_of_a_downgrade,
    "commit-usage-1": _commitment_with_usage,
    "tz-Denver": _first_weeks,
    "tz-Paris": _first_weeks,
    "leap-feb": _leap_february,
    "late-event-draft": _late_event,
    "trial-45": _trial_45,
    "trial-commitment": _trial_commitment,
    "trial-billing-day-paris": _trial_ends_on_billing_day,
}
