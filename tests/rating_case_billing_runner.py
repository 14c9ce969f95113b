"""The kinds of cases about periods: base prices, trials, commitments, boundaries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from services.kernel.cadence import midnight
from services.kernel.ids import SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.subscription import apply_change
from services.rating.pricing.charge_usage import ChargeUsage
from services.rating.pricing.commitment import commitment_fee
from services.rating.pricing.fee import Fee
from tests.rating_case_billed import COUNT, Billed, events, span, standard, totals_of
from tests.rating_case_change_runner import CHANGES
from tests.rating_case_runner import SUBSCRIPTION, Case, instant

# --- base prices ----------------------------------------------------------------------------------------------------


def _subscription_fee(case: Case) -> dict[str, object]:
    given = case["given"]
    start = instant(given["period"][0] if "period" in given else given.get("started_at", "2022-03-01"))
    plan = {"amount_cents": given["plan_amount_cents"], "interval": given["interval"]}
    billed = Billed.start(plan | {"trial_period_days": given.get("trial_days", 0)}, start)
    if given.get("terminated_by") == "upgrade":
        upgraded_at = start + timedelta(days=given["billed_days"], hours=10)
        dearer = replace(billed.plan, base_amount=billed.plan.base_amount * 2)
        billed = replace(billed, subscription=billed.upgrade(dearer, upgraded_at).subscription)
    fee = billed.base_fee(billed.nominal(start))
    if fee is None:
        return {"amount_cents": 0, "precise_amount_cents": Decimal(0)}
    return {"amount_cents": fee.amount_cents, "precise_amount_cents": fee.precise_amount.scaleb(2)}


def _billing_boundaries(case: Case) -> dict[str, object]:
    given = case["given"]
    plan = {"amount_cents": 100, "interval": given["interval"], "pay_in_advance": given.get("pay_in_advance", False)}
    billed = Billed.start(plan, instant(given["subscription_at"]), alignment=given["billing_time"])
    at = instant(given["billing_at"])
    period = billed.nominal(at) if given.get("terminated") else billed.due(at).base_period
    assert period is not None
    return span(period)


def _minimum_commitment(case: Case) -> dict[str, object]:
    given = case["given"]
    if case["id"] == "commit-downgrade":
        return _commitment_of_a_downgrade(given)
    billed = Billed.start(given["plan"], instant(given["subscribe_at"]), alignment=given["billing_time"])
    closed = billed.due(instant(given["bill_at"])).closed_period
    assert closed is not None
    fee = _commitment(billed, closed, [billed.base_fee(closed)])
    assert fee is not None
    return {"commitment_fee_cents": fee.amount_cents}


def _commitment(billed: Billed, closed: Period, fees: Sequence[Fee | None]) -> Fee | None:
    part = billed.subscription.usage_part(closed)
    assert part is not None
    present = [fee for fee in fees if fee is not None]
    return commitment_fee(billed.plan, SUBSCRIPTION, part, closed, present, billed.timezone)


def _commitment_of_a_downgrade(given: Case) -> dict[str, object]:
    billed = Billed.start(given["plan"], instant("2024-05-01"))
    cheaper = replace(billed.plan, base_amount=Decimal(1))
    pending = billed.upgrade(cheaper, instant(given["downgrade_requested"])).subscription
    ended, _ = apply_change(pending, new_id=SubscriptionId("new"), at=instant(given["bill_at"]), timezone="UTC")
    billed = replace(billed, subscription=ended)
    closed = billed.nominal(instant(given["downgrade_requested"]))
    base = billed.base_fee(closed)
    commitment = _commitment(billed, closed, [base])
    assert base is not None
    assert commitment is not None
    total = base.amount_cents + commitment.amount_cents
    fees = {"subscription_fee": base.amount_cents, "commitment_fee": commitment.amount_cents, "total": total}
    return {**fees, **span(commitment.period)}


# --- subscriptions, one function for each shape of case -------------------------------------------------------------


def _first_weeks(case: Case) -> dict[str, object]:
    given = case["given"]
    billed = Billed.start(given["plan"], instant(given["subscribe_at"]), timezone=given["customer_timezone"])
    return {"first_invoice_total_amount_cents": totals_of([billed.first_fee()], 0).total_cents}


def _leap_february(case: Case) -> dict[str, object]:
    given = case["given"]
    billed = Billed.start(given["plan"], instant(given["subscribe_at"]))
    due = billed.due(instant(given["bill_at"]))
    assert due.base_period is not None
    fee = billed.base_fee(due.base_period)
    assert fee is not None
    usage = span(due.usage_period)
    charged = {"charges_from": usage["from"], "charges_to": usage["to"]}
    return {"total_amount_cents": totals_of([fee], 0).total_cents, **span(fee.period), **charged}


def _late_event(case: Case) -> dict[str, object]:
    given = case["given"]
    billed = Billed.start(given["plan"], instant("2022-12-15"))
    due = billed.due(instant(given["bill_at"]))
    assert due.base_period is not None
    base = billed.base_fee(due.base_period)
    assert base is not None
    charge = standard(given["charge"]["properties"]["amount"])
    usage = events(COUNT, [instant(text) for text in given["events"]])
    late = COUNT.measure(event_id="late", at=instant(given["late_event"]["timestamp"]), properties={})

    def total(used: ChargeUsage) -> int:
        fees = billed.rate(charge, COUNT, used, due.usage_period, due.usage_period)
        return totals_of([base, *fees], given["tax_rate"]).total_cents

    return {
        "draft_total": total(usage),
        "after_refresh_total": total(usage.add([late])),
        "first_invoice_total_unchanged": totals_of([billed.first_fee()], given["tax_rate"]).total_cents,
    }


def _trial(case: Case) -> dict[str, object]:
    given = case["given"]
    billed = Billed.start(given["plan"], instant(given["subscribe_at"]))
    trial_ends_at = billed.subscription.trial_ends_at(billed.plan, "UTC")
    assert trial_ends_at is not None
    fee = billed.base_fee(billed.nominal(trial_ends_at))
    march = billed.nominal(billed.subscription.starts_at)
    assert fee is not None
    assert billed.base_fee(march) is None
    used = billed.rate(standard("10"), COUNT, events(COUNT, [instant("2024-03-10")]), march, march)
    if case["id"] == "trial-45":
        return {"apr1_charge_cents": used[0].amount_cents, "trial_end_fee_cents": fee.amount_cents}
    april = billed.nominal(trial_ends_at)
    april_used = billed.rate(standard("10"), COUNT, events(COUNT, [instant("2024-04-10")]), april, april)
    commitment = _commitment(billed, april, [fee, *april_used])
    may = billed.base_fee(billed.due(instant("2024-05-01")).base_period or april)
    assert commitment is not None
    assert may is not None
    return {
        "apr1": {"charge_cents": used[0].amount_cents, "fees_count": len(used)},
        "trial_end_apr19": {"subscription_cents": fee.amount_cents, "fees_count": 1},
        "may1": {
            "subscription_cents": may.amount_cents,
            "charge_cents": april_used[0].amount_cents,
            "commitment_cents": commitment.amount_cents,
            "fees_count": len([may, *april_used, commitment]),
        },
    }


def _trial_ends_on_billing_day(case: Case) -> dict[str, object]:
    given = case["given"]
    timezone = given["customer_timezone"]
    billed = Billed.start(given["plan"], instant(given["subscribe_at"]), timezone=timezone)
    bill_at = midnight(datetime.fromisoformat(given["bill_at_local"]).date(), timezone)
    due = billed.due(bill_at)
    assert due.base_period is not None
    fee = billed.base_fee(due.base_period)
    assert fee is not None
    usage = events(COUNT, [datetime(2024, 3, 25, tzinfo=UTC)])
    used = billed.rate(standard(given["plan"]["charge_count_amount"]), COUNT, usage, due.usage_period, due.usage_period)
    return {"subscription_fee_cents": fee.amount_cents, "charge_fee_cents": used[0].amount_cents}


def _estimate(case: Case) -> dict[str, object]:
    amount = case["given"]["charge"].rpartition("@")[2]
    usage = events(COUNT, [datetime(2024, 2, 2, tzinfo=UTC)])
    billed = Billed.start({"amount_cents": 0}, datetime(2024, 2, 1, tzinfo=UTC))
    nominal = billed.nominal(billed.subscription.starts_at)
    (fee,) = billed.rate(standard(amount), COUNT, usage, nominal, nominal)
    return {"amount_cents": fee.amount_cents, "units": fee.units, "events_count": fee.event_count}


_SUBSCRIPTION_BILLING: dict[str, Callable[[Case], dict[str, object]]] = {
    "tz-Denver": _first_weeks,
    "tz-Paris": _first_weeks,
    "leap-feb": _leap_february,
    "late-event-draft": _late_event,
    "trial-45": _trial,
    "trial-commitment": _trial,
    "trial-billing-day-paris": _trial_ends_on_billing_day,
    **CHANGES,
}


def billing_runners() -> dict[str, Callable[[Case], dict[str, object]]]:
    """The runners of this module by kind of case."""
    return {
        "subscription_fee": _subscription_fee,
        "billing_boundaries": _billing_boundaries,
        "minimum_commitment": _minimum_commitment,
        "subscription_billing": lambda case: _SUBSCRIPTION_BILLING[case["id"]](case),
        "estimate_fees": _estimate,
    }
