"""The whole process on real PostgreSQL and NATS: rating's events in, answers, pushes and announcements out."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import pytest

from farebox.entitlements.v1 import (
    access_service_pb2,
    domain_events_pb2,
    entitlement_pb2,
    feature_pb2,
    feature_service_pb2,
)
from services.chassis.bus import Bus
from services.chassis.rpc.changes import AFTER_CHANGE_KEY, BEHIND_KEY
from services.chassis.rpc.errors import error_info, field_violations
from services.chassis.wait import wait_until
from services.kernel.ids import new_id
from services.wire.streams import ENTITLEMENTS
from tests.support.entitlements import NOW, PERIOD, PLAN, SUBSCRIPTION, Running
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.events import (
    clock_advanced,
    gate,
    limit,
    plan_changed,
    subscription_changed,
    usage_aggregated,
)


def announced(bus: Bus, count: int) -> list[Any]:
    """The first `count` messages on this service's stream."""
    reader = bus.open_reader(ENTITLEMENTS.name, "entitlements.>", after_sequence=0)
    found: list[Any] = []

    def enough() -> bool:
        found.extend(reader.fetch(100, 0.2))
        return len(found) >= count

    wait_until(enough, timeout=PATIENCE_SECONDS, what=f"{count} announcements")
    return found


def test_each_total_becomes_visible(running: Running) -> None:
    """Every total that is announced counts in Check by itself; how soon is measured by `make bench BENCH=freshness`."""
    running.sell()
    for revision in range(1, 12):
        running.log.announce(
            usage_aggregated(running.organization, SUBSCRIPTION, str(revision), revision, period=PERIOD)
        )
        running.until_used(str(revision))


def test_a_check_after_a_change_knows_it(running: Running) -> None:
    """Whether the change gives or takes, the next check that names it is answered as of it; no poll in between."""
    for state in 10 * ("ACTIVE", "TERMINATED"):
        change = running.log.announce(
            plan_changed(running.organization, PLAN, [gate("sso")]),
            subscription_changed(running.organization, SUBSCRIPTION, PLAN, period=PERIOD, state=state),
        )
        access, told = running.check_after(change, "sso")
        assert access.allowed == (state == "ACTIVE")
        # Rating is away here: whether there is a change beyond the named one cannot be asked before a no.
        assert (BEHIND_KEY in told) == (state == "TERMINATED")


def test_a_change_that_is_no_number_is_refused(running: Running) -> None:
    metadata = [*running.metadata, (AFTER_CHANGE_KEY, "the last one")]
    request = access_service_pb2.CheckRequest(external_customer_id="acme", feature_code="sso")
    with pytest.raises(grpc.RpcError) as refused:
        running.access.Check(request, metadata=metadata)
    assert [violation.field for violation in field_violations(refused.value)] == [AFTER_CHANGE_KEY]


def test_repeats_and_disorder(running: Running) -> None:
    """Messages that come twice, or before their turn, have their effect once and in order."""
    running.sell()
    totals = [
        usage_aggregated(running.organization, SUBSCRIPTION, str(units), units, period=PERIOD) for units in (1, 2, 3, 4)
    ]
    messages = running.log.messages(*totals)
    running.log.publish([messages[2], messages[0], messages[0], messages[3], messages[1], messages[0], messages[2]])
    running.until_used("4")
    revision = running.check().revision
    running.log.publish([messages[0], messages[3]])
    running.log.announce(usage_aggregated(running.organization, SUBSCRIPTION, "5", 5, period=PERIOD))
    running.until_used("5")
    assert running.check().revision == revision + 1


def test_announcements(running: Running, bus: Bus) -> None:
    """Every alteration and every test clock's advance is announced, numbered without gaps."""
    running.sell()
    running.log.announce(
        usage_aggregated(running.organization, SUBSCRIPTION, "40", 1, period=PERIOD),
        clock_advanced(running.organization, NOW + timedelta(days=1), 7),
    )
    messages = announced(bus, 4)
    changed = [
        domain_events_pb2.AccessChanged.FromString(message.body)
        for message in messages
        if message.subject == "entitlements.access.changed"
    ]
    assert [(change.access.feature_code, change.access.used.value) for change in changed] == [
        ("calls", "0"),
        ("sso", "0"),
        ("calls", "40"),
    ]
    reached = [message.body for message in messages if message.subject == "entitlements.test_clock.reached"]
    assert [domain_events_pb2.TestClockReached.FromString(body).revision for body in reached] == [7]


@dataclass
class Watcher:
    """Somebody who watches, on a thread of its own."""

    call: Any
    steps: list[access_service_pb2.WatchResponse] = field(default_factory=list)

    def start(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            for step in self.call:
                self.steps.append(step)
        except grpc.RpcError as error:
            # The test cuts it off, or the server drains.
            assert error.code() in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)  # noqa: PT017

    def seen(self) -> list[tuple[str, str, bool, bool]]:
        return [(s.access.feature_code, s.access.used.value, s.snapshot, s.removed) for s in self.steps]

    def until(self, count: int) -> None:
        wait_until(lambda: len(self.steps) >= count, timeout=PATIENCE_SECONDS, what=f"{count} steps")


def watch(running: Running, after: int = 0) -> Watcher:
    request = access_service_pb2.WatchRequest(external_customer_ids=["acme"], after_revision=after)
    watcher = Watcher(running.access.Watch(request, metadata=running.metadata))
    watcher.start()
    return watcher


