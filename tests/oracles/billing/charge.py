"""The fees of a charge in a billing period: one for each filter and group, and what is missing to its minimum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracles.billing import measure, price
from tests.oracles.billing.days import Days, Span, day_of
from tests.oracles.billing.measure import Event, Usage
from tests.oracles.billing.money import from_cents, to_cents

Body = Mapping[str, Any]
Group = tuple[tuple[str, str], ...]
# The filter of what no filter matches.
OWN_PRICE = -1


@dataclass(frozen=True)
class Fee:
    """One line of an invoice.

    Attributes:
        kind: subscription, charge, true_up, commitment or adjustment.
        code: the metric's, or the plan's for a commitment.
        cents: rounded once.
        span: what it pays for.
        units: as the metric rounds them; a price that no usage has is one of it.
        label, group: which filter, by its display name, and which group.
        subject: what it is for; the same when its period is priced again.
        taxes: codes.
        plan: code of the plan.
        is_used: whether there is an event behind it.
    """

    kind: str
    code: str
    cents: int
    span: Span
    units: Fraction = Fraction(1)
    label: str = ""
    group: Group = ()
    subject: tuple[object, ...] = ()
    taxes: tuple[str, ...] = ()
    plan: str = ""
    is_used: bool = False


@dataclass(frozen=True)
class Part:
    """The part of a full billing period in which a plan was in force.

    Attributes:
        nominal: the days of the full period.
        days: the days that the plan has of it: that of a start and of a termination, not that of a change away from it.
        shared: the days it has between changes of plan alone: what a running value is shared by.
        span: the instants of it.
        counted: those whose usage is billed: from the end of a trial on that is free of usage.
        nominal_span: the instants of the full period.
        zone: whose days they are.
        currency: of the plan.
    """

    nominal: Days
    days: Days
    shared: Days
    span: Span
    counted: Span
    nominal_span: Span
    zone: str
    currency: str


class Bucket(NamedTuple):
    """A filter of a charge by its number, and a group."""

    filter: int
    group: Group = ()


def fees(charge: Body, metric: Body, events: Sequence[Event], part: Part) -> list[Fee]:
    """The fees of a charge; `events` are all that it ever counted, oldest first, of the plans before it as well."""
    found = [
        _fee(
            charge,
            metric,
            bucket,
            _usage([event for event in events if bucket_of(charge, event) == bucket], part),
            part,
        )
        for bucket in _buckets(charge, metric, events, part)
    ]
    said = [fee for fee in found if fee.cents or fee.units or fee.is_used]
    if part.span.start == part.span.end:
        # It ended where the period began: it owes the day, but could not use anything in it.
        found = said
    elif charge.get("filters"):
        # A filter is not named where nothing matched it; without any usage the charge's own price says so.
        found = said or found[-1:]
    missing = _missing(charge, found, part)
    if missing:
        found.append(Fee("true_up", charge["billable_metric_id"], missing, part.span, subject=("true_up",)))
    return found


def bucket_of(charge: Body, event: Event) -> Bucket:
    """Where an event counts: the filter with most conditions that all hold, of equals the first; and its group."""
    matching = [
        (len(given["values"]), sum(bool(values) for values in given["values"].values()), -number)
        for number, given in enumerate(charge.get("filters", ()))
        if all(_holds(name, values, event) for name, values in given["values"].items())
    ]
    keys = charge["properties"].get("pricing_group_keys") or ()
    group = tuple((key, measure.text_of(event.properties.get(key, ""))) for key in keys)
    return Bucket(-max(matching)[2] if matching else OWN_PRICE, group)


def _holds(name: str, values: Sequence[str], event: Event) -> bool:
    """Whether an event has a property, with one of the values if there are any."""
    return name in event.properties and (not values or measure.text_of(event.properties[name]) in values)


def _buckets(charge: Body, metric: Body, events: Sequence[Event], part: Part) -> Iterator[Bucket]:
    """Every filter and the charge's own price, each by its groups; also without usage, since zero units may cost."""
    for number in (*range(len(charge.get("filters", ()))), OWN_PRICE):
        own = [event for event in events if bucket_of(charge, event).filter == number]
        groups = {bucket_of(charge, event).group for event in own}
        alive = [group for group in groups if _is_alive(charge, metric, Bucket(number, group), own, part)]
        yield from [Bucket(number, group) for group in sorted(alive)] or [Bucket(number)]


