"""Margins: what was earned and paid in a span: in total, by group, and over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from sqlalchemy.engine import Connection

from services.chassis.page import Listed, Page
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId
from services.kernel.money import ZERO, plain
from services.kernel.period import Period
from services.margin.deps import Deps
from services.margin.domain.margin import Figures, Margin, attribute
from services.margin.domain.step import Granularity, last_steps, steps_of
from services.margin.store import figure as store
from services.margin.store import projection as projection_store
from services.margin.store.figure import GroupBy, Window

# The beginning of everything, if a caller names no span.
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# The currency of an organization that rating has not announced: the same as the catalog's.
DEFAULT_CURRENCY = "USD"

Sums = dict[tuple[int, str, str], Figures]
"""Figures by step, group and currency."""
Rank = tuple[bool, Decimal, str, str]
"""Whether a margin is unknown, the margin, the group, the currency: as lists are ordered."""


@dataclass(frozen=True)
class Span:
    """The span that a caller asks for; either end may be missing.

    Without an end it includes everything until now: `now` itself, and usage with a time slightly ahead of it, for the
    cost and for the revenue.
    """

    start: datetime | None = None
    end: datetime | None = None


def summary(deps: Deps, organization: OrganizationId, span: Span, customer: str = "") -> list[Margin]:
    """The margin of the organization, or of one customer, in each currency; nothing is converted.

    The organization's own currency comes first and is always present, whatever was paid in other currencies.
    """
    with deps.db.transaction(organization) as tx:
        now, own = _now(deps, tx, organization), _currency(tx, organization)
        period = _period(span.start or BEGINNING, span.end or now)
        sums = _sums(tx, Window(organization, [period], now, span.end is None, customer), GroupBy.NOTHING)
    sums.setdefault((0, "", own), Figures())
    margins = [Margin("", period, currency, figures) for (_, _, currency), figures in sums.items()]
    return sorted(margins, key=lambda margin: (margin.currency != own, margin.currency))


def by_group(deps: Deps, organization: OrganizationId, span: Span, group_by: GroupBy, page: Page) -> Listed[Margin]:
    """A page of the margins of every group in each currency: the lowest first, the unknown ones last.

    Which margins are the lowest is known once all are; a page bounds what is told, and not what is summed.
    """
    after = _rank_of_token(page)
    with deps.db.transaction(organization) as tx:
        now = _now(deps, tx, organization)
        period = _period(span.start or BEGINNING, span.end or now)
        sums = _sums(tx, Window(organization, [period], now, span.end is None), group_by)
    margins = [Margin(group, period, currency, figures) for (_, group, currency), figures in sums.items()]
    ranked = sorted((margin for margin in margins if after is None or _rank(margin) > after), key=_rank)
    rows = ranked[page.skip : page.skip + page.size + 1]
    return Listed.of(rows, page, _token_keys, total=len(margins) if page.with_total else None)


def _rank(margin: Margin) -> Rank:
    amount = margin.figures.margin
    return amount is None, ZERO if amount is None else amount, margin.group, margin.currency


def _token_keys(margin: Margin) -> tuple[str, str, str]:
    amount = margin.figures.margin
    return "" if amount is None else plain(amount), margin.group, margin.currency


def _rank_of_token(page: Page) -> Rank | None:
    """The rank of the last margin of the page before; None for the first page."""
    if not page.after:
        return None
    try:
        text, group, currency = page.after
        amount = Decimal(text or "0")
    except (ValueError, InvalidOperation) as error:
        raise _foreign_token() from error
    if not amount.is_finite():
        raise _foreign_token()
    return not text, amount, group, currency


def _foreign_token() -> InvalidArgumentError:
    return InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")


def trend(
    deps: Deps, organization: OrganizationId, span: Span, granularity: Granularity, customer: str = ""
) -> list[Margin]:
    """The margin of every step in each currency of the span, in order of time; without a span, the last steps.

    Raises:
        InvalidArgumentError: the span has more than `MAX_STEPS` steps, or ends before it starts.
    """
    with deps.db.transaction(organization) as tx:
        now = _now(deps, tx, organization)
        end = span.end or now
        steps = steps_of(_period(span.start, end), granularity) if span.start else last_steps(end, granularity)
        window = Window(organization, steps, now, span.end is None, customer)
        sums = _sums(tx, window, GroupBy.NOTHING)
        own = _currency(tx, organization)
    currencies = sorted({own, *(currency for _, _, currency in sums)}, key=lambda currency: (currency != own, currency))
    return [
        Margin("", step, currency, sums.get((index, "", currency), Figures()))
        for index, step in enumerate(steps)
        for currency in currencies
    ]


def _sums(tx: Connection, window: Window, group_by: GroupBy) -> Sums:
    sums: Sums = {}
    for cost in store.costs(tx, window, group_by):
        key = (cost.step, cost.group, cost.currency)
        sums[key] = Figures(ZERO, cost.cost, cost.units, cost.entry_count, cost.unpriced_count)
    for key, revenue in _revenues(tx, window, group_by):
        sums[key] = sums.get(key, Figures()) + Figures(revenue)
    return sums


def _revenues(tx: Connection, window: Window, group_by: GroupBy) -> Iterable[tuple[tuple[int, str, str], Decimal]]:
    rows = store.revenues(tx, window, group_by)
    if group_by in {GroupBy.MODEL, GroupBy.PROVIDER}:
        yield from _by_model(rows, store.units(tx, window), group_by)
        return
    for row in rows:
        yield (row.step, _group_of(row, group_by), row.currency), row.revenue


def _group_of(row: store.RevenueSum, group_by: GroupBy) -> str:
    groups = {
        GroupBy.CUSTOMER: row.external_customer_id,
        GroupBy.METRIC: row.metric_code,
        GroupBy.PLAN: row.plan_code,
        GroupBy.MODEL: row.model,
        GroupBy.PROVIDER: row.provider,
    }
    return groups.get(group_by, "")


def _by_model(
    rows: Sequence[store.RevenueSum], units: Sequence[store.UnitSum], group_by: GroupBy
) -> Iterable[tuple[tuple[int, str, str], Decimal]]:
    """Revenue by model or provider: as the charge says, otherwise by the model's share of the customer's units.

    Revenue without a metric (a base price) or without units belongs to no model: the empty group.
    """
    shares: dict[tuple[str, str], dict[str, Decimal]] = {}
    for unit in units:
        name = unit.model if group_by is GroupBy.MODEL else unit.provider
        of_metric = shares.setdefault((unit.external_customer_id, unit.metric_code), {})
        of_metric[name] = of_metric.get(name, ZERO) + unit.units
    for row in rows:
        said = _group_of(row, group_by)
        share: Mapping[str, Decimal] = shares.get((row.external_customer_id, row.metric_code), {})
        parts = {said: row.revenue} if said else attribute(row.revenue, share)
        for group, revenue in parts.items():
            yield (row.step, group, row.currency), revenue


def _now(deps: Deps, tx: Connection, organization: OrganizationId) -> datetime:
    return projection_store.clock_of(tx, organization) or deps.clock.now()


def _currency(tx: Connection, organization: OrganizationId) -> str:
    return projection_store.currency_of(tx, organization) or DEFAULT_CURRENCY


def _period(start: datetime, end: datetime) -> Period:
    if end < start:
        raise InvalidArgumentError.of_field("period.end", "value_is_invalid", "lies before the start")
    return Period(start, end)
