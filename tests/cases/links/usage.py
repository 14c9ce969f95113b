"""The kinds of cases about the usage of a running period: charges, filters and groups, at once or step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from tests.cases.cases import Case, Figures, instant
from tests.cases.customer import COUNT, Customer, Events, Json, standard
from tests.cases.links.link import Link
from tests.support.accounts.account import Usage

# An arbitrary month for cases without dates, and a moment within it.
_START = instant("2024-02-01")
_USED_AT = _START + timedelta(hours=12)
_FREE = {"amount_cents": 0}


def _current_usage(case: Case, customer: Customer) -> Figures:
    given = case["given"]
    customer.open(_START, tax_rate=given.get("tax_rate"))
    customer.metric(given["metric"])
    customer.plan(given["plan"], _with_named_filters(given["charge"]))
    customer.subscribe()
    events = _events(given["events"], given["metric"].get("field_name"))
    if events:
        customer.use(events)
    usage = customer.usage()
    return {
        "units": _units(usage),
        "amount_cents": usage.amount_cents,
        "total_amount_cents": usage.total_cents,
        "events_count": sum(fee.event_count for fee in usage.fees),
        "filters": {fee.filter: {"units": fee.units, "amount_cents": fee.amount_cents} for fee in usage.fees},
    }


def _with_named_filters(charge: Json) -> Json:
    """The charge, each filter named after the values it matches."""
    filters = [
        {**given, "invoice_display_name": "/".join(value for values in given["values"].values() for value in values)}
        for given in charge.get("filters", [])
    ]
    return {**charge, "filters": filters}


def _events(given: Json, field_name: str | None) -> Events:
    properties = given.get("events") or [{field_name: value} for value in given.get("values", [])]
    properties = properties or [{}] * given.get("count", 0)
    return [(_USED_AT + timedelta(seconds=number), event) for number, event in enumerate(properties)]


def _units(usage: Usage) -> Decimal:
    return sum((fee.units for fee in usage.fees), Decimal(0))


def _estimate(case: Case, customer: Customer) -> Figures:
    """What one event costs: the running period's usage with it."""
    customer.open(_START)
    customer.metric(COUNT)
    customer.plan(_FREE, standard(case["given"]["charge"].rpartition("@")[2]))
    customer.subscribe()
    customer.use([(_USED_AT, {})])
    (fee,) = customer.usage().fees
    return {"amount_cents": fee.amount_cents, "units": fee.units, "events_count": fee.event_count}


# --- step by step -----------------------------------------------------------------------------------------------------


def _pay_in_advance(case: Case, customer: Customer) -> Figures:
    """What each event adds to the running period; usage is billed as the period ends, also where a plan says not."""
    given = case["given"]
    _sell(given, customer, given["subscription_started"])
    events = [(instant(event["at"]), _properties(event)) for event in given["events"]]
    customer.advance(max(at for at, _ in events))
    fees, units, amount_cents = [], Decimal(0), 0
    for event in events:
        customer.use([event])
        usage = customer.usage()
        used = _units(usage)
        fees.append({"units": used - units, "amount_cents": usage.amount_cents - amount_cents})
        units, amount_cents = used, usage.amount_cents
    return {"fees": fees}


def _sell(given: Json, customer: Customer, at: str) -> None:
    customer.open(instant(at))
    customer.metric({**given["metric"], "filters": _filtered(given["charge"])})
    customer.plan(given["plan"], given["charge"])
    customer.subscribe()


def _filtered(charge: Json) -> list[Json]:
    """What a metric must declare for the filters of a charge; cases leave it out."""
    values: dict[str, set[str]] = {}
    for given in charge.get("filters", []):
        for key, matched in given["values"].items():
            values.setdefault(key, set()).update(matched)
    return [{"key": key, "values": sorted(matched)} for key, matched in values.items()]


def _properties(event: Json) -> Json:
    return {name: value for name, value in event.items() if name != "at"}


def _prorated_graduated(case: Case, customer: Customer) -> Figures:
    """A level held to the period's end, as the projection has it; the running period has what was held until now."""
    given = case["given"]
    start, *steps = given["steps"]
    _sell(given, customer, start["at"])
    (billed_at,) = [instant(step["at"]) for step in steps if step.get("do") == "bill"]
    within = [step for step in steps if "event" in step and instant(step["at"]) < billed_at]
    (later,) = [step for step in steps if "event" in step and instant(step["at"]) >= billed_at]
    (shown_at,) = [instant(step["at"]) for step in steps if step.get("do") == "current_usage"]
    before, *after = _after_each(customer, within)
    customer.advance(billed_at)
    (invoice,) = customer.invoices()
    customer.advance(shown_at)
    shown, last = _after_each(customer, [later])
    return {
        "usage_before_events": before,
        "usage_after_events": after,
        "invoice_2023-10-01_total_amount_cents": invoice.total_cents,
        "usage_2023-10-05": shown,
        "usage_2023-10-17": last,
    }


def _after_each(customer: Customer, steps: Sequence[Json]) -> list[dict[str, object]]:
    """What the running period comes to at its end, before and after each of these events."""
    found = [_projected(customer)]
    for step in steps:
        customer.use([(instant(step["at"]), step["event"])])
        found.append(_projected(customer))
    return found


def _projected(customer: Customer) -> dict[str, object]:
    usage = customer.usage("projected")
    return {"amount_cents": usage.amount_cents, "units": _units(usage)}


# By kind, or by the id of a case.
LINKS: Mapping[str, Link] = {
    "current_usage": _current_usage,
    "estimate_fees": _estimate,
    "pay_in_advance": _pay_in_advance,
    "cu-pgrad-1": _prorated_graduated,
}
