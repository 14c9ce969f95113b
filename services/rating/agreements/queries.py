"""Reading subscriptions, each with the billing period that holds the organization's present time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.chassis.page import Listed, Page
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, SubscriptionId, uuid_or_none
from services.kernel.period import Period
from services.rating.agreements import store
from services.rating.agreements.agreement import Agreement
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.shared.subscription_state import SubscriptionState


@dataclass(frozen=True, slots=True)
class Dated:
    """A subscription as it stands now.

    Attributes:
        agreement: the subscription.
        current_period: the billing period it is in; None where it is in none.
    """

    agreement: Agreement
    current_period: Period | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which subscriptions a list is of; empty texts mean all.

    Attributes:
        states: in any of these states.
        external_customer_id: only this customer's.
        plan_code: only to this plan.
    """

    states: Sequence[SubscriptionState]
    external_customer_id: str = ""
    plan_code: str = ""


def get_subscription(deps: Deps, organization: OrganizationId, external_id: str, subscription_id: str) -> Dated:
    """The subscription with this Farebox id, or else with this external id.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`.
    """
    if subscription_id and uuid_or_none(subscription_id) is None:
        raise InvalidArgumentError.of_field("id", "invalid_format", "is not an id")
    with deps.db.transaction(organization) as tx:
        if subscription_id:
            found = store.agreement(tx, organization, SubscriptionId(subscription_id))
        else:
            found = store.latest_agreement(tx, organization, external_id)
        return Dated(found, found.period_at(now_of(deps, tx, organization)))


def list_subscriptions(deps: Deps, organization: OrganizationId, page: Page, wanted: Wanted) -> Listed[Dated]:
    """Subscriptions, newest first."""
    with deps.db.transaction(organization) as tx:
        listed = store.list_agreements(
            tx,
            organization,
            page,
            external_customer_id=wanted.external_customer_id,
            plan_code=wanted.plan_code,
            states=wanted.states,
        )
        now = now_of(deps, tx, organization)
        return listed.map(lambda agreement: Dated(agreement, agreement.period_at(now)))
