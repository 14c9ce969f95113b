"""Routes: where the events of one (customer, subscription, code) go, made once and used for thousands of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from services.ingest.domain import billability, identity
from services.ingest.domain.billability import Metric, Needs, Reason, Subscription
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.domain.usage_events import Place, UsageEvents
from services.ingest.pipeline.property import HasValue, ReadValue, number_test, value_reader
from services.ingest.store.copy_rows import place_columns
from services.ingest.store.encoding import entry_head
from services.kernel.ids import OrganizationId
from services.wire.shards import SHARD_COUNT


class Target(NamedTuple):
    """Where an event goes.

    Attributes:
        organization: whose event it is.
        shard: the shard that carries it.
        customer: the organization's id of the customer, from the subscription if the sender left it out.
        subscription_id: Farebox id of the subscription; None for an event that cannot be billed.
        columns: the columns of the log that events with this target share.
        head: the part that their announced entries share; empty for events that cannot be billed.
    """

    organization: OrganizationId
    shard: int
    customer: str
    subscription_id: str | None
    columns: bytes
    head: bytes


class Route:
    """Decides for the events of one (customer, subscription, code) of one organization.

    The common case takes a few comparisons: an event in [starts_us, ends_us) whose properties pass `has_value` goes to
    `only`. `settle` decides about every other event.

    Attributes:
        salt: the salt of its events' content hashes.
        starts_us, ends_us: when its one subscription is active; an empty span if there is not exactly one.
        has_value: whether properties certainly have what the metric needs; `False` is inconclusive.
        only: the target of the events of the common case.
    """

    __slots__ = (
        "_candidates",
        "_make",
        "_metric",
        "_nowhere",
        "_read",
        "_targets",
        "ends_us",
        "has_value",
        "only",
        "salt",
        "starts_us",
    )

    def __init__(
        self,
        salt: bytes,
        metric: Metric | None,
        candidates: Sequence[Subscription],
        make: Callable[[Subscription | None], Target],
    ) -> None:
        """Make a route that has not learned the common case yet.

        Args:
            salt: the salt of its events' content hashes.
            metric: the metric with the code; None if there is none.
            candidates: the subscriptions that may count the events; see billability.find_subscription.
            make: makes the target of a subscription, or of events that cannot be billed.
        """
        self.salt = salt
        self._metric = metric
        self._candidates = candidates
        self._make = make
        self._read, self.has_value = _property_of(metric)
        self._targets: dict[str, Target] = {}
        self._nowhere = make(None)
        self.only = self._nowhere
        self.starts_us, self.ends_us = 1, 0

    def settle(self, event: UsageEvent, at_us: int) -> tuple[Target, Reason | None]:
        """The target of an event, and why it cannot be billed; learns the common case on the way."""
        metric = self._metric
        if metric is None:
            return self._nowhere, billability.METRIC_UNKNOWN
        subscription = billability.find_subscription(event, self._candidates, at_us)
        if isinstance(subscription, Reason):
            return self._nowhere, subscription
        target = self._target(subscription)
        if len(self._candidates) == 1:
            # Set before the span: another thread that sees the span must find the target as well.
            self.only = target
            self.starts_us, self.ends_us = subscription.starts_us, subscription.ends_us
        if self._read is not None:
            reason = billability.missing_property(metric, self._read(event.properties))
            if reason is not None:
                return self._nowhere, reason
        return target, None

    def _target(self, subscription: Subscription) -> Target:
        target = self._targets.get(subscription.subscription_id)
        if target is None:
            target = self._targets[subscription.subscription_id] = self._make(subscription)
        return target


Routes = dict[Place, Route]


def make_route(
    organization: OrganizationId, place: Place, metrics: Mapping[str, Metric], candidates: Sequence[Subscription]
) -> Route:
    """The route of (customer, subscription, code) as the catalog is now."""
    customer, external_subscription_id, code = place

    def make(subscription: Subscription | None) -> Target:
        known = subscription.external_customer_id if subscription else customer
        subscription_id = subscription.subscription_id if subscription else None
        shard = identity.shard_of(organization, known, SHARD_COUNT)
        columns = place_columns(organization, shard, subscription_id, known, external_subscription_id, code)
        head = entry_head(organization, known, subscription_id, code) if subscription_id else b""
        return Target(organization, shard, known, subscription_id, columns, head)

    return Route(identity.content_salt(*place), metrics.get(code), candidates, make)


def _property_of(metric: Metric | None) -> tuple[ReadValue | None, HasValue]:
    """How the property that a metric needs is read, and the quick test for it."""
    if metric is None or metric.needs is Needs.NOTHING:
        return None, _always
    return value_reader(metric.field_name), number_test(metric.field_name)


def _always(_: bytes) -> bool:
    return True


def settle_all(
    routes: Sequence[Route], events: UsageEvents, occurred_us: Sequence[int]
) -> tuple[list[Target], dict[int, Reason]]:
    """The targets of events and, by index, why some of them cannot be billed.

    Args:
        routes: one for each event.
        events: the events.
        occurred_us: when they occurred, with the server's time filled in.
    """
    # None if the common case does not decide.
    targets = [
        route.only if route.starts_us <= at_us < route.ends_us and route.has_value(raw) else None
        for route, at_us, raw in zip(routes, occurred_us, events.properties, strict=True)
    ]
    settled: dict[int, Target] = {}
    reasons: dict[int, Reason] = {}
    if None in targets:
        for index in [index for index, target in enumerate(targets) if target is None]:
            settled[index], reason = routes[index].settle(events.event(index), occurred_us[index])
            if reason is not None:
                reasons[index] = reason
    return [settled[index] if target is None else target for index, target in enumerate(targets)], reasons
