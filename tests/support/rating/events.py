"""RATING's domain events, announced by hand: for services that project them, tested without rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf import timestamp_pb2

from farebox.common.v1 import decimal_pb2, period_pb2
from farebox.rating.v1 import domain_events_pb2, plan_pb2, subscription_pb2
from services.chassis.bus import Bus
from services.chassis.followed import Message
from services.chassis.outbox import numbered
from services.kernel.ids import new_id
from services.kernel.period import Period
from services.wire.streams import RATING

MAY = Period(datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
JUNE = Period(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))

_BILLING_TIMES = {
    False: subscription_pb2.Subscription.BILLING_TIME_CALENDAR,
    True: subscription_pb2.Subscription.BILLING_TIME_ANNIVERSARY,
}


def stamp(instant: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(instant)
    return message


def period_pb(period: Period) -> period_pb2.Period:
    return period_pb2.Period(start=stamp(period.start), end=stamp(period.end))


def limit(
    feature: str, units: str | None, *, metric: str = "api_call", hard: bool = True, reset: str = "BILLING_PERIOD"
) -> plan_pb2.PlanEntitlement:
    return plan_pb2.PlanEntitlement(
        feature_code=feature,
        kind=plan_pb2.PlanEntitlement.KIND_USAGE_LIMIT,
        limit=None if units is None else decimal_pb2.Decimal(value=units),
        metric_code=metric,
        hard=hard,
        reset=plan_pb2.PlanEntitlement.Reset.Value(f"RESET_{reset}"),
    )


def gate(feature: str, *, enabled: bool = True) -> plan_pb2.PlanEntitlement:
    return plan_pb2.PlanEntitlement(feature_code=feature, kind=plan_pb2.PlanEntitlement.KIND_GATE, enabled=enabled)


def configuration(feature: str, value: str) -> plan_pb2.PlanEntitlement:
    return plan_pb2.PlanEntitlement(feature_code=feature, kind=plan_pb2.PlanEntitlement.KIND_CONFIGURATION, value=value)


def plan_changed(
    organization: str, plan_id: str, entitlements: Sequence[plan_pb2.PlanEntitlement], **fields: Any
) -> tuple[str, bytes]:
    plan = plan_pb2.Plan(
        id=plan_id,
        code=fields.pop("code", "pro"),
        version=fields.pop("version", 1),
        interval=plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_MONTH, count=1),
        entitlements=entitlements,
        **fields,
    )
    message = domain_events_pb2.PlanChanged(organization_id=organization, plan=plan)
    return "rating.catalog.plan_changed", message.SerializeToString()


def subscription_changed(
    organization: str,
    subscription_id: str,
    plan_id: str,
    *,
    customer: str = "acme",
    external_id: str = "acme-pro",
    state: str = "ACTIVE",
    period: Period | None = MAY,
    timezone: str = "UTC",
    started_at: datetime = MAY.start,
    ended_at: datetime | None = None,
    anchored_at: datetime | None = None,
    is_anniversary: bool = False,
) -> tuple[str, bytes]:
    subscription = subscription_pb2.Subscription(
        id=subscription_id,
        external_id=external_id,
        external_customer_id=customer,
        plan_id=plan_id,
        state=subscription_pb2.Subscription.State.Value(f"STATE_{state}"),
        billing_time=_BILLING_TIMES[is_anniversary],
        started_at=stamp(started_at),
        terminated_at=None if ended_at is None else stamp(ended_at),
        anchored_at=stamp(anchored_at or started_at),
        current_period=None if period is None else period_pb(period),
    )
    message = domain_events_pb2.SubscriptionChanged(
        organization_id=organization, subscription=subscription, timezone=timezone
    )
    return "rating.subscription.changed", message.SerializeToString()


def usage_aggregated(
    organization: str,
    subscription_id: str,
    units: str,
    revision: int,
    *,
    metric: str = "api_call",
    period: Period = MAY,
    days: Mapping[str, str | None] | None = None,
) -> tuple[str, bytes]:
    total = domain_events_pb2.UsageAggregated.Total(
        organization_id=organization,
        subscription_id=subscription_id,
        external_customer_id="acme",
        metric_code=metric,
        period=period_pb(period),
        units=decimal_pb2.Decimal(value=units),
        event_count=1,
        revision=revision,
        days=[
            domain_events_pb2.UsageAggregated.Day(
                day=day, units=None if added is None else decimal_pb2.Decimal(value=added)
            )
            for day, added in (days or {}).items()
        ],
    )
    message = domain_events_pb2.UsageAggregated(totals=[total])
    return "rating.usage.aggregated", message.SerializeToString()


def clock_advanced(organization: str, now: datetime, revision: int) -> tuple[str, bytes]:
    message = domain_events_pb2.TestClockAdvanced(organization_id=organization, now=stamp(now), revision=revision)
    return "rating.test_clock.advanced", message.SerializeToString()


class RatingLog:
    """Replaces rating's outbox: numbers events without gaps, and publishes them or hands them over as messages."""

    def __init__(self, bus: Bus | None = None) -> None:
        self._bus = bus
        self._number = 0

    def messages(self, *events: tuple[str, bytes]) -> list[Message]:
        """The next messages of the log."""
        made = []
        for subject, body in events:
            self._number += 1
            made.append(Message(subject, self._number, self._number, body, log="rating"))
        return made

    def announce(self, *events: tuple[str, bytes]) -> int:
        """Publish the next messages of the log; the number of the last one."""
        self.publish(self.messages(*events))
        return self._number

    def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages as they are, so that they may come twice or out of order."""
        assert self._bus is not None
        self._bus.ensure_stream(RATING.name, RATING.subjects)
        for message in messages:
            outgoing = numbered(message.subject, RATING.name, message.body, message.first, message.last)
            # Without the server's own memory of ids: the consumer must tell repeats apart.
            headers = {name: value for name, value in outgoing.headers.items() if name != "Nats-Msg-Id"}
            self._bus.publish([type(outgoing)(outgoing.subject, outgoing.body, headers)])


def fresh_ids(count: int) -> list[str]:
    """This many new ids."""
    return [new_id() for _ in range(count)]
