"""Test clocks: set before there is data, advanced with everything due on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy.engine import Connection

from farebox.ingest.v1 import domain_events_pb2 as ingest_pb
from farebox.rating.v1 import (
    domain_events_pb2,
    plan_pb2,
    subscription_pb2,
    subscription_service_pb2,
)
from farebox.rating.v1 import (
    test_clock_service_pb2 as pb,
)
from services.chassis.config import Settings
from services.chassis.followed import Message
from services.chassis.rpc.errors import error_info
from services.kernel.errors import UnavailableError
from services.rating.clock import commands
from services.rating.consumers import acknowledgement_logs
from tests.support.rating.server import NOW, Rating, Tenant, running_rating, timestamp

START = datetime(2023, 1, 15, 12, tzinfo=UTC)
# Far longer than anything here takes, even on a busy machine.
PATIENCE_SECONDS = 60.0
State = subscription_pb2.Subscription
LOCKS_OF_THE_SESSION = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"


def set_clock(tenant: Tenant, now: datetime = START) -> pb.SetTestClockResponse:
    return tenant.call(tenant.rating.test_clock.SetTestClock, pb.SetTestClockRequest(now=timestamp(now)))


def advance(tenant: Tenant, to: datetime, **fields: Any) -> pb.AdvanceTestClockResponse:
    request = pb.AdvanceTestClockRequest(to=timestamp(to), **fields)
    return tenant.call(tenant.rating.test_clock.AdvanceTestClock, request)


def subscribe(tenant: Tenant, plan_code: str = "pro", **fields: Any) -> subscription_pb2.Subscription:
    request = subscription_service_pb2.CreateSubscriptionRequest(
        external_customer_id="alice", plan_code=plan_code, external_id="sub-1", **fields
    )
    return tenant.call(tenant.rating.subscriptions.CreateSubscription, request).change.subscription


def get(tenant: Tenant, **fields: str) -> subscription_pb2.Subscription:
    request = subscription_service_pb2.GetSubscriptionRequest(**(fields or {"external_id": "sub-1"}))
    return tenant.call(tenant.rating.subscriptions.GetSubscription, request).subscription


def reason(call: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(grpc.RpcError) as refused:
        call(*args)
    return error_info(refused.value)[0]


def test_the_time_is_the_machines_until_it_is_set(tenant: Tenant) -> None:
    found = tenant.call(tenant.rating.test_clock.GetTestClock, pb.GetTestClockRequest())
    assert (found.now, found.test_clock) == (timestamp(NOW), False)
    set_clock(tenant)
    found = tenant.call(tenant.rating.test_clock.GetTestClock, pb.GetTestClockRequest())
    assert (found.now, found.test_clock) == (timestamp(START), True)


def test_a_clock_is_set_in_test_mode_and_before_there_is_data(rating: Rating, tenant: Tenant) -> None:
    assert reason(set_clock, rating.tenant(test_mode=False)) == "ORGANIZATION_NOT_IN_TEST_MODE"
    set_clock(tenant)
    tenant.plan("pro")
    subscribe(tenant)
    assert reason(set_clock, tenant, NOW) == "ORGANIZATION_HAS_DATA"


def test_an_advance_is_announced_with_the_logs_positions(settings_for: Callable[[str], Settings]) -> None:
    """A shard that nothing was written to has nothing to wait for."""
    with running_rating(settings_for("rating"), shard_positions=lambda: {0: 0, 1: 0}) as rating:
        tenant = rating.tenant()
        set_clock(tenant)
        assert advance(tenant, START + timedelta(days=1)).now == timestamp(START + timedelta(days=1))
        bodies = rating.announced("rating.test_clock.advanced")
        events = [domain_events_pb2.TestClockAdvanced.FromString(body) for body in bodies]
    assert [event.revision for event in events] == [1, 2]
    assert [position.shard for position in events[1].positions] == [0, 1]


def test_time_does_not_go_back(tenant: Tenant) -> None:
    set_clock(tenant)
    for to in (START - timedelta(seconds=1), START + timedelta(days=4000)):
        with pytest.raises(grpc.RpcError) as refused:
            advance(tenant, to)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_pending_changes_take_effect_on_the_way(tenant: Tenant) -> None:
    """A start, a downgrade and an agreed end, each dated when it was due and not when it was done."""
    set_clock(tenant)
    tenant.plan("pro")
    tenant.plan("basic", amount_cents=1000)
    ending_at = datetime(2023, 3, 10, 9, tzinfo=UTC)
    pending = subscribe(tenant, started_at=timestamp(START + timedelta(days=1)), ending_at=timestamp(ending_at))
    assert pending.state == State.STATE_PENDING
    advance(tenant, START + timedelta(days=2))
    assert get(tenant).state == State.STATE_ACTIVE
    change = subscription_service_pb2.ChangeSubscriptionPlanRequest(external_id="sub-1", plan_code="basic")
    tenant.call(tenant.rating.subscriptions.ChangeSubscriptionPlan, change)
    advance(tenant, datetime(2023, 4, 1, tzinfo=UTC))
    last = get(tenant)
    assert (last.plan_code, last.state) == ("basic", State.STATE_TERMINATED)
    assert (last.started_at.ToJsonString(), last.terminated_at) == ("2023-02-01T00:00:00Z", timestamp(ending_at))
    first = get(tenant, id=last.previous_subscription_id)
    assert (first.plan_code, first.terminated_at) == ("pro", last.started_at)


def test_a_trial_ends_on_the_way(tenant: Tenant) -> None:
    """Its end is announced."""
    set_clock(tenant)
    tenant.plan("pro", trial_days=10)
    made = subscribe(tenant)
    assert made.trial_ends_at == timestamp(START + timedelta(days=10))
    told = len(tenant.subscription_events())
    advance(tenant, START + timedelta(days=11))
    assert len(tenant.subscription_events()) == told + 1


def test_periods_are_closed_on_the_way(tenant: Tenant) -> None:
    set_clock(tenant)
    tenant.plan("weekly", interval=plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_WEEK, count=1))
    subscribe(tenant, "weekly")
    done = advance(tenant, datetime(2023, 2, 1, tzinfo=UTC))
    assert (done.closed_period_count, done.finalized_invoice_count) == (3, 3)
    assert get(tenant).current_period.start.ToJsonString() == "2023-01-30T00:00:00Z"


def test_a_start_in_the_past_is_caught_up_with(tenant: Tenant) -> None:
    """Nothing else moves an organization whose time stands still."""
    set_clock(tenant)
    tenant.plan("pro")
    subscribe(tenant, started_at=timestamp(START - timedelta(days=40)))
    assert advance(tenant, START).closed_period_count == 0
    assert get(tenant).current_period.start.ToJsonString() == "2023-01-01T00:00:00Z"


def test_a_repeated_advance_answers_the_same(tenant: Tenant) -> None:
    set_clock(tenant)
    first = advance(tenant, NOW, request_id="once")
    assert advance(tenant, NOW, request_id="once") == first
    assert len(tenant.rating.announced("rating.test_clock.advanced")) == 2


def test_the_next_advance_may_follow_at_once(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has an answer is never told that what was answered is on its way: no lock is left to the connection's end."""
    db, kept = tenant.rating.deps.db, []
    session_of = db.worker_session

    @contextmanager
    def watched() -> Iterator[Connection]:
        with session_of() as session:
            yield session
            kept.append(session.exec_driver_sql(LOCKS_OF_THE_SESSION).scalar_one())

    monkeypatch.setattr(db, "worker_session", watched)
    set_clock(tenant)
    advance(tenant, NOW)
    assert kept == [0]


