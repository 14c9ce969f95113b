"""Margins: revenue, cost and what is left. The shapes are ours; Nozle documents none.

`from` and `to` are RFC 3339 times or days, `to` exclusive for a time and inclusive for a day; `from_date` and
`to_date` are other names of them. Amounts are exact decimal texts in major units, and rounded minor units beside them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from farebox.common.v1.period_pb2 import Period
from farebox.margin.v1 import margin_service_pb2 as service
from farebox.margin.v1.margin_pb2 import Margin
from gateway import instants
from gateway.call import Call
from gateway.dialects.nozle import write
from gateway.dialects.nozle.read import Reader
from services.kernel.money import CURRENCIES

GRANULARITIES = {
    "hour": service.GetMarginTrendRequest.GRANULARITY_HOUR,
    "day": service.GetMarginTrendRequest.GRANULARITY_DAY,
    "week": service.GetMarginTrendRequest.GRANULARITY_WEEK,
    "month": service.GetMarginTrendRequest.GRANULARITY_MONTH,
}
_DAY = timedelta(days=1)
# For a currency that the gateway does not know, minor units as most have them.
_USUAL = CURRENCIES["USD"]


async def summary(call: Call) -> Any:
    """`GET /margin/summary`: the whole organization; the first currency on top, all of them in `by_currency`."""
    request = service.GetMarginSummaryRequest(
        period=_period(call), external_customer_id=call.query.get("customer_id", "")
    )
    margins = (await call.ask(call.clients.margins.GetMarginSummary, request)).margins
    figures = [margin_json(margin) for margin in margins]
    return {**(figures[0] if figures else margin_json(Margin())), "by_currency": figures}


def listing(name: str, group: str, group_by: service.ListMarginsRequest.GroupBy) -> Callable[[Call], Awaitable[Any]]:
    """The handler of `GET /margin/<name>`.

    Args:
        name: of the list in the answer, e.g. `customers`.
        group: what an entry's group is called, e.g. `external_customer_id`.
        group_by: the grouping.
    """

    async def find(call: Call) -> Any:
        request = service.ListMarginsRequest(group_by=group_by, period=_period(call))
        margins = (await call.ask(call.clients.margins.ListMargins, request)).margins
        return {name: [{group: margin.group or None, **margin_json(margin)} for margin in margins]}

    return find


by_customer = listing("customers", "external_customer_id", service.ListMarginsRequest.GROUP_BY_CUSTOMER)
by_metric = listing("metrics", "metric_code", service.ListMarginsRequest.GROUP_BY_METRIC)
by_plan = listing("plans", "plan_code", service.ListMarginsRequest.GROUP_BY_PLAN)
by_model = listing("models", "model", service.ListMarginsRequest.GROUP_BY_MODEL)


async def trend(call: Call) -> Any:
    """`GET /margin/trend?granularity=hour|day|week|month`."""
    granularity = Reader(call.query).choice("granularity", GRANULARITIES, service.GetMarginTrendRequest.GRANULARITY_DAY)
    request = service.GetMarginTrendRequest(
        period=_period(call), granularity=granularity, external_customer_id=call.query.get("customer_id", "")
    )
    points = (await call.ask(call.clients.margins.GetMarginTrend, request)).points
    return {"points": [margin_json(point) for point in points]}


def margin_json(margin: Margin) -> dict[str, Any]:
    """The figures of one group in one span."""
    has_period = margin.HasField("period")
    return {
        "from": write.instant(margin.period, "start") if has_period else None,
        "to": write.instant(margin.period, "end") if has_period else None,
        "currency": margin.currency or None,
        **_both(margin, "revenue"),
        **_both(margin, "cost"),
        **_both(margin, "margin"),
        "margin_percent": write.number(margin, "margin_percent"),
        "status": Margin.State.Name(margin.state).removeprefix("STATE_").lower(),
        "coverage_ratio": write.number(margin, "coverage_ratio"),
        "unpriced_count": margin.unpriced_count,
        "units": write.decimal(margin, "units"),
    }


def _both(margin: Margin, name: str) -> dict[str, Any]:
    exact = write.exact(getattr(margin, name))
    cents = CURRENCIES.get(margin.currency, _USUAL).to_minor(exact)
    return {name: write.decimal(margin, name) or "0", f"total_{name}_cents": cents}


def _period(call: Call) -> Period | None:
    query = Reader(call.query)
    start = query.instant("from") or query.instant("from_date")
    end = _end(query, "to") or _end(query, "to_date")
    return Period(start=start, end=end) if start or end else None


def _end(query: Reader, name: str) -> datetime | None:
    end = query.instant(name)
    return end + _DAY if end is not None and instants.from_date(query.text(name)) else end
