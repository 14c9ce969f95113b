"""Counting: what usage events add to the aggregates of a billing period.

A metric of a subscription's period has one aggregate with everything in it (bucket ""), which entitlements hear of and
plain charges are priced on. A charge that needs more than that (filters, groups, days, transactions, or a trial that is
free of usage) has aggregates of its own, one for each filter and group. Of usage in such a trial it knows only what
a recurring metric holds by it from the trial's end on.

What a batch adds is a `Tally` for each bucket. Tallies add up in any order and any split of the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from hashlib import blake2b
from typing import NamedTuple

from services.kernel.ids import ChargeId
from services.kernel.money import ZERO, Currency
from services.rating.agreements.agreement import Agreement
from services.rating.pricing.aggregation import DailySum, Latest, Max, Presence, Reading, Sum, UniqueCount, WeightedSum
from services.rating.pricing.catalog import MetricVersion
from services.rating.pricing.charge_filter import Bucket, bucket_of
from services.rating.pricing.charges import Percentage
from services.rating.pricing.metric import Aggregation, Measurement
from services.rating.pricing.plan import Charge
from services.rating.shared.exact import exact_difference, exact_sum
from services.rating.shared.usage_log import ListedUsageEvent, UsageEntry

DIGEST_MODULUS = 1 << 128
_DIGEST_BYTES = 16
_NO_CHARGE = ChargeId("")


class CountedBucket(NamedTuple):
    """An aggregate of a metric in a period: the metric's own (no charge), or one of a charge.

    Attributes:
        charge_id: the charge; empty for the metric's own.
        bucket: filter and group within the charge.
    """

    charge_id: ChargeId = _NO_CHARGE
    bucket: Bucket = Bucket()

    @property
    def key(self) -> str:
        """Its key in the store: empty for the metric's own, otherwise a hash, since groups may be long."""
        if not self.charge_id:
            return ""
        # The tuple's own notation quotes its texts, so no two buckets are written alike.
        text = repr((self.charge_id, self.bucket.filter_key, self.bucket.group))
        return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


METRIC_TOTAL = CountedBucket()


def event_digest(transaction_id: str) -> int:
    """An event's part of a digest: BLAKE2b of its transaction id in 16 bytes, as a number.

    A digest is the sum of its events' parts modulo 2^128, so it does not depend on their order.
    """
    return int.from_bytes(blake2b(transaction_id.encode(), digest_size=_DIGEST_BYTES).digest(), "big")


def value_key(text: str) -> str:
    """The identity of a distinct value, as a UUID's 32 hexadecimal digits."""
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Counter:
    """How the events of one metric are counted for one subscription.

    Attributes:
        metric: the metric's version.
        currency: the plan's currency, in which events carry amounts.
        timezone: the customer's zone, for charges by days.
        charges: the plan's charges on the metric that have buckets of their own.
        free_until: the end of a trial whose usage no charge bills; None without such a trial.
    """

    metric: MetricVersion
    currency: Currency
    timezone: str
    charges: tuple[Charge, ...] = ()
    free_until: datetime | None = None

    @classmethod
    def of(cls, agreement: Agreement, metric: MetricVersion) -> Counter:
        """The counter of a subscription's metric."""
        free_until = agreement.usage_free_until
        own = tuple(
            charge
            for charge in agreement.plan.charges
            if charge.metric_code == metric.definition.code and has_own_buckets(charge, metric, free_until)
        )
        return cls(metric, agreement.plan.currency, agreement.timezone, own, free_until)

    def measure(self, event: UsageEntry | ListedUsageEvent) -> Measurement:
        """The measurement of an event by the metric.

        Raises:
            InvalidArgumentError: `PROPERTY_MISSING` or `PROPERTY_NOT_NUMERIC`; the event belongs in quarantine.
        """
        precise_amount = event.precise_amount_cents
        if precise_amount:
            precise_amount = precise_amount.scaleb(-self.currency.exponent)
        return self.metric.definition.measure(
            event_id=event.transaction_id,
            at=event.occurred_at,
            properties=event.properties,
            precise_amount=precise_amount,
        )

    def buckets(self, at: datetime, properties: Mapping[str, object]) -> list[CountedBucket]:
        """The buckets in which an event counts or is held."""
        found = [METRIC_TOTAL]
        if self.charges and (self.metric.definition.recurring or not self._is_free(at)):
            for charge in self.charges:
                keys = charge.group_keys(self.metric.definition)
                found.append(CountedBucket(charge.charge_id, bucket_of(charge.filters, keys, properties)))
        return found

    def is_held(self, bucket: CountedBucket, at: datetime) -> bool:
        """Whether an event of a bucket is only held: in a trial free of usage, only its running value is billed."""
        return bool(bucket.charge_id) and self._is_free(at)

    def _is_free(self, at: datetime) -> bool:
        return self.free_until is not None and at < self.free_until

    def charge_of(self, counted: CountedBucket) -> Charge | None:
        """The charge of a bucket; None for the metric's own."""
        return next((charge for charge in self.charges if charge.charge_id == counted.charge_id), None)


def has_own_buckets(charge: Charge, metric: MetricVersion, free_until: datetime | None) -> bool:
    """Whether a charge is priced on aggregates of its own instead of the metric's."""
    is_split = bool(charge.filters or charge.group_keys(metric.definition))
    by_event = any(isinstance(model, Percentage) and model.needs_transactions for model in charge.models)
    return is_split or by_event or charge.prorated or free_until is not None


