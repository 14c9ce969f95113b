"""Customers with limits, and questions about them: made before the clock starts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr

from farebox.common.v1 import decimal_pb2, period_pb2
from farebox.entitlements.v1 import access_service_pb2 as pb
from farebox.rating.v1 import domain_events_pb2, plan_pb2, subscription_pb2
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.follower import Message
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.entitlements import consumers
from services.entitlements.main import make_deps
from services.kernel.ids import new_id
from services.wire.subjects import announcement

CUSTOMERS = 100
FEATURES = 4
ONE = decimal_pb2.Decimal(value="1")
# A hard limit that no benchmark comes near, so that every unit is counted under it and none is refused.
LIMIT = decimal_pb2.Decimal(value="1000000000")
DAYS_OF_PERIOD = 15


class Load:
    """One organization, its customers, and requests about them."""

    def __init__(self) -> None:
        """Give everything its id."""
        self.organization = new_id()
        self.metadata = [(ORGANIZATION_KEY, self.organization)]

    def sell(self, url: str) -> None:
        """Let a database of the service know the plan and a subscription of each customer."""
        db = Database(Settings(database_url=SecretStr(url), database_pool_size=2))
        events = [announcement(event) for event in self._announced()]
        messages = [Message(subject, n, n, body) for n, (subject, body) in enumerate(events, 1)]
        with db.worker_transaction() as tx:
            consumers.apply(make_deps(db), tx, messages)
        db.dispose()

    def checks(self, count: int) -> list[bytes]:
        """Questions, one a call."""
        return [question.SerializeToString() for question in self._questions(count)]

    def batches(self, count: int, size: int) -> list[bytes]:
        """Questions, `size` a call."""
        return [pb.BatchCheckRequest(checks=self._questions(size)).SerializeToString() for _ in range(count)]

    def consumptions(self, count: int, customers: int) -> list[bytes]:
        """Units to count, one in each call, for this many customers in turn."""
        return [
            pb.ConsumeRequest(
                request_id=new_id(), external_customer_id=f"customer-{n % customers}", feature_code="limit-0", units=ONE
            ).SerializeToString()
            for n in range(count)
        ]

    def _questions(self, count: int) -> Iterator[pb.CheckRequest]:
        for n in range(count):
            code = f"limit-{n // CUSTOMERS % FEATURES}"
            yield pb.CheckRequest(external_customer_id=f"customer-{n % CUSTOMERS}", feature_code=code)

    def _announced(self) -> Iterator[domain_events_pb2.PlanChanged | domain_events_pb2.SubscriptionChanged]:
        limits = [
            plan_pb2.PlanEntitlement(
                feature_code=f"limit-{n}",
                kind=plan_pb2.PlanEntitlement.KIND_USAGE_LIMIT,
                limit=LIMIT,
                hard=True,
                metric_code="api_call",
            )
            for n in range(FEATURES)
        ]
        monthly = plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_MONTH, count=1)
        plan = plan_pb2.Plan(id=new_id(), code="pro", version=1, interval=monthly, entitlements=limits)
        yield domain_events_pb2.PlanChanged(organization_id=self.organization, plan=plan)
        for n in range(CUSTOMERS):
            yield domain_events_pb2.SubscriptionChanged(
                organization_id=self.organization, subscription=_subscription(n, plan.id), timezone="UTC"
            )


def _subscription(number: int, plan_id: str) -> subscription_pb2.Subscription:
    now = datetime.now(UTC)
    start, end = _stamp(now - timedelta(days=DAYS_OF_PERIOD)), _stamp(now + timedelta(days=DAYS_OF_PERIOD))
    return subscription_pb2.Subscription(
        id=new_id(),
        external_id=f"subscription-{number}",
        external_customer_id=f"customer-{number}",
        plan_id=plan_id,
        state=subscription_pb2.Subscription.STATE_ACTIVE,
        billing_time=subscription_pb2.Subscription.BILLING_TIME_CALENDAR,
        started_at=start,
        anchored_at=start,
        current_period=period_pb2.Period(start=start, end=end),
    )


def _stamp(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp
