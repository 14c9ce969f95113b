"""Random prices: one charge or two over one full period, with much usage; and random calendars.

Nothing changes in these stories, so that every model meets every aggregation, rounding and edge of a tier often.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from tests.oracles.model_check import histories, offers
from tests.oracles.model_check.chance import Chance

Body = dict[str, Any]
MOST_EVENTS, FEW_EVENTS = 25, 2
# Files beside those of the zones, and places where a calendar day was left out, which no calendar of days can share.
NO_ZONES = ("localtime", "posixrules", "Factory", "posix/", "right/")
LEFT_OUT_A_DAY = {"Pacific/Apia", "Pacific/Fakaofo", "Pacific/Kwajalein", "Kwajalein", "Pacific/Enderbury"}
LEFT_OUT_A_DAY |= {"Pacific/Kanton", "Pacific/Kiritimati"}
SINCE, UNTIL = datetime(1996, 1, 1, tzinfo=UTC), datetime(2037, 1, 1, tzinfo=UTC)
LOOKS = 6
# The oracle counts periods from the first one on.
MOST_PERIODS = 100


def price(seed: int) -> Body:
    """The price sheet of a seed: a plan that costs nothing but its usage, for one period."""
    chance = Chance(seed)
    zone = chance.one(histories.ZONES)
    begins = histories.instant_near(chance, zone)
    sold: Body = {
        "currency": chance.one(offers.CURRENCIES),
        "metrics": [offers.metric(chance, "metric_0")],
        "taxes": [],
    }
    plan: Body = {
        "name": "plan_0",
        "code": "plan_0",
        "interval": chance.one(["weekly", "monthly", "monthly", "quarterly"]),
        "amount_cents": 0,
        "amount_currency": sold["currency"],
        "charges": [offers.charge(chance, sold) for _ in range(chance.number(1, 2))],
    }
    ends = begins + timedelta(days=1 + histories.DAYS_OF[plan["interval"]])
    sheet: Body = {
        "name": f"price {seed}",
        "organization": {},
        "customer": {"timezone": zone},
        "clock": {"starts_at": histories.text_of(begins), "ends_at": histories.text_of(ends)},
        "taxes": [],
        "metrics": sold["metrics"],
        "coupons": [],
        "plan": plan,
        "further_plans": [],
        "subscription": {"external_id": "sub-1", "billing_time": chance.one(["calendar", "anniversary"])},
        "changes": [],
    }
    most = MOST_EVENTS if chance.happens(0.6) else FEW_EVENTS
    sheet["events"] = histories.events(chance, sheet, begins, ends, zone, most)
    _to_the_edge(chance, sheet)
    return sheet


def _to_the_edge(chance: Chance, sheet: Body) -> None:
    """Now and then an event has about as much as ends a tier, or a free allowance."""
    text = [
        str(tier["to_value"])
        for charge in sheet["plan"]["charges"]
        for name, tiers in charge["properties"].items()
        if name.endswith("_ranges")
        for tier in tiers[:-1]
    ]
    for event in sheet["events"]:
        if text and "value" in event["properties"] and chance.happens(0.4):
            edge = Decimal(chance.one(text)) + Decimal(chance.one(["0", "0", "-0.2", "0.2", "-1", "1", "0.0001"]))
            event["properties"]["value"] = str(edge)


class CalendarCase(NamedTuple):
    """A calendar, and instants to look at."""

    unit: str
    every: int
    is_anniversary: bool
    anchor: datetime
    zone: str
    instants: list[datetime]


_ZONES = sorted(name for name in available_timezones() - LEFT_OUT_A_DAY if not any(word in name for word in NO_ZONES))


def calendar(seed: int) -> CalendarCase:
    """The calendar of a seed: any zone of the world, any length, any beginning."""
    chance = Chance(seed)
    zone = chance.one(_ZONES)
    unit, every = chance.one(["day", "week", "month", "month"]), chance.number(1, 13)
    anchor = _in_day(chance, SINCE + timedelta(days=chance.number(0, (UNTIL - SINCE).days)), zone)
    length = timedelta(days=histories.DAYS_OF[unit] * every)
    instants = [_in_day(chance, anchor + length * chance.ratio(0, MOST_PERIODS), zone) for _ in range(LOOKS)]
    return CalendarCase(
        unit, every, chance.happens(0.5), anchor, zone, [anchor, *(at for at in instants if at > anchor)]
    )


def _in_day(chance: Chance, at: datetime, zone: str) -> datetime:
    """An instant at, right before or anywhere after the beginning of a local day."""
    begins = datetime.combine(at.astimezone(ZoneInfo(zone)).date(), time(), ZoneInfo(zone)).astimezone(UTC)
    return begins + timedelta(microseconds=chance.one([0, -1, 1, chance.number(0, 86_399_999_999)]))
