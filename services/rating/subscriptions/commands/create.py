"""Putting a customer on a plan."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from services.kernel.errors import AbortedError, AlreadyExistsError, FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import OrganizationId, SubscriptionId, new_id
from services.rating.agreements import store as subscriptions
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billing_outcome import NOTHING_BILLED
from services.rating.agreements.subscription import Subscription
from services.rating.agreements.subscription_change import NewSubscription, Reuse, SubscriptionChange
from services.rating.catalog.store.plans import plan_for_sale
from services.rating.customers.commands import find_or_create_customer, fix_currency
from services.rating.customers.customer import Customer
from services.rating.deps import Deps
from services.rating.organizations import store as organizations
from services.rating.organizations.clock_store import now_of
from services.rating.pricing.catalog import PlanVersion
from services.rating.subscriptions.announcing import announce_subscription
from services.rating.subscriptions.commands.billing import bill_start
from services.rating.subscriptions.commands.change_plan import change_plan
from services.rating.subscriptions.commands.start import activated

# All periods since the start are billed at once; with more than ten years of days that would be slow.
MAX_BACKDATING = timedelta(days=3653)
# A start further ahead is a typing mistake.
MAX_AHEAD = timedelta(days=3653)


def create_subscription(
    deps: Deps, tx: Connection, organization: OrganizationId, wanted: NewSubscription
) -> SubscriptionChange:
    """Start a subscription, now or later; a new customer is created.

    A repeated request for the same external id, customer and plan is answered with the existing subscription. If the
    plan differs, the customer's subscription is moved to it if the request allows that. `reuse` says which other
    subscriptions count as existing.

    Raises:
        AlreadyExistsError: `SUBSCRIPTION_EXISTS`, a subscription that has not ended has the external id; it is another
            customer's, or on another plan.
        FailedPreconditionError: `CURRENCY_MISMATCH`, the customer is billed in another currency; or
            `SUBSCRIPTION_AMBIGUOUS`, several subscriptions of the customer could be moved to the plan.
        InvalidArgumentError: names what is wrong.
    """
    now = now_of(deps, tx, organization)
    known = _known(tx, organization, wanted)
    if known is not None:
        return _again(deps, tx, organization, wanted, known, now)
    version = plan_for_sale(tx, organization, wanted.plan_code, wanted.plan_version)
    customer = _billable_customer(deps, tx, organization, wanted.external_customer_id, version, now)
    # The customer is locked: a concurrent request waits here, and then finds the new subscription.
    known = _reusable(tx, organization, wanted, customer)
    if known is not None:
        return _again(deps, tx, organization, wanted, known, now)
    agreement = _agreement(tx, organization, wanted, version, customer, now)
    if agreement.subscription.starts_at <= now:
        agreement = activated(agreement, now)
    kept = subscriptions.insert_agreement(tx, agreement)
    if kept is None:
        return _lost_race(deps, tx, organization, wanted, now)
    billed = bill_start(deps, tx, kept) if kept.is_active else NOTHING_BILLED
    announce_subscription(deps, tx, kept, now)
    return SubscriptionChange(kept, kept.subscription.starts_at, now, billed)


def _known(tx: Connection, organization: OrganizationId, wanted: NewSubscription) -> Agreement | None:
    """The subscription that the same request made before or may move; any other with this external id is refused."""
    if not wanted.external_id:
        return None
    known = subscriptions.living_agreement(tx, organization, wanted.external_id)
    if known is None:
        return None
    is_own = known.external_customer_id == wanted.external_customer_id
    if is_own and (wanted.change_existing or _has_plan(known, wanted)):
        return known
    raise AlreadyExistsError(
        "SUBSCRIPTION_EXISTS",
        "a subscription that has not ended has this external id",
        external_id=wanted.external_id,
        plan_code=known.subscription.plan_code,
    )


def _has_plan(known: Agreement, wanted: NewSubscription) -> bool:
    """Whether a subscription is on the requested plan, and in the requested version if one is named."""
    is_version = wanted.plan_version in {0, known.subscription.plan_version}
    return known.subscription.plan_code == wanted.plan_code and is_version


def _again(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    wanted: NewSubscription,
    known: Agreement,
    now: datetime,
) -> SubscriptionChange:
    """The answer for an existing subscription: unchanged if it is on the plan, otherwise moved to it."""
    if _has_plan(known, wanted):
        return SubscriptionChange(known, known.subscription.starts_at, now)
    if wanted.reuse is Reuse.OF_PLAN:
        raise AlreadyExistsError(
            "SUBSCRIPTION_EXISTS", "the customer has another version of the plan", external_id=wanted.external_id
        )
    plan = wanted.plan_code, wanted.plan_version
    whose, which = wanted.external_customer_id, known.subscription.external_id
    return change_plan(deps, tx, organization, which, plan, external_customer_id=whose)


def _reusable(
    tx: Connection, organization: OrganizationId, wanted: NewSubscription, customer: Customer
) -> Agreement | None:
    """The customer's subscription that is used instead of making another one; None if a new one is to be made."""
    if wanted.reuse is Reuse.NONE:
        return None
    living = subscriptions.living_agreements_of(tx, organization, customer.customer_id)
    on_plan = next((agreement for agreement in living if agreement.subscription.plan_code == wanted.plan_code), None)
    if on_plan is not None or not living or wanted.reuse is Reuse.OF_PLAN:
        return on_plan
    if len(living) > 1:
        raise FailedPreconditionError(
            "SUBSCRIPTION_AMBIGUOUS", "the customer has several subscriptions; name one by its external id"
        )
    return living[0]


