"""Builders for margin's tests: the service's parts on a fresh database, and messages as ingest and rating send them."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import Connection

from farebox.common.v1.decimal_pb2 import Decimal as DecimalPb
from farebox.common.v1.period_pb2 import Period as PeriodPb
from farebox.ingest.v1 import domain_events_pb2 as ingest
from farebox.rating.v1 import billable_metric_pb2, subscription_pb2
from farebox.rating.v1 import domain_events_pb2 as rating
from services.chassis.db import Database
from services.kernel.clock import FrozenClock
from services.kernel.ids import OrganizationId
from services.kernel.period import Period
from services.margin.convert import price_catalog
from services.margin.deps import Deps
from services.margin.domain.projection import UsageEvent
from services.margin.main import announce
from services.wire.values import instant_to_pb, period_to_pb

ACME = OrganizationId("0197a000-0000-7000-8000-00000000ac3e")
OTHER = OrganizationId("0197a000-0000-7000-8000-0000000000ff")
SUBSCRIPTION = "0197a000-0000-7000-8000-000000000001"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def deps_on(db: Database) -> Deps:
    """Margin's dependencies on a database, with a clock that stands at `NOW`."""
    return Deps(db, FrozenClock(NOW), announce, price_catalog.book())


def subscription_id(name: str) -> str:
    """A subscription's id, derived from a name."""
    return str(uuid.uuid5(uuid.UUID(SUBSCRIPTION), name))


def usage(transaction_id: str, properties: Mapping[str, Any] | None = None, **fields: Any) -> UsageEvent:
    """A usage event of the metric `llm_tokens`."""
    given = {
        "organization_id": ACME,
        "external_customer_id": "cust_1",
        "subscription_id": SUBSCRIPTION,
        "code": "llm_tokens",
        "occurred_at": NOW,
        **fields,
    }
    return UsageEvent(transaction_id=transaction_id, properties=json.dumps(properties or {}).encode(), **given)


def usage_entry(transaction_id: str, properties: Mapping[str, Any], **fields: Any) -> ingest.UsageEventEntry:
    """The same as an entry of the log."""
    given = {
        "organization_id": ACME,
        "kind": ingest.UsageEventEntry.KIND_ACCEPTED,
        "event_key": hashlib.blake2b(transaction_id.encode(), digest_size=16).digest(),
        "external_customer_id": "cust_1",
        "subscription_id": SUBSCRIPTION,
        "code": "llm_tokens",
        "occurred_at": instant_to_pb(NOW),
        "received_at": instant_to_pb(NOW),
        **fields,
    }
    body = json.dumps(properties).encode()
    return ingest.UsageEventEntry(transaction_id=transaction_id, properties=body, **given)


def batch(shard: int, number: int, *entries: ingest.UsageEventEntry) -> ingest.UsageEventsAccepted:
    """One batch of the log."""
    return ingest.UsageEventsAccepted(shard=shard, first_number=number, last_number=number, entries=entries)


def metric_changed(code: str, *, sums: str = "") -> rating.BillableMetricChanged:
    """A metric that counts, or that sums a property."""
    kinds = billable_metric_pb2.BillableMetric
    metric = kinds(code=code, aggregation=kinds.AGGREGATION_SUM if sums else kinds.AGGREGATION_COUNT, field_name=sums)
    return rating.BillableMetricChanged(organization_id=ACME, billable_metric=metric)


def subscription_changed(name: str, customer: str, plan: str, started_at: datetime) -> rating.SubscriptionChanged:
    """An active subscription."""
    subscription = subscription_pb2.Subscription(
        id=subscription_id(name),
        external_customer_id=customer,
        plan_code=plan,
        state=subscription_pb2.Subscription.STATE_ACTIVE,
        started_at=instant_to_pb(started_at),
    )
    return rating.SubscriptionChanged(organization_id=ACME, subscription=subscription)


def accrued(
    period: Period,
    *entries: rating.RevenueAccrued.Entry,
    revision: int = 1,
    customer: str = "cust_1",
    subscription: str = SUBSCRIPTION,
    plan: str = "pro",
    organization: str = ACME,
    currency: str = "USD",
) -> rating.RevenueAccrued:
    """What a subscription earned in a billing period."""
    return rating.RevenueAccrued(
        organization_id=organization,
        external_customer_id=customer,
        subscription_id=subscription,
        plan_code=plan,
        currency=currency,
        billing_period=period_to_pb(period),
        revision=revision,
        entries=entries,
    )


def accrued_entry(
    kind: str, amount: str, period: Period, metric: str = "", **group: str
) -> rating.RevenueAccrued.Entry:
    """A part of what a subscription earned; `kind` is usage, base or other."""
    number = getattr(rating.RevenueAccrued, f"KIND_{kind.upper()}")
    span: PeriodPb = period_to_pb(period)
    return rating.RevenueAccrued.Entry(
        kind=number, metric_code=metric, period=span, amount=DecimalPb(value=amount), group=group
    )


def clock_advanced(
    now: datetime, revision: int, positions: Mapping[int, int] | None = None
) -> rating.TestClockAdvanced:
    """A test clock that was moved."""
    places = [ingest.ShardPosition(shard=shard, last_number=last) for shard, last in (positions or {}).items()]
    return rating.TestClockAdvanced(organization_id=ACME, now=instant_to_pb(now), revision=revision, positions=places)


def announced(tx: Connection) -> list[tuple[str, bytes]]:
    """What is in the outbox, in order."""
    return [
        (row.subject, bytes(row.body)) for row in tx.exec_driver_sql("SELECT subject, body FROM outbox ORDER BY id")
    ]
