"""Margins: revenue, cost and what is left. The shapes are our own, since Nozle documents none.

Amounts are exact decimal texts in major units, with rounded minor units beside them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.common.v1.period_pb2 import Period
from farebox.margin.v1 import margin_service_pb2 as rpc
from farebox.margin.v1.margin_pb2 import Margin as MarginMessage
from gateway.decode.refusals import Refusals
from gateway.decode.scalars import instant_of
from gateway.engine.paging import PageQuery, page_meta, page_request
from gateway.operation import AnyOperation, Nothing, PageMeta, Request, operation
from gateway.projection import aware, exact, patch, project
from gateway.schema import Cents, Code, DecimalText, ExactNumber, Instant, Words, of
from services.kernel.instant import from_date
from services.kernel.money import CURRENCIES

STATE = Words(MarginMessage.State, "STATE_")
GRANULARITY = Words(rpc.GetMarginTrendRequest.Granularity, "GRANULARITY_")
_DAY = timedelta(days=1)
# For a currency that the gateway does not know: minor units as most currencies have them.
_USUAL = CURRENCIES["USD"]
_FROM = "The first instant: RFC 3339, Unix seconds, or a day. `from_date` is another name of it."
_TO = "The end: an instant, which does not belong to the span, or a day, which does. `to_date` is another name of it."

From = Annotated[str, Meta(max_length=64, description=_FROM)]
To = Annotated[str, Meta(max_length=64, description=_TO)]


class MarginQuery(Struct, kw_only=True, rename={"from_": "from"}):
    """The requested span; without an end, everything there is."""

    from_: From | UnsetType = UNSET
    to: To | UnsetType = UNSET
    from_date: From | UnsetType = UNSET
    to_date: To | UnsetType = UNSET


class MarginsQuery(PageQuery, kw_only=True, rename={"from_": "from"}):
    """The span that is asked about, and which page of the groups: the lowest margin first, the unknown ones last."""

    # As MarginQuery's: a Struct has one base.
    from_: From | UnsetType = UNSET
    to: To | UnsetType = UNSET
    from_date: From | UnsetType = UNSET
    to_date: To | UnsetType = UNSET


class CustomerMarginQuery(MarginQuery, kw_only=True):
    """The span, and whose figures; without a customer, the whole organization's."""

    customer_id: Code | UnsetType = UNSET


class TrendQuery(CustomerMarginQuery, kw_only=True):
    """The span, whose figures, and the length of each point."""

    granularity: Annotated[str, GRANULARITY.meta] = "day"


class Margin(Struct, kw_only=True, rename={"from_": "from"}):
    """The figures of one group in one span.

    The percentage is null unless there is revenue above 0; cost and margin are null if nothing has a price.
    """

    from_: Instant | None
    to: Instant | None
    currency: str | None
    revenue: DecimalText
    total_revenue_cents: Cents
    cost: DecimalText | None
    total_cost_cents: Cents | None
    margin: DecimalText | None
    total_margin_cents: Cents | None
    margin_percent: ExactNumber | None
    status: Annotated[str, STATE.told, of("state")] | None
    coverage_ratio: ExactNumber | None
    unpriced_count: int
    units: DecimalText | None


class Summary(Margin, kw_only=True):
    """The organization's figures in its currency, and those of every currency beside them."""

    by_currency: list[Margin]


class CustomerMargin(Margin, kw_only=True):
    """The figures of a customer; null for figures that belong to no customer."""

    external_customer_id: Annotated[str | None, of("group")]


class MetricMargin(Margin, kw_only=True):
    """The figures of a metric; null for figures that belong to no metric."""

    metric_code: Annotated[str | None, of("group")]


class PlanMargin(Margin, kw_only=True):
    """The figures of a plan; null for figures that belong to no plan."""

    plan_code: Annotated[str | None, of("group")]


class ModelMargin(Margin, kw_only=True):
    """The figures of a provider's model; null for figures that belong to no model."""

    model: Annotated[str | None, of("group")]


class CustomerMargins(Struct):
    """The margins by customer: one entry for each customer and currency."""

    customers: list[CustomerMargin]
    meta: PageMeta


class MetricMargins(Struct):
    """The margins by metric: one entry for each metric and currency."""

    metrics: list[MetricMargin]
    meta: PageMeta


class PlanMargins(Struct):
    """The margins by plan: one entry for each plan and currency."""

    plans: list[PlanMargin]
    meta: PageMeta


class ModelMargins(Struct):
    """The margins by provider's model: one entry for each model and currency."""

    models: list[ModelMargin]
    meta: PageMeta


