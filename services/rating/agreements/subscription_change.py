"""What is asked of a subscription, and what a verb did to it and to the money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.cadence import Alignment
from services.kernel.errors import InvalidArgumentError
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billing_outcome import NOTHING_BILLED, BillingOutcome
from services.rating.shared.limits import MAX_CODE, MAX_NAME, require_code, require_text


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
    """

    external_customer_id: str
    plan_code: str
    plan_version: int = 0
    external_id: str = ""
    name: str = ""
    alignment: Alignment = Alignment.CALENDAR
    starts_at: datetime | None = None
    ending_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse texts beyond the limits; InvalidArgumentError names the field."""
        require_code("external_customer_id", self.external_customer_id)
        require_code("plan_code", self.plan_code)
        require_text("external_id", self.external_id, MAX_CODE)
        require_text("name", self.name, MAX_NAME)
        if self.plan_version < 0:
            raise InvalidArgumentError.of_field("plan_version", "value_is_invalid", "is 0 or more")


@dataclass(frozen=True, slots=True)
class SubscriptionChange:
    """What a verb does, or would do.

    Attributes:
        agreement: the subscription after it.
        effective_at: when it takes effect.
        now: the organization's time, for the period the subscription is in.
        billed: what it invoices and credits at once.
        previous: the subscription that ended by it; None for none.
    """

    agreement: Agreement
    effective_at: datetime
    now: datetime
    billed: BillingOutcome = NOTHING_BILLED
    previous: Agreement | None = None


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
