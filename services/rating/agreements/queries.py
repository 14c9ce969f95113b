"""Reading subscriptions, each with the billing period that holds the organization's present time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.chassis.page import Listed, Page
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, SubscriptionId, uuid_or_none
from services.kernel.period import Period
from services.rating.agreements import store
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.change import change_takes_effect_at, direction
from services.rating.agreements.subscription_change import PlanOption
from services.rating.catalog.store.plans import list_plans, plan_version
from services.rating.deps import Deps
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import PlanVersion


@dataclass(frozen=True, slots=True)
class Dated:
    """A subscription as it is now.

    Attributes:
        agreement: the subscription.
        current_period: the billing period it is in; None if it is in none.
    """

    agreement: Agreement
    current_period: Period | None


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """The plans a subscription could move to.

    Attributes:
        subscription: the subscription as it is now.
        pending: the plan version that is agreed to follow; None if there is none.
        options: a page of the plans on sale, sorted by code.
    """

    subscription: Dated
    pending: PlanVersion | None
    options: Listed[PlanOption]


def get_subscription(
    deps: Deps, organization: OrganizationId, external_id: str, subscription_id: str, external_customer_id: str
) -> Dated:
    """The subscription with this Farebox id, or else with this external id.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, also if it is not the named customer's; an empty name accepts any
            customer.
    """
    if subscription_id and uuid_or_none(subscription_id) is None:
        raise InvalidArgumentError.of_field("id", "invalid_format", "is not an id")
    with deps.db.transaction(organization) as tx:
        if subscription_id:
            found = store.agreement(tx, organization, SubscriptionId(subscription_id))
        else:
            found = store.latest_agreement(tx, organization, external_id)
        found.require_customer(external_customer_id)
        return Dated(found, found.period_at(now_of(deps, tx, organization)))


def list_subscriptions(
    deps: Deps, organization: OrganizationId, page: Page, wanted: store.SubscriptionsWanted
) -> Listed[Dated]:
    """Subscriptions, newest first."""
    with deps.db.transaction(organization) as tx:
        listed = store.list_agreements(tx, organization, page, wanted)
        now = now_of(deps, tx, organization)
        return listed.map(lambda agreement: Dated(agreement, agreement.period_at(now)))


def list_plan_changes(
    deps: Deps, organization: OrganizationId, page: Page, external_id: str, external_customer_id: str
) -> PlanChanges:
    """The plans on sale, with the effect of moving a subscription to each, whether or not a change is pending.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, also if it is not the named customer's.
    """
    with deps.db.transaction(organization) as tx:
        found = store.latest_agreement(tx, organization, external_id)
        found.require_customer(external_customer_id)
        now = now_of(deps, tx, organization)
        change = found.subscription.pending_change
        pending = None
        if change is not None and change.plan_code is not None and change.plan_version is not None:
            pending = plan_version(tx, organization, change.plan_code, change.plan_version)
        offered = list_plans(tx, organization, page)
        options = offered.map(lambda version: _option(found, version, now))
        return PlanChanges(Dated(found, found.period_at(now)), pending, options)


def _option(agreement: Agreement, version: PlanVersion, at: datetime) -> PlanOption:
    """The effect of moving to a plan; only a preview knows what it would cost."""
    kind = direction(agreement.plan, version.plan)
    if version.plan_id == agreement.plan_version.plan_id:
        return PlanOption(version, kind, refusal="PLAN_UNCHANGED")
    if version.plan.currency != agreement.plan.currency:
        return PlanOption(version, kind, refusal="CURRENCY_MISMATCH")
    if not agreement.is_active:
        return PlanOption(version, kind, refusal="SUBSCRIPTION_NOT_ACTIVE")
    if agreement.subscription.pending_change is not None:
        return PlanOption(version, kind, refusal="CHANGE_ALREADY_PENDING")
    effective_at = change_takes_effect_at(
        agreement.subscription, agreement.plan, kind, at=at, timezone=agreement.timezone
    )
    return PlanOption(version, kind, effective_at)