class Trend(Struct):
    """The margins of consecutive points."""

    points: list[Margin]


M = TypeVar("M", bound=Margin)
L = TypeVar("L", bound=Struct)


async def summary(request: Request[Nothing, CustomerMarginQuery, Nothing]) -> Summary:
    """Show the organization's margin, or a customer's."""
    call, query = request.call, request.query
    asked = rpc.GetMarginSummaryRequest(period=_period(query), external_customer_id=_customer(query))
    margins = (await call.ask(call.clients.margins.GetMarginSummary, asked)).margins
    own = next((margin for margin in margins if margin.currency == call.organization.default_currency), None)
    top = own or next(iter(margins), MarginMessage())
    return margin_to_api(Summary, top, by_currency=[margin_to_api(Margin, margin) for margin in margins])


async def trend(request: Request[Nothing, TrendQuery, Nothing]) -> Trend:
    """Show the margin of each hour, day, week or month."""
    call, query = request.call, request.query
    asked = rpc.GetMarginTrendRequest(period=_period(query), external_customer_id=_customer(query))
    patch(asked, query, skip=("from_", "to", "from_date", "to_date", "customer_id"))
    points = (await call.ask(call.clients.margins.GetMarginTrend, asked)).points
    return Trend([margin_to_api(Margin, point) for point in points])


def _listing(entry: type[M], answer: type[L], group_by: rpc.ListMarginsRequest.GroupBy, path: str) -> AnyOperation:
    """`GET /margin/<path>`: one entry for each group and currency."""

    async def find_all(request: Request[Nothing, MarginsQuery, Nothing]) -> L:
        call, query = request.call, request.query
        asked = rpc.ListMarginsRequest(group_by=group_by, period=_period(query), page=page_request(query))
        listed = await call.ask(call.clients.margins.ListMargins, asked)
        margins = [margin_to_api(entry, margin) for margin in listed.margins]
        return answer(margins, page_meta(query, listed.page, len(margins)))

    find_all.__doc__ = answer.__doc__
    find_all.__annotations__["return"] = answer
    return operation("GET", f"/margin/{path}", find_all)


def margin_to_api(struct: type[M], margin: MarginMessage, **more: object) -> M:
    """The figures of one group in one span."""
    period = margin.period if margin.HasField("period") else Period()
    currency = CURRENCIES.get(margin.currency, _USUAL)

    def cents(name: str) -> int | None:
        return currency.to_minor(exact(getattr(margin, name))) if margin.HasField(name) else None

    return project(
        struct,
        margin,
        from_=aware(period.start) if period.HasField("start") else None,
        to=aware(period.end) if period.HasField("end") else None,
        total_revenue_cents=cents("revenue") or 0,
        total_cost_cents=cents("cost"),
        total_margin_cents=cents("margin"),
        **more,
    )


def _customer(query: CustomerMarginQuery) -> str:
    return "" if query.customer_id is UNSET else query.customer_id


def _period(query: MarginQuery | MarginsQuery) -> Period | None:
    refusals = Refusals()
    start = _instant("from", query.from_, refusals) or _instant("from_date", query.from_date, refusals)
    end = _end("to", query.to, refusals) or _end("to_date", query.to_date, refusals)
    refusals.raise_any()
    return Period(start=start, end=end) if start or end else None


def _instant(name: str, text: str | UnsetType, refusals: Refusals) -> datetime | None:
    if text is UNSET:
        return None
    instant = instant_of(text)
    if instant is None:
        refusals.add(name, "invalid_format", "must be an RFC 3339 time, Unix seconds or a day")
    return instant


def _end(name: str, text: str | UnsetType, refusals: Refusals) -> datetime | None:
    end = _instant(name, text, refusals)
    is_day = text is not UNSET and from_date(text) is not None
    return end + _DAY if end is not None and is_day else end


_GROUP = rpc.ListMarginsRequest
OPERATIONS: tuple[AnyOperation, ...] = (
    operation("GET", "/margin/summary", summary),
    _listing(CustomerMargin, CustomerMargins, _GROUP.GROUP_BY_CUSTOMER, "customers"),
    _listing(MetricMargin, MetricMargins, _GROUP.GROUP_BY_METRIC, "metrics"),
    _listing(PlanMargin, PlanMargins, _GROUP.GROUP_BY_PLAN, "plans"),
    _listing(ModelMargin, ModelMargins, _GROUP.GROUP_BY_MODEL, "models"),
    operation("GET", "/margin/trend", trend),
)
