"""The kinds of cases about usage: aggregations, charge models, filters and groups, step by step or at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.kernel.cadence import MONTHLY, Alignment, Cadence, period_containing
from tests.rating_case_runner import Case, instant
from tests.support.rating_cases.account import Account, Json, Runner, fees_of

Events = list[tuple[datetime, Json]]
# An arbitrary month for cases without dates, and a moment within it.
_START = datetime(2024, 2, 1, tzinfo=UTC)
_USED_AT = _START + timedelta(hours=12)
_FREE = {"amount_cents": 0}
_STANDARD = {"charge_model": "standard"}
_FIELD = {"field_name": "value"}


def _current_usage(case: Case, account: Account) -> dict[str, object]:
    given = case["given"]
    account.open(_START, tax_rate=given.get("tax_rate"))
    account.metric(given["metric"])
    account.plan(given["plan"], _with_named_filters(given["charge"]))
    account.subscribe()
    events = _events(given["events"], given["metric"].get("field_name"))
    if events:
        account.use(events)
    usage = account.usage(len(events))
    (charge,) = usage["charges_usage"]
    return {
        "units": Decimal(charge["units"]),
        "amount_cents": usage["amount_cents"],
        "total_amount_cents": usage["total_amount_cents"],
        "events_count": charge["events_count"],
        "filters": {
            each["invoice_display_name"]: {"units": Decimal(each["units"]), "amount_cents": each["amount_cents"]}
            for each in charge["filters"]
        },
    }


def _with_named_filters(charge: Json) -> Json:
    """The charge, each filter named after the values it matches."""
    filters = [
        {**each, "invoice_display_name": "/".join(value for values in each["values"].values() for value in values)}
        for each in charge.get("filters", [])
    ]
    return {**charge, "filters": filters}


def _events(given: Json, field_name: str | None) -> Events:
    properties = given.get("events") or [{field_name: value} for value in given.get("values", [])]
    properties = properties or [{}] * given.get("count", 0)
    return [(_USED_AT + timedelta(seconds=number), each) for number, each in enumerate(properties)]


# --- weighted sums --------------------------------------------------------------------------------------------------


def _aggregation(case: Case, account: Account) -> dict[str, object]:
    """The units that the period is invoiced for; a carried value was brought by the period before."""
    given = case["given"]
    start = instant(given["period"]["from"])
    before = start - timedelta(days=1)
    carried = [(before, {"value": given["carried_value"]})] if "carried_value" in given else []
    account.open(before if carried else start)
    account.metric({"aggregation_type": given["aggregation_type"], "recurring": given["recurring"], **_FIELD})
    groups = {"pricing_group_keys": given.get("group_by", [])}
    account.plan(_FREE, {**_STANDARD, "properties": {"amount": "1", **groups}})
    account.subscribe()
    events = carried + [(instant(each["timestamp"]), {**each}) for each in given["events"]]
    account.use(events)
    account.advance(start + timedelta(days=given["period"]["charges_duration_days"]))
    fees = fees_of(account.invoices()[-1:], "charge")
    units = sum(Decimal(fee["units"]) for fee in fees)
    return {
        "units_5dp": units,
        "events_count": sum(fee["events_count"] for fee in fees),
        "total_aggregated_units": sum(Decimal(fee["total_aggregated_units"]) for fee in fees),
        "variation": units - Decimal(given.get("carried_value", 0)),
        "groups": {
            fee["item"]["grouped_by"]["region"]: Decimal(fee["units"]) for fee in fees if fee["item"]["grouped_by"]
        },
    }


# --- step by step ---------------------------------------------------------------------------------------------------


def _pay_in_advance(case: Case, account: Account) -> dict[str, object]:
    """What each event adds to the running period; usage is billed as the period ends, also where a plan says not."""
    given = case["given"]
    _sell(given, account, instant(given["subscription_started"]))
    events = [(instant(each["at"]), _properties(each)) for each in given["events"]]
    account.advance(max(at for at, _ in events))
    fees, units, amount_cents = [], Decimal(0), 0
    for number, event in enumerate(events, 1):
        account.use([event])
        usage = account.usage(number)
        used = _units(usage)
        fees.append({"units": used - units, "amount_cents": usage["amount_cents"] - amount_cents})
        units, amount_cents = used, usage["amount_cents"]
    return {"fees": fees}


def _sell(given: Json, account: Account, at: datetime) -> None:
    account.open(at)
    account.metric({**given["metric"], "filters": _filtered(given["charge"])})
    account.plan(given["plan"], given["charge"])
    account.subscribe()


def _filtered(charge: Json) -> list[Json]:
    """What a metric must declare for the filters of a charge; cases leave it out."""
    values: dict[str, set[str]] = {}
    for each in charge.get("filters", []):
        for key, matched in each["values"].items():
            values.setdefault(key, set()).update(matched)
    return [{"key": key, "values": sorted(matched)} for key, matched in values.items()]


def _properties(event: Json) -> Json:
    return {name: value for name, value in event.items() if name != "at"}


def _units(usage: Any) -> Decimal:
    return sum((Decimal(each["units"]) for each in usage["charges_usage"]), Decimal(0))


def _prorated_graduated(case: Case, account: Account) -> dict[str, object]:
    """A level held to the period's end, as the projection has it; the running period has what was held until now."""
    given = case["given"]
    start, *steps = given["steps"]
    _sell(given, account, instant(start["at"]))
    ends_at = period_containing(_calendar_months(instant(start["at"])), instant(start["at"])).end
    within = [each for each in steps if "event" in each and instant(each["at"]) < ends_at]
    (later,) = [each for each in steps if "event" in each and instant(each["at"]) >= ends_at]
    (shown_at,) = [instant(each["at"]) for each in steps if each.get("do") == "current_usage"]
    before, *after = _after_each(account, within)
    account.advance(ends_at)
    (invoice,) = account.invoices()
    account.advance(shown_at)
    shown, last = _after_each(account, [later])
    return {
        "usage_before_events": before,
        "usage_after_events": after,
        "invoice_2023-10-01_total_amount_cents": invoice["total_amount_cents"],
        "usage_2023-10-05": shown,
        "usage_2023-10-17": last,
    }


def _calendar_months(at: datetime) -> Cadence:
    return Cadence(MONTHLY, Alignment.CALENDAR, at, "UTC")


def _after_each(account: Account, steps: Sequence[Json]) -> list[dict[str, object]]:
    """What the running period comes to at its end, before and after each of these events."""
    found = [_projected(account, 0)]
    for number, step in enumerate(steps, 1):
        account.use([(instant(step["at"]), step["event"])])
        found.append(_projected(account, number))
    return found


def _projected(account: Account, events_count: int) -> dict[str, object]:
    usage = account.usage(events_count, "projected")
    (charge,) = usage["charges_usage"]
    return {"amount_cents": usage["projected_amount_cents"], "units": Decimal(charge["projected_units"])}


USAGE_KINDS: Mapping[str, Runner] = {
    "current_usage": _current_usage,
    "aggregation": _aggregation,
    "pay_in_advance": _pay_in_advance,
}
# Cases of the kind `scenario`, by id.
USAGE_CASES: Mapping[str, Runner] = {"cu-pgrad-1": _prorated_graduated}
