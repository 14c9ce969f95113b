"""What this service announces and what it learns from rating, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.entitlements.domain.access import ONE, Access, answer
from services.entitlements.domain.feature_terms import PlanTerms
from services.entitlements.domain.standing import Standing
from services.entitlements.domain.subscription import PlanPeriods, Subscription
from services.kernel.ids import OrganizationId


@dataclass(frozen=True, slots=True)
class AccessChanged:
    """What a customer may do has changed.

    Attributes:
        organization_id: the customer's organization.
        external_customer_id: the customer.
        access: the answer for one unit now.
        is_removed: whether the customer no longer has the feature.
    """

    organization_id: OrganizationId
    external_customer_id: str
    access: Access
    is_removed: bool


@dataclass(frozen=True, slots=True)
class TestClockReached:
    """This service has done everything that is due up to an instant of a test clock.

    Attributes:
        organization_id: the test-mode organization.
        revision: the advance that was reached.
        now: the instant.
    """

    __test__ = False  # pytest would take the name for a test class

    organization_id: OrganizationId
    revision: int
    now: datetime


DomainEvent = AccessChanged | TestClockReached


def access_changed(organization: OrganizationId, standing: Standing, *, at: datetime) -> AccessChanged:
    """The announcement of a standing with a right: the answer for one unit more, at the row's revision."""
    entitlement = standing.entitlement
    if entitlement is None:
        raise ValueError("a standing without a right cannot change")
    access = answer(entitlement.feature_code, standing, units=ONE, at=at, revision=entitlement.revision)
    return AccessChanged(organization, standing.subscription.external_customer_id, access, entitlement.is_removed)


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """A plan version as rating announced it.

    Attributes:
        organization_id: the organization it belongs to.
        id: Farebox id of the version.
        code: the organization's code, for people who read the table.
        version: 1 for the first.
        periods: how long its periods are.
        terms: its terms for each feature.
    """

    organization_id: OrganizationId
    id: str
    code: str
    version: int
    periods: PlanPeriods
    terms: tuple[PlanTerms, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionMoved:
    """A subscription as rating announced it.

    Attributes:
        organization_id: the organization it belongs to.
        subscription: the subscription as it is now.
    """

    organization_id: OrganizationId
    subscription: Subscription


@dataclass(frozen=True, slots=True)
class ClockMoved:
    """A test clock as rating announced it.

    Attributes:
        organization_id: the test-mode organization.
        now: its time.
        revision: grows with each advance.
    """

    organization_id: OrganizationId
    now: datetime
    revision: int