def test_a_repeat_joins_the_advance_that_is_on_its_way(settings_for: Callable[[str], Settings]) -> None:
    """A connection ends before a long advance does, and its channel repeats the call: both hear of the one advance."""
    is_begun, may_go_on = threading.Event(), threading.Event()

    def positions() -> dict[int, int]:
        is_begun.set()
        assert may_go_on.wait(PATIENCE_SECONDS)
        return {}

    with running_rating(settings_for("rating"), shard_positions=positions) as rating, ThreadPoolExecutor(2) as pool:
        tenant = rating.tenant()
        set_clock(tenant)
        first = pool.submit(advance, tenant, NOW, request_id="long")
        assert is_begun.wait(PATIENCE_SECONDS)
        repeat = pool.submit(advance, tenant, NOW, request_id="long")
        assert reason(advance, tenant, NOW) == "TEST_CLOCK_BUSY", "what is no repeat of it hears so at once"
        assert not repeat.done()
        may_go_on.set()
        assert first.result(PATIENCE_SECONDS) == repeat.result(PATIENCE_SECONDS)
        assert len(rating.announced("rating.test_clock.advanced")) == 2, "set once, and advanced once"


def test_a_repeat_goes_on_where_the_first_has_failed(settings_for: Callable[[str], Settings]) -> None:
    """The log was unavailable: the same request_id does not prevent another try."""
    failures = iter([True])

    def positions() -> dict[int, int]:
        if next(failures, False):
            raise UnavailableError("USAGE_LOG_UNAVAILABLE", "ingest cannot be asked")
        return {}

    with running_rating(settings_for("rating"), shard_positions=positions) as rating:
        tenant = rating.tenant()
        set_clock(tenant)
        assert advance(tenant, NOW, request_id="again").now == timestamp(NOW), "the channel has tried again by itself"


