"""Usage of the running period, of closed periods, and of the running period projected to its end."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Annotated, ClassVar, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict

from farebox.rating.v1 import usage_service_pb2 as rpc
from farebox.rating.v1.fee_pb2 import Fee
from gateway.dialects.lago.common import Identified, first_instant, last_second
from gateway.dialects.lago.fee import Values, filter_values
from gateway.dialects.lago.metric import AGGREGATION
from gateway.engine.paging import one_page
from gateway.limit_terms import Budget
from gateway.operation import ByCustomer, Nothing, PageMeta, Request, operation
from gateway.projection import exact
from gateway.schema import Cents, Code, DecimalText, Instant, keys
from services.kernel.money import ZERO, plain

K = TypeVar("K", bound=Hashable)


class UsageQuery(Struct, kw_only=True):
    """Whose usage; the subscription may be left out if the customer has only one."""

    NOT_OFFERED: ClassVar = keys(
        "charge_id charge_code billable_metric_code group filter_by_charge_id filter_by_charge_code "
        "filter_by_group full_usage filter_by_presentation"
    )

    external_subscription_id: Code | UnsetType = UNSET
    apply_taxes: bool = True


class PastUsageQuery(Struct, kw_only=True):
    """Whose usage, and how many closed periods."""

    NOT_OFFERED: ClassVar = keys("page per_page billable_metric_code")

    external_subscription_id: Code | UnsetType = UNSET
    periods_count: Annotated[int, Meta(ge=1, le=100, description="Closed periods, newest first.")] = 12


class UsageFigures(Struct, kw_only=True):
    """Units and their amounts; projected figures only if a projection was requested."""

    units: DecimalText
    total_aggregated_units: DecimalText
    events_count: int
    amount_cents: Cents
    projected_units: DecimalText | UnsetType = UNSET
    projected_amount_cents: Cents | UnsetType = UNSET


class FilterUsage(UsageFigures, kw_only=True):
    """The usage of a filter; without a name and values, the usage that no filter matched."""

    invoice_display_name: str | None
    values: Values


class GroupUsage(UsageFigures, kw_only=True):
    """The usage of one combination of grouping properties."""

    grouped_by: dict[str, str]
    filters: list[FilterUsage]


class UsedCharge(Identified, kw_only=True):
    """The charge that prices the usage."""

    charge_model: str
    invoice_display_name: str | None


class UsedMetric(Identified, kw_only=True):
    """The metric that counts the usage, as it was when it counted."""

    code: str
    name: str
    aggregation_type: Annotated[str, AGGREGATION.told] | None


class ChargeUsage(UsageFigures, kw_only=True):
    """The usage of one charge: the sum of its fees, and each filter and group separately."""

    amount_currency: str
    charge: UsedCharge
    billable_metric: UsedMetric
    filters: list[FilterUsage]
    grouped_usage: list[GroupUsage]


class PeriodUsage(Struct, kw_only=True):
    """The usage of one period, priced as if it ended now; amounts are in minor units."""

    from_datetime: Instant
    to_datetime: Instant
    issuing_date: Annotated[str, Meta(description="The day on which the period ends, UTC.")]
    lago_invoice_id: str | None
    currency: str
    amount_cents: Cents
    taxes_amount_cents: Cents
    total_amount_cents: Cents
    projected_amount_cents: Cents | UnsetType = UNSET
    charges_usage: list[ChargeUsage]


class PastUsage(Struct, kw_only=True):
    """The usage of closed periods, newest first."""

    usage_periods: list[PeriodUsage]
    meta: PageMeta


async def current(request: Request[ByCustomer, UsageQuery, Nothing]) -> PeriodUsage:
    """Show the usage of the running period."""
    call, query = request.call, request.query
    asked = rpc.GetCurrentUsageRequest(
        external_customer_id=request.path.external_customer_id,
        external_subscription_id=_subscription(query.external_subscription_id),
        without_taxes=not query.apply_taxes,
    )
    return usage_to_api((await call.ask(call.clients.usage.GetCurrentUsage, asked)).usage)


async def past(request: Request[ByCustomer, PastUsageQuery, Nothing]) -> PastUsage:
    """List the usage of closed periods, newest first."""
    call, query = request.call, request.query
    asked = rpc.ListPastUsageRequest(
        external_customer_id=request.path.external_customer_id,
        external_subscription_id=_subscription(query.external_subscription_id),
        period_count=query.periods_count,
    )
    periods = [usage_to_api(summary) for summary in (await call.ask(call.clients.usage.ListPastUsage, asked)).usage]
    return PastUsage(usage_periods=periods, meta=one_page(len(periods)))


async def projected(request: Request[ByCustomer, UsageQuery, Nothing]) -> PeriodUsage:
    """Show the usage of the running period, and its projection to the end of the period at the same rate."""
    call, query = request.call, request.query
    asked = rpc.GetProjectedUsageRequest(
        external_customer_id=request.path.external_customer_id,
        external_subscription_id=_subscription(query.external_subscription_id),
        without_taxes=not query.apply_taxes,
    )
    answer = await call.ask(call.clients.usage.GetProjectedUsage, asked)
    return usage_to_api(answer.usage, answer.projected)


def usage_to_api(summary: rpc.UsageSummary, later: rpc.UsageSummary | None = None) -> PeriodUsage:
    """The usage of one period as Lago's clients read it.

    Args:
        summary: the summary of the period.
        later: the same projected to the period's end, if projected figures were requested.
    """
    stretched = None if later is None else _by(later.fees, _charge_of)
    return PeriodUsage(
        from_datetime=first_instant(summary.period),
        to_datetime=last_second(summary.period),
        issuing_date=summary.period.end.ToDatetime().date().isoformat(),
        lago_invoice_id=summary.invoice_id or None,
        currency=summary.currency,
        amount_cents=summary.amount_cents,
        taxes_amount_cents=summary.taxes_amount_cents,
        total_amount_cents=summary.amount_cents + summary.taxes_amount_cents,
        projected_amount_cents=UNSET if later is None else later.amount_cents,
        charges_usage=[
            _charge(fees, None if stretched is None else stretched.get(charge, []))
            for charge, fees in _by(summary.fees, _charge_of).items()
        ],
    )


def _subscription(external_id: str | UnsetType) -> str:
    return "" if external_id is UNSET else external_id


def _charge_of(fee: Fee) -> str:
    return fee.charge_id or fee.metric_code


def _group_of(fee: Fee) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(fee.group.items()))


def _filter_of(fee: Fee) -> tuple[str, tuple[tuple[str, tuple[str, ...]], ...]]:
    return fee.filter_name, tuple((name, tuple(values)) for name, values in filter_values(fee).items())


def _by(fees: Iterable[Fee], key: Callable[[Fee], K]) -> dict[K, list[Fee]]:
    parts: dict[K, list[Fee]] = {}
    for fee in fees:
        parts.setdefault(key(fee), []).append(fee)
    return parts


def _charge(fees: Sequence[Fee], stretched: Sequence[Fee] | None) -> ChargeUsage:
    first = fees[0]
    return ChargeUsage(
        **asdict(_figures(fees, stretched)),
        amount_currency=first.currency,
        charge=UsedCharge(
            lago_id=first.charge_id,
            nozle_id=first.charge_id,
            charge_model=first.charge_model,
            invoice_display_name=first.name or None,
        ),
        billable_metric=UsedMetric(
            lago_id=first.metric_id,
            nozle_id=first.metric_id,
            code=first.metric_code,
            name=first.metric_name or first.metric_code,
            aggregation_type=AGGREGATION.word(first.metric_aggregation),
        ),
        filters=_filters(fees, stretched),
        grouped_usage=_groups(fees, stretched),
    )


def _groups(fees: Sequence[Fee], stretched: Sequence[Fee] | None) -> list[GroupUsage]:
    later = None if stretched is None else _by(stretched, _group_of)
    groups = _by((fee for fee in fees if fee.group), _group_of)
    return [
        GroupUsage(
            **asdict(_figures(group, _part(later, key))),
            grouped_by=dict(key),
            filters=_filters(group, _part(later, key)),
        )
        for key, group in groups.items()
    ]


def _filters(fees: Sequence[Fee], stretched: Sequence[Fee] | None) -> list[FilterUsage]:
    """One entry for each filter, and one for the usage that no filter matched; empty if the charge has no filters."""
    if not any(fee.filter_name or fee.filter_values for fee in fees):
        return []
    later = None if stretched is None else _by(stretched, _filter_of)
    return [
        FilterUsage(
            **asdict(_figures(part, _part(later, key))),
            invoice_display_name=part[0].filter_name or None,
            values=filter_values(part[0]),
        )
        for key, part in _by(fees, _filter_of).items()
    ]


def _part(parts: dict[K, list[Fee]] | None, key: K) -> list[Fee] | None:
    return None if parts is None else parts.get(key, [])


def _figures(fees: Sequence[Fee], stretched: Sequence[Fee] | None) -> UsageFigures:
    """The figures of fees taken together, and the projected figures if there are any."""
    units = _units(fees)
    return UsageFigures(
        units=units,
        total_aggregated_units=units,
        events_count=sum(fee.event_count for fee in fees),
        amount_cents=sum(fee.amount_cents for fee in fees),
        projected_units=UNSET if stretched is None else _units(stretched),
        projected_amount_cents=UNSET if stretched is None else sum(fee.amount_cents for fee in stretched),
    )


def _units(fees: Sequence[Fee]) -> str:
    return plain(sum((exact(fee.units) for fee in fees), ZERO))


_CUSTOMER = "/customers/{external_customer_id}"
# The customer has no active subscription, or has several and names none.
_NONE_MEANT = frozenset({409})
OPERATIONS = (
    operation("GET", f"{_CUSTOMER}/current_usage", current, answer_root="customer_usage", also=_NONE_MEANT),
    operation("GET", f"{_CUSTOMER}/past_usage", past, also=_NONE_MEANT),
    operation(
        "GET",
        f"{_CUSTOMER}/projected_usage",
        projected,
        answer_root="customer_projected_usage",
        budget=Budget.FORECASTS,
        also=_NONE_MEANT,
    ),
)
