"""What is asked of a subscription, and the result of a verb for it and for the money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.kernel.cadence import Alignment
from services.kernel.checks import inside
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billing_outcome import NOTHING_BILLED, BillingOutcome
from services.rating.agreements.change import ChangeKind
from services.rating.pricing.catalog import PlanVersion
from services.rating.shared.limits import MAX_CODE, MAX_NAME, require_code, require_text


class Reuse(StrEnum):
    """Which existing subscription of the customer is used instead of making another one."""

    NONE = "none"
    OF_PLAN = "of_plan"
    OF_CUSTOMER = "of_customer"


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """Who subscribes to what.

    Attributes:
        external_customer_id: the organization's id of the customer, who is created if new.
        plan_code: the plan.
        plan_version: its version; 0 for the current one.
        external_id: the organization's id for the subscription; empty makes one.
        name: for people.
        alignment: what its billing periods follow.
        starts_at: when it starts: past or future; None for now.
        ending_at: when it is agreed to end; None for never.
        change_existing: whether the customer's subscription with this external id is moved to the plan; otherwise the
            request is refused.
        reuse: which existing subscription of the customer is used instead of making another one.
    """

    external_customer_id: str
    plan_code: str
    plan_version: int = 0
    external_id: str = ""
    name: str = ""
    alignment: Alignment = Alignment.CALENDAR
    starts_at: datetime | None = None
    ending_at: datetime | None = None
    change_existing: bool = False
    reuse: Reuse = Reuse.NONE

    def __post_init__(self) -> None:
        """Refuse texts beyond the limits; the InvalidArgumentError names the fields."""
        with inside() as checks:
            checks(require_code, "external_customer_id", self.external_customer_id)
            checks(require_code, "plan_code", self.plan_code)
            checks(require_text, "external_id", self.external_id, MAX_CODE)
            checks(require_text, "name", self.name, MAX_NAME)
            if self.plan_version < 0:
                checks.refuse("plan_version", "value_is_invalid", "is 0 or more")


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """What a verb does, or in a preview would do.

    Attributes:
        agreement: the subscription afterwards.
        effective_at: when it takes effect.
        now: the organization's time, which decides the subscription's current period.
        billed: what it invoices and credits at once.
        previous: the subscription that it ended; None if there is none.
        kind: the kind of the change of plan; None if the plan does not change.
    """

    agreement: Agreement
    effective_at: datetime
    now: datetime
    billed: BillingOutcome = NOTHING_BILLED
    previous: Agreement | None = None
    kind: ChangeKind | None = None


@dataclass(frozen=True, slots=True)
class PlanOption:
    """The effect of moving a subscription to a plan.

    Attributes:
        version: the plan's current version.
        kind: the kind of the change.
        effective_at: when it would take effect by the rule of its kind; None if it is not possible.
        refusal: why it is not possible now; empty if it is.
    """

    version: PlanVersion
    kind: ChangeKind
    effective_at: datetime | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class VersionMove:
    """The effect of a move to another version of its plan on one subscription.

    Attributes:
        external_id: the subscription's external id.
        effective_at: when the new version takes effect.
        current_amount_cents, new_amount_cents: the base price before and after, in minor units.
        skip_reason: why it is not moved; empty if it is.
    """

    external_id: str
    effective_at: datetime
    current_amount_cents: int
    new_amount_cents: int
    skip_reason: str = ""


@dataclass(frozen=True, slots=True)
class Migration:
    """The effect of moving subscriptions to another version of their plan.

    Attributes:
        to_version: the version to move to.
        moves: one for each subscription.
    """

    to_version: int
    moves: list[VersionMove]