def _is_alive(charge: Body, metric: Body, bucket: Bucket, events: Sequence[Event], part: Part) -> bool:
    """Whether a group was used in the period, or something of it is still held."""
    usage = _usage([event for event in events if bucket_of(charge, event) == bucket], part)
    return bool(usage.within) or _is_held(metric, usage.before)


def _is_held(metric: Body, before: Sequence[Event]) -> bool:
    if not metric.get("recurring"):
        return False
    if metric["aggregation_type"] == "unique_count_agg":
        return bool(measure.present(metric, before))
    return bool(measure.total(metric, before))


def _usage(events: Sequence[Event], part: Part) -> Usage:
    before = [event for event in events if event.at < part.counted.start]
    within = [event for event in events if part.counted.start <= event.at < part.counted.end]
    return Usage(before, within, part.counted, part.nominal_span)


def _fee(charge: Body, metric: Body, bucket: Bucket, usage: Usage, part: Part) -> Fee:
    given = charge if bucket.filter == OWN_PRICE else charge["filters"][bucket.filter]
    quantity = measure.rounded(metric, measure.units(metric, usage))
    amount = _amount(charge, given["properties"], metric, usage, part)
    return Fee(
        kind="charge",
        code=charge["billable_metric_id"],
        cents=to_cents(max(amount, Fraction(0)), part.currency),
        span=part.span,
        units=quantity,
        label=given.get("invoice_display_name", "") if given is not charge else "",
        group=bucket.group,
        subject=("charge", *bucket),
        is_used=bool(usage.within),
    )


def _amount(charge: Body, properties: Body, metric: Body, usage: Usage, part: Part) -> Fraction:
    """The exact amount of one filter and group.

    What a running value costs is shared by days between the plans of a period; what single events cost is not.
    """
    model = charge["charge_model"]
    if charge.get("prorated"):
        return _prorated(charge, properties, metric, usage, part)
    quantity = measure.rounded(metric, measure.units(metric, usage))
    share = _share(metric, part)
    if model == "dynamic":
        return (
            from_cents(sum((event.precise_cents for event in usage.within), Fraction(0)), part.currency)
            if quantity
            else Fraction(0)
        )
    if model == "percentage":
        carried = measure.total(metric, usage.before) if metric.get("recurring") else Fraction(0)
        values = [measure.value_of(metric, event) for event in usage.within]
        found = price.percentage(properties, carried, values, quantity)
        return found.of_value * share + found.of_transactions
    return price.amount(model, properties, quantity) * share


def _share(metric: Body, part: Part) -> Fraction:
    """The share of a period's price that a plan has of a value that runs on; a weighted sum knows its time itself."""
    if not metric.get("recurring") or metric["aggregation_type"] == "weighted_sum_agg":
        return Fraction(1)
    return Fraction(part.shared.count(), part.nominal.count())


def _prorated(charge: Body, properties: Body, metric: Body, usage: Usage, part: Part) -> Fraction:
    """Every day costs its share of what its level costs over the full period; flat amounts of tiers are due whole."""
    levels = [measure.rounded(metric, measure.total(metric, usage.before))]
    amount, share = Fraction(0), Fraction(1, part.nominal.count())
    steps = _steps(charge, properties)
    for day in sorted({*part.days, *(day_of(event.at, part.zone) for event in usage.within)}):
        until = [event for event in usage.within if day_of(event.at, part.zone) <= day]
        levels.append(measure.rounded(metric, measure.total(metric, [*usage.before, *until])))
        if part.days.first <= day < part.days.end:
            amount += share * sum(step.part_of(levels[-1]) * step.unit_amount for step in steps)
    peak = max(levels)
    return amount + sum(step.flat_amount for step in steps if not step.above or peak > step.above)


def _steps(charge: Body, properties: Body) -> list[price.Tier]:
    if charge["charge_model"] == "standard":
        return [price.Tier(Fraction(0), None, price.exact(properties["amount"]), Fraction(0))]
    return price.tiers(properties["graduated_ranges"])


def _missing(charge: Body, found: Sequence[Fee], part: Part) -> int:
    """What the fees of a charge lack to its minimum for the days of the plan."""
    least = from_cents(charge.get("min_amount_cents", 0), part.currency)
    due = to_cents(least * Fraction(part.days.count(), part.nominal.count()), part.currency)
    return max(0, due - sum(fee.cents for fee in found))


def about(fee: Fee, charge: Body, number: int, plan: Body, taxes: Sequence[str]) -> Fee:
    """A fee with whose it is."""
    return replace(
        fee,
        code=charge["billable_metric_id"],
        subject=(number, *fee.subject),
        taxes=tuple(taxes),
        plan=plan["code"],
    )
