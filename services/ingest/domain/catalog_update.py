"""What rating told of the catalog, as far as the log cares, and what the log answers."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import NamedTuple

from services.ingest.domain.billability import Metric, Subscription


class OrganizationUpdate(NamedTuple):
    """An organization's policy for repeats."""

    organization: uuid.UUID
    rejects_duplicates: bool


class MetricUpdate(NamedTuple):
    """A metric as it is now, or was before it was removed."""

    organization: uuid.UUID
    metric: Metric
    deleted: bool


class SubscriptionUpdate(NamedTuple):
    """A subscription as it is now."""

    organization: uuid.UUID
    subscription: Subscription


class TestClockUpdate(NamedTuple):
    """The time of a test-mode organization."""

    organization: uuid.UUID
    now: datetime
    revision: int


class Refusal(NamedTuple):
    """An event that rating could not place in a billing period."""

    organization: uuid.UUID
    key: uuid.UUID
    reason: str


class TestClockReached(NamedTuple):
    """The log knows the new time of a test clock."""

    organization: uuid.UUID
    now: datetime
    revision: int


CatalogUpdate = OrganizationUpdate | MetricUpdate | SubscriptionUpdate | TestClockUpdate