def _lost_race(
    deps: Deps, tx: Connection, organization: OrganizationId, wanted: NewSubscription, now: datetime
) -> SubscriptionChange:
    """Another call was first with the external id. Its subscription is visible now, since our insert waited for it."""
    known = _known(tx, organization, wanted)
    if known is None:
        raise AbortedError("SUBSCRIPTION_RACE", "another call is moving this subscription")
    return _again(deps, tx, organization, wanted, known, now)


def _billable_customer(
    deps: Deps, tx: Connection, organization: OrganizationId, external_id: str, version: PlanVersion, now: datetime
) -> Customer:
    """The customer; the first plan fixes its currency."""
    currency = version.plan.currency.code
    customer = find_or_create_customer(deps, tx, organization, external_id, {"currency": currency}, now).customer
    return fix_currency(deps, tx, organization, customer, currency, now)


def _agreement(
    tx: Connection,
    organization: OrganizationId,
    wanted: NewSubscription,
    version: PlanVersion,
    customer: Customer,
    now: datetime,
) -> Agreement:
    # Callers give usage times in whole seconds: what starts now starts with the second, or its first usage would come
    # before it.
    anchor = wanted.starts_at or now.replace(microsecond=0)
    if not now - MAX_BACKDATING <= anchor <= now + MAX_AHEAD:
        raise InvalidArgumentError.of_field("started_at", "value_is_invalid", "is at most ten years away")
    # What an earlier subscription under this external id has billed is not billed again: the new one begins where that
    # one ended, and its anniversaries are still counted from the requested day.
    earlier = subscriptions.last_ended_at(tx, organization, wanted.external_id) if wanted.external_id else None
    starts_at = max(anchor, earlier or anchor)
    if wanted.ending_at is not None and wanted.ending_at <= starts_at:
        raise InvalidArgumentError.of_field("ending_at", "value_is_invalid", "is after the start")
    subscription_id = SubscriptionId(new_id())
    external_id = wanted.external_id or subscription_id
    first = subscriptions.first_started_at(tx, organization, customer.customer_id, external_id)
    subscription = Subscription(
        subscription_id=subscription_id,
        external_id=external_id,
        customer_id=customer.customer_id,
        plan_code=version.plan.code,
        plan_version=version.plan.version,
        alignment=wanted.alignment,
        anchor=anchor,
        starts_at=starts_at,
        first_started_at=min(first or starts_at, starts_at),
    )
    timezone = customer.timezone or organizations.organization(tx, organization).timezone
    return Agreement(
        organization_id=organization,
        subscription=subscription,
        plan_version=version,
        external_customer_id=customer.external_id,
        timezone=timezone,
        name=wanted.name,
        created_at=now,
        ending_at=wanted.ending_at,
    )
