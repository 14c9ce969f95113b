"""What is asked of a subscription, and what a verb did to it and to the money."""

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
    """Which of a customer's subscriptions that have not ended is taken, rather than a further one made."""

    NONE = "none"
    OF_PLAN = "of_plan"
    OF_CUSTOMER = "of_customer"


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """Who subscribes to what.

    Attributes:
        external_customer_id: the customer by the organization's id; created where it is new.
        plan_code: the plan.
        plan_version: its version; 0 for the current one.
        external_id: the organization's id for the subscription; empty makes one.
        name: for people.
        alignment: what its periods follow.
        starts_at: past, now or later; None for now.
        ending_at: when it ends by itself; None for never.
        change_existing: whether one of the customer's with this external id is moved to the plan, rather than refused.
        reuse: which of the customer's is taken, rather than a further one made.
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
        """Refuse texts beyond the limits; InvalidArgumentError names the fields."""
        with inside() as checks:
            checks(require_code, "external_customer_id", self.external_customer_id)
            checks(require_code, "plan_code", self.plan_code)
            checks(require_text, "external_id", self.external_id, MAX_CODE)
            checks(require_text, "name", self.name, MAX_NAME)
            if self.plan_version < 0:
                checks.refuse("plan_version", "value_is_invalid", "is 0 or more")


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """What a verb does, or would do.

    Attributes:
        agreement: the subscription after it.
        effective_at: when it takes effect.
        now: the organization's time, for the period the subscription is in.
        billed: what it invoices and credits at once.
        previous: the subscription that ended by it; None for none.
        kind: which way a change of plan goes; None where the plan does not change.
    """

    agreement: Agreement
    effective_at: datetime
    now: datetime
    billed: BillingOutcome = NOTHING_BILLED
    previous: Agreement | None = None
    kind: ChangeKind | None = None


@dataclass(frozen=True, slots=True)
class PlanOption:
    """What moving a subscription to a plan would be.

    Attributes:
        version: the plan's current version.
        kind: which way it goes.
        effective_at: when it would take effect by the rule of its kind; None where it is not possible.
        refusal: why it is not possible now; empty where it is.
    """

    version: PlanVersion
    kind: ChangeKind
    effective_at: datetime | None = None
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class VersionMove:
    """What moving to another version of its plan does to one subscription.

    Attributes:
        external_id: the subscription.
        effective_at: when the new version takes effect.
        current_amount_cents, new_amount_cents: base price before and after, in minor units.
        skip_reason: why it is not moved; empty where it is.
    """

    external_id: str
    effective_at: datetime
    current_amount_cents: int
    new_amount_cents: int
    skip_reason: str = ""


@dataclass(frozen=True, slots=True)
class Migration:
    """What moving subscriptions to another version of their plan does.

    Attributes:
        to_version: the version to move to.
        moves: one a subscription.
    """

    to_version: int
    moves: list[VersionMove]
