"""An agreement: a subscription with everything that decides when and how it is billed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.kernel.cadence import Cadence, clip, period_containing, start_of_next_day
from services.kernel.checks import inside
from services.kernel.errors import NotFoundError
from services.kernel.ids import OrganizationId, SubscriptionId
from services.kernel.period import Period
from services.rating.agreements.resolution import Resolution
from services.rating.agreements.subscription import Subscription
from services.rating.pricing.catalog import PlanVersion
from services.rating.pricing.charge_usage import Window
from services.rating.pricing.plan import Plan
from services.rating.shared.limits import MAX_NAME, require_text
from services.rating.shared.subscription_state import SubscriptionState

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EndTerms:
    """What was requested for the end of a subscription, before or after that end.

    Attributes:
        resolution: where the unused part of a base price paid in advance goes.
        skip_final_invoice: whether the usage since the last invoice stays unbilled.
    """

    resolution: Resolution = Resolution.CREDIT
    skip_final_invoice: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """A subscription, its plan version, and its customer's calendar.

    Attributes:
        organization_id: the organization it belongs to.
        subscription: the subscription.
        plan_version: the version of the plan that it has, with the taxes of its fees.
        external_customer_id: the customer by the organization's id.
        timezone: the IANA zone in which the customer's days are counted.
        name: for people.
        created_at: when it was agreed.
        ending_at: when it is agreed to end; None for never.
        trial_end_due_at: the future end of its trial; None if there is none.
        end_terms: what was asked for with a pending cancellation or change, or for the end that has come.
        next_timezone: the zone that its customer has now, or the organization for it, if that is another: its next
            period is counted in it.
    """

    organization_id: OrganizationId
    subscription: Subscription
    plan_version: PlanVersion
    external_customer_id: str
    timezone: str
    name: str
    created_at: datetime
    ending_at: datetime | None = None
    trial_end_due_at: datetime | None = None
    end_terms: EndTerms = EndTerms()
    next_timezone: str | None = None

    @property
    def subscription_id(self) -> SubscriptionId:
        """Identity of the subscription."""
        return self.subscription.subscription_id

    @property
    def plan(self) -> Plan:
        """What was sold."""
        return self.plan_version.plan

    @property
    def is_active(self) -> bool:
        """Whether the subscription is active."""
        return self.subscription.state is SubscriptionState.ACTIVE

    @property
    def cadence(self) -> Cadence:
        """The calendar of its base price."""
        return self.subscription.cadence(self.plan.interval, self.timezone)

    @property
    def usage_cadence(self) -> Cadence:
        """The calendar its usage is billed in: the plan's own, or monthly within it."""
        return self.plan.charge_cadence(self.cadence)

    @property
    def trial_ends_at(self) -> datetime | None:
        """When its trial ends or ended; None without one."""
        return self.subscription.trial_ends_at(self.plan, self.timezone)

    @property
    def usage_free_until(self) -> datetime | None:
        """The end of a trial whose usage the plan does not bill; None if the plan bills all usage."""
        return None if self.plan_version.bill_usage_in_trial else self.trial_ends_at

    def base_days(self, nominal: Period) -> Period | None:
        """The days of a full period of the plan for which its base price is due; None if there are none.

        With a trial they begin on the day on which it ends. A subscription that ends for good before its trial has
        none, not even that day.
        """
        trial_ends_at, ended_at = self.trial_ends_at, self.subscription.ended_at
        if trial_ends_at is not None and ended_at is not None and ended_at < trial_ends_at:
            return None
        return self.subscription.days_in(nominal, self.timezone, since=trial_ends_at)

    def usage_days(self, period: Period) -> Period | None:
        """The days of a billing period by which shares of usage are counted; None if there are none.

        For a running period they go to the end of the day in which `period.end` lies.
        """
        nominal = self.nominal_period_at(period.start)
        days = self.subscription.days_in(nominal, self.timezone, since=self.usage_free_until)
        if days is None or self.subscription.base_ends_at is not None:
            return days
        return clip(days, end=start_of_next_day(period.end - _INSTANT, self.timezone))

    def window(self, period: Period) -> Window:
        """The window for which the usage of a billing period is priced; the period may be cut short."""
        nominal = self.nominal_period_at(period.start)
        return Window(
            period,
            nominal,
            self.timezone,
            self.usage_days(period),
            self.subscription.days_between_changes(nominal, self.timezone),
            self.usage_free_until,
        )

    def nominal_period_at(self, at: datetime) -> Period:
        """The full billing period that holds an instant."""
        return period_containing(self.usage_cadence, at)

    def period_at(self, at: datetime) -> Period | None:
        """The billing period that holds an instant, cut to the subscription's life; None outside of it."""
        if not self.subscription.covers(at):
            return None
        return self.subscription.usage_part(self.nominal_period_at(at))

    def period_to_come(self, at: datetime) -> Period | None:
        """The billing period that will hold an instant; None also from a scheduled end on.

        A subscription that has not begun yet has such periods from its start on.
        """
        change = self.subscription.pending_change
        ends = (change.effective_at if change else None, self.ending_at)
        if any(end is not None and end <= at for end in ends):
            return None
        if self.subscription.state is SubscriptionState.PENDING and self.subscription.starts_at <= at:
            return self.subscription.usage_part(self.nominal_period_at(at))
        return self.period_at(at)

    @property
    def due_at(self) -> datetime | None:
        """The first instant at which something scheduled is due: a start, a change, a trial's end, its own end."""
        if self.subscription.state is SubscriptionState.PENDING:
            return self.subscription.starts_at
        if not self.is_active:
            return None
        change = self.subscription.pending_change
        candidates = (change.effective_at if change else None, self.trial_end_due_at, self.ending_at)
        return min((instant for instant in candidates if instant is not None), default=None)

    def changes_zone_at(self, at: datetime) -> bool:
        """Whether a subscription that goes on after the end of a billing period goes on in another time zone.

        A zone changes where a period of the plan ends, never within it.
        """
        return self.next_timezone is not None and period_containing(self.cadence, at).start == at

    def require_customer(self, external_customer_id: str) -> None:
        """Refuse a subscription of any other customer as if it did not exist; an empty id accepts every customer.

        Raises:
            NotFoundError: `SUBSCRIPTION_UNKNOWN`.
        """
        if external_customer_id and external_customer_id != self.external_customer_id:
            raise NotFoundError(
                "SUBSCRIPTION_UNKNOWN",
                "this customer has no such subscription",
                external_id=self.subscription.external_id,
                external_customer_id=external_customer_id,
            )

    def renewed(self, *, name: str, ending_at: datetime | None, now: datetime) -> Agreement:
        """The agreement with another name and another end.

        Raises:
            InvalidArgumentError: the name is too long, or the new end is not after now and the start.
        """
        with inside("subscription") as checks:
            checks(require_text, "name", name, MAX_NAME)
            if ending_at not in {None, self.ending_at} and ending_at <= max(now, self.subscription.starts_at):
                checks.refuse("ending_at", "value_is_invalid", "is later than now, and than the start")
        return replace(self, name=name, ending_at=ending_at)

    def without_taxes(self) -> Agreement:
        """The agreement as if nothing in it were taxed."""
        charges = tuple(replace(charge, taxes=()) for charge in self.plan.charges)
        plan = replace(self.plan, taxes=(), charges=charges)
        return replace(self, plan_version=replace(self.plan_version, plan=plan))

    def moved(self, subscription: Subscription) -> Agreement:
        """The agreement after a verb moved its subscription."""
        return replace(self, subscription=subscription)

    def succeeded_by(self, subscription: Subscription, plan_version: PlanVersion) -> Agreement:
        """The agreement of the subscription that takes over after a change of plan or of the time zone."""
        has_changed_zone = subscription.seam != self.subscription.seam
        return replace(
            self,
            subscription=subscription,
            plan_version=plan_version,
            timezone=self.next_timezone if has_changed_zone and self.next_timezone else self.timezone,
            trial_end_due_at=None,
            end_terms=EndTerms(),
        )