def test_only_so_many_clocks_are_moved_at_once(
    settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that move clocks leave threads to other calls; and a clock that was moved gives its place back."""
    monkeypatch.setattr(commands, "SLOT_SECONDS", 0.01)
    long_calls = threading.BoundedSemaphore(1)
    with running_rating(settings_for("rating"), long_calls=long_calls) as rating:
        tenant = rating.tenant()
        set_clock(tenant)
        with long_calls:
            assert reason(advance, tenant, NOW) == "TOO_MANY_ADVANCES"
        assert advance(tenant, NOW).now == timestamp(NOW)
        assert long_calls.acquire(blocking=False)


def test_who_has_not_come_along_is_named(
    settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is at its new time; the same call waits again until every service has reported."""
    monkeypatch.setattr(commands, "FOLLOWERS_SECONDS", 0.01)
    with running_rating(settings_for("rating"), clock_followers=("ingest", "margin")) as rating:
        tenant = rating.tenant()
        set_clock(tenant)
        acknowledge(rating, tenant, "ingest", revision=99)
        with pytest.raises(grpc.RpcError) as refused:
            advance(tenant, NOW)
        assert error_info(refused.value) == ("TEST_CLOCK_WAITS", {"waiting_for": "margin"})
        acknowledge(rating, tenant, "margin", revision=99)
        assert advance(tenant, NOW).now == timestamp(NOW)


def test_the_log_is_waited_for(settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage that the log has and rating has not yet counted must be counted before a period closes."""
    monkeypatch.setattr(commands, "LOG_SECONDS", 0.01)
    with running_rating(settings_for("rating"), shard_positions=lambda: {3: 7}) as rating:
        tenant = rating.tenant()
        set_clock(tenant)
        with pytest.raises(grpc.RpcError) as refused:
            advance(tenant, NOW)
        assert error_info(refused.value)[1] == {"waiting_for": "usage.3"}
        with rating.deps.db.worker_transaction() as tx:
            tx.exec_driver_sql("INSERT INTO inbox (log, last_number) VALUES ('usage.3', 7)")
        assert advance(tenant, NOW).now == timestamp(NOW)


def acknowledge(rating: Rating, tenant: Tenant, service: str, revision: int) -> None:
    """Give rating a service's report, as its follower does, together with another message."""
    body = ingest_pb.TestClockReached(
        organization_id=tenant.organization_id, revision=revision, now=timestamp(NOW)
    ).SerializeToString()
    messages = [
        Message(f"{service}.something.changed", 1, 1, b"not for us"),
        Message(f"{service}.test_clock.reached", 2, 2, body),
    ]
    (log,) = [log for log in acknowledgement_logs() if log.name == service]
    with rating.deps.db.worker_transaction() as tx:
        log.apply(tx, messages)
