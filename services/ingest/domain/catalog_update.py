"""The changes of rating's catalog that matter to the log, and the log's answer."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import NamedTuple

from services.ingest.domain.billability import Metric, Subscription
from services.kernel.ids import OrganizationId


class OrganizationUpdate(NamedTuple):
    """An organization's policy for repeated events."""

    organization: OrganizationId
    are_duplicates_rejected: bool


class MetricUpdate(NamedTuple):
    """A metric as it is now, or as it was before it was removed."""

    organization: OrganizationId
    metric: Metric
    is_deleted: bool


class SubscriptionUpdate(NamedTuple):
    """A subscription as it is now."""

    organization: OrganizationId
    subscription: Subscription


class TestClockUpdate(NamedTuple):
    """The time of a test-mode organization."""

    organization: OrganizationId
    now: datetime
    revision: int


class Refusal(NamedTuple):
    """An event that rating could not place in a billing period.

    Attributes:
        organization: the organization whose event it is.
        key: its identity in the log.
        reason: rating's reason.
        revision: the revision of the catalog at which the log had found it billable; 0 if rating had counted it before.
            What takes it out of its period is then announced next.
    """

    organization: OrganizationId
    key: uuid.UUID
    reason: str
    revision: int


class TestClockReached(NamedTuple):
    """The log has taken over the new time of a test clock."""

    organization: OrganizationId
    now: datetime
    revision: int


CatalogUpdate = OrganizationUpdate | MetricUpdate | SubscriptionUpdate | TestClockUpdate
