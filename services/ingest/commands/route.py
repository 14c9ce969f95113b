"""Routes: where the events of one (customer, subscription, code) go, prepared once and used for thousands of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from services.chassis.streams import SHARD_COUNT
from services.ingest.commands.codec import EntryCodec, ReadValue
from services.ingest.domain import billability, identity
from services.ingest.domain.billability import Metric, Needs, Reason, Subscription
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.domain.usage_events import Place
from services.ingest.store import rows

Suits = Callable[[bytes], bool]


class Target(NamedTuple):
    """Where an event goes.

    Attributes:
        organization: the organization's 16 bytes.
        shard: its shard.
        customer: the customer by the organization's id, from the subscription where the sender left it out.
        subscription_id: Farebox id of the subscription; None for an event that cannot be billed.
        place: the columns of the log that its events share.
        head: what their announced entries share; empty for events that cannot be billed.
    """

    organization: bytes
    shard: int
    customer: str
    subscription_id: str | None
    place: bytes
    head: bytes


class Route:
    """Decides for the events of one (customer, subscription, code) of one organization.

    The common case is a few comparisons: an event in [starts_us, ends_us) whose properties `suits` knows goes to
    `only`. Of every other event `settle` decides.

    Attributes:
        salt: of the content hash of its events.
        starts_us, ends_us: when its one subscription is active; an empty span where there is not one.
        suits: whether properties have what the metric needs; its False says nothing.
        only: where those events go.
    """

    __slots__ = (
        "_candidates",
        "_lost",
        "_make",
        "_metric",
        "_read",
        "_targets",
        "ends_us",
        "only",
        "salt",
        "starts_us",
        "suits",
    )

    def __init__(
        self,
        salt: bytes,
        metric: Metric | None,
        candidates: Sequence[Subscription],
        make: Callable[[Subscription | None], Target],
        read: ReadValue | None,
        suits: Suits,
    ) -> None:
        """Prepare the common case.

        Args:
            salt: of the content hash of its events.
            metric: the metric with the code; None if there is none.
            candidates: as billability.find_subscription takes them.
            make: makes the target of a subscription, or of none.
            read: reads the property that the metric needs; None if it needs none.
            suits: knows most properties that have it.
        """
        self.salt = salt
        self._metric = metric
        self._candidates = candidates
        self._make = make
        self._read = read
        self._targets: dict[str, Target] = {}
        self._lost = make(None)
        self.suits = suits
        self.only = self._lost
        self.starts_us, self.ends_us = 1, 0

    def settle(self, event: UsageEvent, at_us: int) -> tuple[Target, Reason | None]:
        """Where the event goes, and why it cannot be billed."""
        metric = self._metric
        if metric is None:
            return self._lost, billability.METRIC_UNKNOWN
        found = billability.find_subscription(event, self._candidates, at_us)
        if isinstance(found, Reason):
            return self._lost, found
        target = self._target(found)
        if len(self._candidates) == 1:
            # Before the span: whoever sees it in another thread finds the target, too.
            self.only = target
            self.starts_us, self.ends_us = found.starts_us, found.ends_us
        if self._read is not None:
            reason = billability.missing_property(metric, self._read(event.properties))
            if reason is not None:
                return self._lost, reason
        return target, None

    def _target(self, subscription: Subscription) -> Target:
        target = self._targets.get(subscription.subscription_id)
        if target is None:
            target = self._targets[subscription.subscription_id] = self._make(subscription)
        return target


Routes = dict[Place, Route]


def make_route(
    codec: EntryCodec,
    organization: bytes,
    key: Place,
    metrics: Mapping[str, Metric],
    candidates: Sequence[Subscription],
) -> Route:
    """The route of (customer, subscription, code) as the catalog is now."""
    customer, external_subscription_id, code = key

    def make(subscription: Subscription | None) -> Target:
        known = subscription.external_customer_id if subscription else customer
        found = subscription.subscription_id if subscription else None
        shard = identity.shard_of(organization, known, SHARD_COUNT)
        place = rows.place(organization, shard, found, known, external_subscription_id, code)
        head = codec.head(organization, known, found, code) if found else b""
        return Target(organization, shard, known, found, place, head)

    metric = metrics.get(code)
    read: ReadValue | None = None
    suits: Suits = _always
    if metric and metric.needs is not Needs.NOTHING:
        read, suits = codec.reader(metric.field_name), codec.number_test(metric.field_name)
    return Route(identity.content_salt(*key), metric, candidates, make, read, suits)


def _always(_: bytes) -> bool:
    return True