@dataclass(slots=True)
class Counted:
    """The measurements of one bucket in a batch, gathered event by event.

    Attributes:
        added, voided: measurements to count and to take back.
        held, unheld: the same of a trial free of usage: their values run on, but they are not events of the charge.
        digest: sum of the counted events' digests, less those taken back.
    """

    added: list[Measurement] = field(default_factory=list)
    voided: list[Measurement] = field(default_factory=list)
    held: list[Measurement] = field(default_factory=list)
    unheld: list[Measurement] = field(default_factory=list)
    digest: int = 0

    def count(self, measurement: Measurement, *, is_void: bool, is_held: bool = False) -> None:
        """Gather one event."""
        if is_held:
            (self.unheld if is_void else self.held).append(measurement)
            return
        (self.voided if is_void else self.added).append(measurement)
        part = event_digest(measurement.event_id)
        self.digest += -part if is_void else part


@dataclass(frozen=True, slots=True)
class Tally:
    """What a batch adds to one aggregate; counts and sums may be below zero if events were voided.

    Attributes:
        event_count, total, held, moment, precise_amount: see the aggregates.
        digest: modulo 2^128, so never below zero.
        largest: largest value that was added.
        reading: most recent reading that was added.
        values: what became known of each distinct value, by `value_key`.
        days: net change of each local day, for a charge by days.
        needs_recount: a void took away what may have been the largest or latest; only the log knows the next.
    """

    event_count: int
    digest: int
    total: Decimal = ZERO
    held: Decimal = ZERO
    moment: Decimal = ZERO
    precise_amount: Decimal = ZERO
    largest: Decimal | None = None
    reading: Reading | None = None
    values: Mapping[str, ValueChange] | None = None
    days: Mapping[date, Decimal] | None = None
    needs_recount: bool = False


class ValueChange(NamedTuple):
    """What a batch changes of one distinct value.

    Attributes:
        references: how many events named it, less those voided.
        presence: its presence after the last added event; None if events were only voided.
        voided_events: ids of voided events.
    """

    references: int
    presence: Presence | None
    voided_events: tuple[str, ...] = ()


def tally(counted: Counted, counter: Counter, charge: Charge | None) -> Tally:
    """The sum of what a batch adds to one bucket."""
    added, voided = counted.added, counted.voided
    plain = Tally(
        event_count=len(added) - len(voided),
        digest=counted.digest % DIGEST_MODULUS,
        precise_amount=exact_difference(_carried_amounts(added), _carried_amounts(voided)),
    )
    aggregation = counter.metric.definition.aggregation
    if aggregation is Aggregation.UNIQUE_COUNT:
        return replace(plain, values=value_changes([*added, *counted.held], [*voided, *counted.unheld]))
    if aggregation is Aggregation.MAX:
        return replace(plain, largest=Max().add(added).largest, needs_recount=bool(voided))
    if aggregation is Aggregation.LATEST:
        return replace(plain, reading=Latest().add(added).reading, needs_recount=bool(voided))
    if aggregation is Aggregation.WEIGHTED_SUM:
        more, less = WeightedSum().add(added), WeightedSum().add(voided)
        total, moment = exact_difference(more.total, less.total), exact_difference(more.moment, less.moment)
        return replace(plain, total=total, moment=moment, held=_net(counted.held, counted.unheld))
    if aggregation is Aggregation.SUM:
        total, held = _net(added, voided), _net(counted.held, counted.unheld)
        days = _days(counted, counter.timezone) if charge is not None and charge.prorated else None
        return replace(plain, total=total, held=held, days=days)
    return plain


def _net(added: Iterable[Measurement], voided: Iterable[Measurement]) -> Decimal:
    """Sum of what was added, less that of what was taken back."""
    return exact_difference(Sum().add(added).total, Sum().add(voided).total)


def _carried_amounts(measurements: Iterable[Measurement]) -> Decimal:
    """The sum of the prices that events carry."""
    amount = ZERO
    for measurement in measurements:
        if measurement.precise_amount:
            amount = exact_sum(amount, measurement.precise_amount)
    return amount


def _days(counted: Counted, timezone: str) -> dict[date, Decimal]:
    """The net change of each local day."""
    days = dict(DailySum(timezone).add(counted.added).days)
    for day, units in DailySum(timezone).add(counted.voided).days.items():
        days[day] = exact_difference(days.get(day, ZERO), units)
    return days


def units_by_day(counted: Counted, counter: Counter) -> dict[date, Decimal | None]:
    """The local days of a batch's events, and what it adds to each; None if the metric's units do not add up."""
    days = _days(counted, counter.timezone)
    adds_up = counter.metric.definition.aggregation in {Aggregation.COUNT, Aggregation.SUM}
    return dict(days) if adds_up else dict.fromkeys(days)


def value_changes(added: Iterable[Measurement], voided: Iterable[Measurement]) -> dict[str, ValueChange]:
    """What a batch changes of each distinct value, by key."""
    changes = {
        value_key(text): ValueChange(presence.references, presence)
        for text, presence in UniqueCount().add(added).values.items()
    }
    for measurement in voided:
        key = value_key(measurement.text)
        known = changes.get(key, ValueChange(0, None))
        changes[key] = ValueChange(known.references - 1, known.presence, (*known.voided_events, measurement.event_id))
    return changes
