"""What rating announces: metrics, subscriptions, accrued revenue and test clocks. Other subjects are passed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.engine import Connection

from farebox.rating.v1 import domain_events_pb2 as pb
from services.chassis.follower import Log, Message
from services.chassis.streams import RATING
from services.margin.commands import projections
from services.margin.convert import domain_events as convert
from services.margin.deps import Deps


def rating_log(deps: Deps) -> Log:
    """Rating's domain events as a log to follow."""

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            take = _HANDLERS.get(message.subject)
            if take is not None:
                take(deps, tx, message.body)

    return Log("rating", RATING, "rating.>", apply)


def _metric_changed(_: Deps, tx: Connection, body: bytes) -> None:
    projections.save_metric(tx, convert.metric_from_pb(pb.BillableMetricChanged.FromString(body)))


def _subscription_changed(_: Deps, tx: Connection, body: bytes) -> None:
    projections.save_subscription(tx, convert.subscription_from_pb(pb.SubscriptionChanged.FromString(body)))


def _revenue_accrued(deps: Deps, tx: Connection, body: bytes) -> None:
    projections.accrue(deps, tx, convert.accrual_from_pb(pb.RevenueAccrued.FromString(body)))


def _test_clock_advanced(deps: Deps, tx: Connection, body: bytes) -> None:
    projections.reach_test_clock(deps, tx, convert.clock_advance_from_pb(pb.TestClockAdvanced.FromString(body)))


_HANDLERS: dict[str, Callable[[Deps, Connection, bytes], None]] = {
    "rating.catalog.metric_changed": _metric_changed,
    "rating.subscription.changed": _subscription_changed,
    "rating.revenue.accrued": _revenue_accrued,
    "rating.test_clock.advanced": _test_clock_advanced,
}
