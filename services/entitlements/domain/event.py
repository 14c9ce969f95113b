"""What this service announces, and what it takes over from rating, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.entitlements.domain.access import ONE, Access, answer
from services.entitlements.domain.grant import PlanGrant
from services.entitlements.domain.standing import Standing
from services.entitlements.domain.subscription import PlanPeriods, Subscription


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """What a customer may do has changed.

    Attributes:
        organization_id: owner of the customer.
        external_customer_id: the customer.
        access: the answer for one unit now.
        removed: the feature is not granted any more.
    """

    organization_id: str
    external_customer_id: str
    access: Access
    removed: bool


@dataclass(frozen=True, slots=True)
class TestClockReached:
    """Everything due until an instant of a test clock is done here.

    Attributes:
        organization_id: the test-mode organization.
        revision: the advance that was reached.
        now: the instant.
    """

    __test__ = False  # pytest would collect the name as a test class

    organization_id: str
    revision: int
    now: datetime


DomainEvent = AccessChanged | TestClockReached


def access_changed(organization_id: str, standing: Standing, *, at: datetime) -> AccessChanged:
    """What is announced of a standing with an entitlement: the answer for one unit more, at the row's revision."""
    entitlement = standing.entitlement
    if entitlement is None:
        raise ValueError("only what was granted once can change")
    access = answer(entitlement.feature_code, standing, units=ONE, at=at, revision=entitlement.revision)
    return AccessChanged(organization_id, standing.subscription.external_customer_id, access, entitlement.removed)


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """A plan version as rating announced it.

    Attributes:
        organization_id: owner.
        id: Farebox id of the version.
        code: the organization's code, for people who read the table.
        version: 1 for the first.
        periods: how long its periods are.
        grants: what it unlocks.
    """

    organization_id: str
    id: str
    code: str
    version: int
    periods: PlanPeriods
    grants: tuple[PlanGrant, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionMoved:
    """A subscription as rating announced it.

    Attributes:
        organization_id: owner.
        subscription: as it is now.
    """

    organization_id: str
    subscription: Subscription


@dataclass(frozen=True, slots=True)
class ClockMoved:
    """A test clock as rating announced it.

    Attributes:
        organization_id: the test-mode organization.
        now: its time.
        revision: grows with each advance.
    """

    organization_id: str
    now: datetime
    revision: int
