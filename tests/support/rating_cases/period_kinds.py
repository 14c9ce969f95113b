"""The kinds of cases about periods: base prices, boundaries, trials, commitments, late events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from services.kernel.cadence import Alignment, Cadence, interval_named, midnight, period_containing
from tests.rating_case_runner import Case, instant
from tests.support.rating_cases.account import (
    COUNT,
    Account,
    Json,
    Runner,
    at_each,
    cents_of,
    fees_of,
    precise_cents_of,
    span,
)

_DAY = timedelta(days=1)


def standard(amount: str, **terms: Any) -> Json:
    """A charge of a price a unit."""
    return {"charge_model": "standard", "properties": {"amount": amount}, **terms}


def _subscription_fee(case: Case, account: Account) -> dict[str, object]:
    """The base price of the first period, as it is invoiced when it ends."""
    given = case["given"]
    start = instant(given["period"][0] if "period" in given else given.get("started_at", "2022-03-01"))
    account.open(start)
    plan = {"interval": given["interval"], "trial_period_days": given.get("trial_days", 0)}
    account.plan({"amount_cents": given["plan_amount_cents"], **plan})
    account.subscribe()
    if given.get("terminated_by") == "upgrade":
        account.plan({"amount_cents": given["plan_amount_cents"] * 2, **plan}, code="dearer")
        account.advance(start + timedelta(days=given["billed_days"], hours=10))
        account.subscribe("dearer")
    else:
        cadence = Cadence(interval_named(given["interval"]), Alignment.CALENDAR, start, "UTC")
        account.advance(period_containing(cadence, start).end)
    invoices = account.invoices()
    fees = fees_of(invoices, "subscription")
    return {
        "amount_cents": cents_of(invoices, "subscription"),
        "precise_amount_cents": precise_cents_of(fees),
    }


def _billing_boundaries(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant(given["subscription_at"]))
    account.plan({"amount_cents": 100, **given})
    account.subscribe(billing_time=given["billing_time"])
    account.advance(instant(given["billing_at"]))
    if given.get("terminated"):
        account.terminate()
    return span(fees_of(account.invoices(), "subscription")[-1])


# --- minimum commitments --------------------------------------------------------------------------------------------


def _minimum_commitment(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    if case["id"] == "commit-downgrade":
        return _commitment_of_a_downgrade(given, account)
    account.open(instant(given["subscribe_at"]))
    account.plan(given["plan"])
    account.subscribe(billing_time=given["billing_time"])
    account.advance(instant(given["bill_at"]))
    return {"commitment_fee_cents": cents_of(account.invoices(), "commitment")}


def _commitment_of_a_downgrade(given: Json, account: Account) -> dict[str, object]:
    account.open(instant("2024-05-01"))
    account.plan(given["plan"])
    account.plan({"amount_cents": 100}, code="cheaper")
    account.subscribe()
    account.advance(instant(given["downgrade_requested"]))
    account.subscribe("cheaper")
    account.advance(instant(given["bill_at"]))
    invoices = account.invoices()
    (commitment,) = fees_of(invoices, "commitment")
    return {
        "subscription_fee": cents_of(invoices, "subscription"),
        "commitment_fee": commitment["amount_cents"],
        "total": sum(invoice["total_amount_cents"] for invoice in invoices),
        **span(commitment),
    }


# --- first and late ---------------------------------------------------------------------------------------------------


def _first_weeks(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant(given["subscribe_at"]), timezone=given["customer_timezone"])
    account.plan(given["plan"])
    account.subscribe()
    (invoice,) = account.invoices()
    return {"first_invoice_total_amount_cents": invoice["total_amount_cents"]}


def _leap_february(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(instant(given["subscribe_at"]))
    account.plan(given["plan"])
    account.subscribe()
    account.advance(instant(given["bill_at"]))
    invoice, charged = account.invoices()[-1], account.closed_usage()[0]
    return {
        "total_amount_cents": invoice["total_amount_cents"],
        **span(invoice["fees"][0]),
        "charges_from": charged["from_datetime"],
        "charges_to": charged["to_datetime"],
    }


def _late_event(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    late = given["late_event"]
    account.open(
        instant("2022-12-15"),
        tax_rate=given["tax_rate"],
        billing_configuration={"invoice_grace_period": given["grace_days"]},
    )
    account.metric(COUNT)
    account.plan(given["plan"], given["charge"])
    account.subscribe()
    account.use([(instant(text), {}) for text in given["events"]])
    account.advance(instant(given["bill_at"]))
    first, draft = account.invoices()
    account.use(at_each(late["timestamp"], {}))
    # An advance is also the word that everything sent before it is counted.
    account.advance(instant(late["sent"]) + timedelta(hours=1))
    refreshed = account.refresh(draft)
    return {
        "draft_total": draft["total_amount_cents"],
        "after_refresh_total": refreshed["total_amount_cents"],
        "first_invoice_total_unchanged": first["total_amount_cents"],
    }


# --- trials -----------------------------------------------------------------------------------------------------------


def _trial_45(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    _begin_trial(given, account, standard(given["plan"]["charge_count_amount"]))
    account.use(at_each(given["event"], {}))
    account.advance(instant("2024-04-20"))
    invoices = account.invoices()
    return {
        "apr1_charge_cents": cents_of(invoices, "charge"),
        "trial_end_fee_cents": cents_of(invoices, "subscription"),
    }


def _begin_trial(given: Json, account: Account, charge: Json, **customer: Any) -> None:
    account.open(instant(given["subscribe_at"]), **customer)
    account.metric(COUNT)
    account.plan(given["plan"], charge)
    account.subscribe()


def _trial_commitment(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    _begin_trial(given, account, given["charge"])
    for text in given["events"]:
        account.use(at_each(text, {}))
    account.advance(instant(given["bill_at"][-1]))
    april, trial_end, may = account.invoices()
    return {
        "apr1": {"charge_cents": cents_of([april], "charge"), "fees_count": len(april["fees"])},
        "trial_end_apr19": {
            "subscription_cents": cents_of([trial_end], "subscription"),
            "fees_count": len(trial_end["fees"]),
        },
        "may1": {
            "subscription_cents": cents_of([may], "subscription"),
            "charge_cents": cents_of([may], "charge"),
            "commitment_cents": cents_of([may], "commitment"),
            "fees_count": len(may["fees"]),
        },
    }


def _trial_ends_on_billing_day(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    timezone, charge = given["customer_timezone"], standard(given["plan"]["charge_count_amount"])
    _begin_trial(given, account, charge, timezone=timezone)
    account.use(at_each("2024-03-25", {}))
    billing_day = datetime.fromisoformat(given["bill_at_local"]).date()
    account.advance(midnight(billing_day, timezone) + _DAY)
    invoices = account.invoices()
    return {
        "subscription_fee_cents": cents_of(invoices, "subscription"),
        "charge_fee_cents": cents_of(invoices, "charge"),
    }


PERIOD_KINDS: Mapping[str, Runner] = {
    "subscription_fee": _subscription_fee,
    "billing_boundaries": _billing_boundaries,
    "minimum_commitment": _minimum_commitment,
}
# Cases of the kind `subscription_billing`, by id.
PERIOD_CASES: Mapping[str, Runner] = {
    "tz-Denver": _first_weeks,
    "tz-Paris": _first_weeks,
    "leap-feb": _leap_february,
    "late-event-draft": _late_event,
    "trial-45": _trial_45,
    "trial-commitment": _trial_commitment,
    "trial-billing-day-paris": _trial_ends_on_billing_day,
}