def test_watch(running: Running) -> None:
    """A snapshot, then every change; resumed after the last revision, nothing is missed and nothing comes twice."""
    running.sell()
    first = watch(running)
    first.until(2)
    running.log.announce(usage_aggregated(running.organization, SUBSCRIPTION, "1", 1, period=PERIOD))
    first.until(3)
    assert first.seen() == [("calls", "0", True, False), ("sso", "0", True, False), ("calls", "1", False, False)]
    first.call.cancel()
    running.log.announce(
        usage_aggregated(running.organization, SUBSCRIPTION, "2", 2, period=PERIOD),
        plan_changed(running.organization, PLAN, [limit("calls", "100")]),
    )
    running.until_used("2")
    wait_until(lambda: not running.check("sso").allowed, timeout=PATIENCE_SECONDS, what="the gate to be removed")
    second = watch(running, after=first.steps[-1].access.revision)
    second.until(2)
    running.consume("5", "one")
    second.until(3)
    assert second.seen() == [
        ("calls", "2", False, False),
        ("sso", "0", False, True),
        ("calls", "7", False, False),
    ]
    second.call.cancel()


def test_watch_refuses_a_revision_of_the_future(running: Running) -> None:
    request = access_service_pb2.WatchRequest(after_revision=99)
    with pytest.raises(grpc.RpcError) as caught:
        list(running.access.Watch(request, metadata=running.metadata))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error_info(caught.value)[0] == "REVISION_UNKNOWN"


def test_one_id_is_charged_once(running: Running) -> None:
    """20 calls at once with one request_id: one is counted, all get its answer; another payload is refused."""
    running.sell()
    answers: list[access_service_pb2.ConsumeResponse] = []
    callers = [threading.Thread(target=lambda: answers.append(running.consume("7", "same"))) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert running.check().used.value == "7"
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 19
    assert {answer.access.SerializeToString(deterministic=True) for answer in answers} == {
        answers[0].access.SerializeToString(deterministic=True)
    }
    with pytest.raises(grpc.RpcError) as caught:
        running.consume("8", "same")
    assert error_info(caught.value)[0] == "REQUEST_ID_REUSED"


def test_two_partial_changes_at_once_both_take_effect(running: Running) -> None:
    """Each names one field; the second changes the feature as the first has left it, under the lock."""
    created = feature_pb2.Feature(code="beta", name="Beta", type=feature_pb2.Feature.TYPE_GATE)
    request = feature_service_pb2.CreateFeatureRequest(feature=created)
    running.features.CreateFeature(request, metadata=running.metadata)
    for turn in range(10):
        barrier = threading.Barrier(2)
        contents = {"name": f"Name {turn}", "description": f"Description {turn}"}

        def change(field: str, text: str, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(PATIENCE_SECONDS)
            request = feature_service_pb2.UpdateFeatureRequest(
                code="beta", feature=feature_pb2.Feature(**{field: text}), update_mask={"paths": [field]}
            )
            running.features.UpdateFeature(request, metadata=running.metadata)

        callers = [threading.Thread(target=change, args=content) for content in contents.items()]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        found = running.features.GetFeature(
            feature_service_pb2.GetFeatureRequest(code="beta"), metadata=running.metadata
        ).feature
        assert {field: getattr(found, field) for field in contents} == contents


@pytest.mark.parametrize(
    ("paths", "field"),
    [(["id"], "feature.id"), (["code"], "feature.code"), (["colour"], "feature.colour"), (["name"], "feature.name")],
)
def test_a_change_that_cannot_be_is_refused_by_name(running: Running, paths: list[str], field: str) -> None:
    """What Farebox gives, what identifies, what is unknown, and what must not be empty."""
    created = feature_pb2.Feature(code="beta", name="Beta", type=feature_pb2.Feature.TYPE_GATE)
    running.features.CreateFeature(feature_service_pb2.CreateFeatureRequest(feature=created), metadata=running.metadata)
    request = feature_service_pb2.UpdateFeatureRequest(
        code="beta", feature=feature_pb2.Feature(code="gamma", id=new_id()), update_mask={"paths": paths}
    )
    with pytest.raises(grpc.RpcError) as caught:
        running.features.UpdateFeature(request, metadata=running.metadata)
    assert [violation.field for violation in field_violations(caught.value)] == [field]


def test_features_and_overrides(running: Running) -> None:
    """An override is answered at once, and its removal returns to the plan."""
    running.sell()
    create = feature_service_pb2.CreateFeatureRequest(
        feature=feature_pb2.Feature(code="beta", name="Beta", type=feature_pb2.Feature.TYPE_GATE)
    )
    running.features.CreateFeature(create, metadata=running.metadata)
    listed = running.features.ListFeatures(feature_service_pb2.ListFeaturesRequest(), metadata=running.metadata)
    assert [feature.code for feature in listed.features] == ["beta", "calls", "sso"]
    given = running.features.SetOverride(
        feature_service_pb2.SetOverrideRequest(
            external_customer_id="acme", feature_code="beta", terms=entitlement_pb2.FeatureTerms(enabled=True)
        ),
        metadata=running.metadata,
    )
    assert given.entitlement.external_subscription_id == "acme-pro"
    assert running.check("beta").reason == entitlement_pb2.Access.REASON_OVERRIDE
    removed = running.features.RemoveOverride(
        feature_service_pb2.RemoveOverrideRequest(external_customer_id="acme", feature_code="beta"),
        metadata=running.metadata,
    )
    assert not removed.HasField("entitlement")
    assert not running.check("beta").allowed
