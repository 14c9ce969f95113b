"""Random billing histories: one customer's subscription over time, as a price sheet of tests/scenarios."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracles.model_check import offers
from tests.oracles.model_check.chance import Chance

Body = dict[str, Any]

# Clocks put forward by an hour, by half an hour, at midnight, at other times of the year, by quarters, and never.
ZONES = (
    "UTC",
    "UTC",
    "America/New_York",
    "Europe/Paris",
    "Australia/Lord_Howe",
    "America/Santiago",
    "America/Asuncion",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
)
# Days on or near which calendars are odd: ends of months, the leap day, the turn of a year, changes of clocks.
ODD_DAYS = (
    "2023-12-31",
    "2024-01-31",
    "2024-02-29",
    "2024-03-10",
    "2024-03-30",
    "2024-04-07",
    "2024-10-26",
    "2024-11-03",
)
DAYS_OF = {
    "day": 1,
    "week": 7,
    "month": 30,
    "weekly": 7,
    "monthly": 30,
    "quarterly": 91,
    "semiannual": 182,
    "yearly": 365,
}
FIRST_DAY = date(2023, 6, 1)
MOST_PERIODS = 8
MOST_EVENTS = 14
MOST_CHANGES = 7
SECOND = timedelta(seconds=1)


def history(seed: int) -> Body:
    """The price sheet of a seed."""
    chance = Chance(seed)
    zone = chance.one(ZONES)
    lengths = chance.one(offers.LENGTHS)
    sold: Body = {
        "currency": chance.one(offers.CURRENCIES),
        "metrics": [offers.metric(chance, f"metric_{number}") for number in range(chance.number(1, 3))],
        "taxes": offers.taxes(chance),
    }
    plans = [offers.plan(chance, f"plan_{number}", chance.one(lengths), sold) for number in range(chance.number(1, 3))]
    begins, ends = _clock(chance, zone, plans)
    sheet: Body = {
        "name": f"history {seed}",
        "organization": _organization(chance, zone),
        "customer": {"timezone": zone, **offers.tax_codes(chance, sold["taxes"]), **_grace(chance)},
        "clock": {"starts_at": text_of(begins), "ends_at": text_of(ends)},
        "taxes": sold["taxes"],
        "metrics": sold["metrics"],
        "coupons": offers.coupons(chance, sold["currency"], sold["metrics"], plans),
        "plan": plans[0],
        "further_plans": plans[1:],
        "subscription": _subscription(chance, begins, ends, zone),
    }
    sheet["events"] = events(chance, sheet, begins, ends, zone)
    sheet["changes"] = _changes(chance, sheet, plans, sold, begins, ends, zone)
    return sheet


def _grace(chance: Chance) -> Body:
    """Days of grace of the customer's own, which count before the organization's."""
    days = chance.one([0, 2, 5])
    return {"billing_configuration": {"invoice_grace_period": days}} if chance.happens(0.1) else {}


def _organization(chance: Chance, zone: str) -> Body:
    body: Body = {"timezone": zone if chance.happens(0.2) else "UTC"}
    if chance.happens(0.3):
        body["invoice_grace_period_days"] = chance.one([1, 3, 10, 40])
    if chance.happens(0.1):
        body["late_events"] = "ignore"
    return body


def _clock(chance: Chance, zone: str, plans: list[Body]) -> tuple[datetime, datetime]:
    """From a second on for a few periods of the longest plan, but not for too many of the shortest."""
    days = [
        DAYS_OF[plan["interval"] if plan["interval"] != "custom" else plan["interval_unit"]]
        * plan.get("interval_count", 1)
        for plan in plans
    ]
    begins = instant_near(chance, zone)
    length = min(max(days) * chance.ratio(0.2, 3), min(days) * MOST_PERIODS * chance.ratio(0.3, 1))
    return begins, (begins + timedelta(days=length)).replace(microsecond=0)


def instant_near(chance: Chance, zone: str) -> datetime:
    """A second of an odd day or of any; often the first or the last of its local day."""
    day = date.fromisoformat(chance.one(ODD_DAYS)) + timedelta(days=chance.number(-2, 2))
    if chance.happens(0.5):
        day = FIRST_DAY + timedelta(days=chance.number(0, 700))
    return _on(chance, day, zone)


def _on(chance: Chance, day: date, zone: str) -> datetime:
    """A second of a local day, often its first, now and then the last of the day before."""
    local = datetime.combine(day, time(), ZoneInfo(zone))
    kind = chance.number(0, 9)
    if kind < 3:
        return local.astimezone(UTC)
    if kind == 3:
        return local.astimezone(UTC) - SECOND
    return local.astimezone(UTC) + SECOND * chance.number(0, 86_399)


def _between(chance: Chance, begins: datetime, ends: datetime, zone: str) -> datetime:
    """An instant within the story: often where a day begins, now and then a microsecond before or after."""
    at = begins + (ends - begins) * chance.ratio(0, 1)
    if chance.happens(0.5):
        at = _on(chance, at.astimezone(ZoneInfo(zone)).date(), zone)
    if chance.happens(0.1):
        at += timedelta(microseconds=chance.one([-1, 1, 250_000]))
    elif chance.happens(0.9):
        at = at.replace(microsecond=0)
    return min(max(at, begins), ends)


def _subscription(chance: Chance, begins: datetime, ends: datetime, zone: str) -> Body:
    body: Body = {"external_id": "sub-1", "billing_time": chance.one(["calendar", "anniversary"])}
    if chance.happens(0.25):
        earliest = begins - (ends - begins) * chance.ratio(0, 0.6)
        body["subscription_at"] = text_of(_between(chance, earliest, begins + (ends - begins) * 0.3, zone))
    if chance.happens(0.12):
        started = datetime.fromisoformat(body.get("subscription_at", text_of(begins)))
        body["ending_at"] = text_of(max(_between(chance, started, ends, zone), started + SECOND))
    return body


# --- usage ----------------------------------------------------------------------------------------------------------


def events(
    chance: Chance, sheet: Body, begins: datetime, ends: datetime, zone: str, most: int = MOST_EVENTS
) -> list[Body]:
    """Usage of every metric: sent at once or late, in a row of its own or at the very edges of days."""
    since = min(begins, datetime.fromisoformat(sheet["subscription"].get("subscription_at", text_of(begins))))
    found: list[Body] = []
    for number in range(chance.number(0, most)):
        metric = chance.one(sheet["metrics"])
        # Of two events at one instant the one with the later id comes last.
        is_tie = bool(found) and chance.happens(0.1)
        at = datetime.fromisoformat(found[-1]["at"]) if is_tie else _between(chance, since, ends - SECOND, zone)
        line: Body = {
            "transaction_id": f"event-{number}",
            "code": metric["code"],
            "at": text_of(at),
            "sent_at": text_of(_sent_at(chance, at, begins, ends)),
            "properties": _properties(chance, metric),
        }
        if chance.happens(0.5):
            line["precise_total_amount_cents"] = chance.decimal(0, 500, 3)
        found.append(line)
        if chance.happens(0.05):
            found.append({**line, "sent_at": text_of(ends)})
    return found


def _sent_at(chance: Chance, at: datetime, begins: datetime, ends: datetime) -> datetime:
    late = chance.ratio(0, 1) if chance.happens(0.2) else 0.0
    return min(max(at + SECOND, begins) + (ends - begins) * late, ends)


def _properties(chance: Chance, metric: Body) -> Body:
    found: Body = {}
    if metric["aggregation_type"] == "unique_count_agg":
        found["value"] = chance.one(["a", "b", "c", 1, "1", True, "true"])
        if chance.happens(0.3):
            found["operation_type"] = chance.one(["remove", "remove", "add"])
    elif metric["aggregation_type"] != "count_agg":
        found["value"] = _value(chance)
    for key, values in {**offers.FILTERED, "team": ("red", "blue", 7, False)}.items():
        if chance.happens(0.75):
            found[key] = chance.one([*values, "other"])
    return found


def _value(chance: Chance) -> object:
    """A number as callers send it: whole, with decimals, as text, now and then zero, tiny, large or below zero."""
    kind = chance.ratio(0, 1)
    if kind < 0.4:
        return chance.number(0, 20)
    if kind < 0.75:
        return chance.decimal(0, 60, chance.number(1, 3))
    if kind < 0.9:
        return chance.decimal(-15, 0, chance.number(0, 2))
    return chance.one([0, "0.000001", 100_000, "1e3", "-1", 0.5])


# --- changes --------------------------------------------------------------------------------------------------------


def _changes(
    chance: Chance, sheet: Body, plans: list[Body], sold: Body, begins: datetime, ends: datetime, zone: str
) -> list[Body]:
    """Up to a handful of changes; what cannot be done when its time comes is left out by whoever plays the sheet."""
    found = [{"at": text_of(begins), "coupon": coupon["code"]} for coupon in sheet["coupons"] if chance.happens(0.7)]
    for _ in range(chance.number(0, MOST_CHANGES)):
        change = _change(chance, sheet, plans, sold)
        if change is not None:
            found.append({"at": text_of(_between(chance, begins, ends, zone)), **change})
    return found


_CHANGES = ("plan", "version", "cancel", "withdraw", "void", "coupon", "pay", "sell", "give_back")


def _change(chance: Chance, sheet: Body, plans: list[Body], sold: Body) -> Body | None:
    """One change; None where there is nothing to be changed."""
    kind = chance.one([*_CHANGES, "plan", "plan", "plan", "void", "pay"])
    credit = {"credit": chance.one(["none", "refund", "offset"])} if chance.happens(0.4) else {}
    when = {"when": chance.one(["now", "period_end"])} if chance.happens(0.6) else {}
    amount = {} if chance.happens(0.5) else {"amount_cents": chance.number(1, 5000)}
    changes: dict[str, Callable[[], Body | None]] = {
        "plan": lambda: {"plan": chance.one(plans)["code"], **when, **credit},
        "version": lambda: {"version": _next_version(chance, chance.one(plans), sold)},
        "cancel": lambda: {"cancel": chance.one(["now", "period_end"]), **credit},
        "withdraw": lambda: {"withdraw": True},
        "void": lambda: _void(chance, sheet),
        "coupon": lambda: {"coupon": chance.one(sheet["coupons"])["code"]} if sheet["coupons"] else None,
        "pay": lambda: {"pay": chance.number(1, 4), **amount},
        "sell": lambda: {"sell": [_item(chance, number, sold) for number in range(chance.number(1, 2))]},
        "give_back": lambda: _give_back(chance, sheet),
    }
    return changes[kind]()


def _item(chance: Chance, number: int, sold: Body) -> Body:
    """An item that is sold once."""
    return {
        "name": f"Item {number}",
        "add_on_code": f"item_{number}",
        "units": chance.one(["1", "2", "0.5", "0.333", "0"]),
        "unit_amount_cents": chance.one([0, 1, 250, chance.number(1, 5000)]),
        **offers.tax_codes(chance, sold["taxes"]),
    }


def _give_back(chance: Chance, sheet: Body) -> Body:
    """Some of a fee is given back, for no better reason than that somebody was not content."""
    kind = chance.one(["subscription", "subscription", "charge", "commitment"])
    codes = {"charge": chance.one(sheet["metrics"])["code"], "commitment": sheet["plan"]["code"]}
    code = {"code": codes[kind]} if kind in codes else {}
    return {"give_back": chance.number(1, 4), "type": kind, **code, "amount_cents": chance.one([1, 50, 1000])}


def _next_version(chance: Chance, old: Body, sold: Body) -> Body:
    """The next version of a plan: other prices, perhaps other charges, of the same length."""
    length = (old["interval"], 1) if old["interval"] != "custom" else (old["interval_unit"], old["interval_count"])
    new = offers.plan(chance, old["code"], length, sold)
    return {**new, "charges": old["charges"]} if chance.happens(0.5) else new


def _void(chance: Chance, sheet: Body) -> Body | None:
    """An event is taken back; half of the time another counts in its place."""
    if not sheet["events"]:
        return None
    event = chance.one(sheet["events"])
    metric = next(body for body in sheet["metrics"] if body["code"] == event["code"])
    by = {"code": event["code"], "at": event["at"], "properties": _properties(chance, metric)}
    return {"void": event["transaction_id"], **({"by": by} if chance.happens(0.5) else {})}


def text_of(at: datetime) -> str:
    """An instant as a sheet writes it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
