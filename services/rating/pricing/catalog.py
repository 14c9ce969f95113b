"""What the catalog keeps: metrics and plans as versions, taxes and coupons as people know them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import BillableMetricId, CustomerId, PlanId
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.pricing.metric import BillableMetric
from services.rating.pricing.plan import Plan
from services.rating.pricing.tax import Tax
from services.rating.shared.limits import MAX_DESCRIPTION, MAX_NAME, require_code, require_text

# As many as a price sheet distinguishes; a bound so that one event is matched quickly.
MAX_METRIC_FILTERS = 20
MAX_FILTER_VALUES = 100
MAX_FILTER_VALUE = 255
# The proto's promises on a plan.
MAX_PLAN_CHARGES = 100
MAX_PLAN_ENTITLEMENTS = 200
MAX_CHARGE_FILTERS = 100
MAX_GROUP_KEYS = 5
# Ten years of months: beyond it a coupon is for ever.
MAX_COUPON_DURATION = 120
MAX_COUPON_LIMITS = 100


@dataclass(frozen=True, slots=True)
class MetricVersion:
    """A billable metric as it was from one change to the next.

    Attributes:
        metric_id: its identity over all versions.
        version: 1, then one more for each change.
        definition: what is counted, and how.
        name, description: for people.
        created_at: when the metric was created.
        deleted_at: when it was removed; None while it is there.
    """

    metric_id: BillableMetricId
    version: int
    definition: BillableMetric
    name: str
    description: str
    created_at: datetime
    deleted_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse texts and filters beyond the limits; InvalidArgumentError names the field."""
        require_code("code", self.definition.code)
        if not self.name:
            raise InvalidArgumentError.of_field("name", "value_is_mandatory", "is required")
        require_text("name", self.name, MAX_NAME)
        require_text("description", self.description, MAX_DESCRIPTION)
        require_text("field_name", self.definition.field_name or "", MAX_NAME)
        if len(self.definition.filters) > MAX_METRIC_FILTERS:
            raise InvalidArgumentError.of_field("filters", "value_is_invalid", f"are at most {MAX_METRIC_FILTERS}")
        if len({each.key for each in self.definition.filters}) != len(self.definition.filters):
            raise InvalidArgumentError.of_field("filters", "value_already_exist", "name each property once")
        for number, each in enumerate(self.definition.filters):
            _check_filter(f"filters[{number}]", each.key, each.values)


def _check_filter(path: str, key: str, values: tuple[str, ...]) -> None:
    require_code(f"{path}.key", key)
    if not 1 <= len(values) <= MAX_FILTER_VALUES:
        raise InvalidArgumentError.of_field(f"{path}.values", "value_is_invalid", f"are 1 to {MAX_FILTER_VALUES}")
    for number, value in enumerate(values):
        require_text(f"{path}.values[{number}]", value, MAX_FILTER_VALUE)


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """One immutable version of a plan, as the catalog keeps it.

    Attributes:
        plan_id: identity of the version.
        plan: what is sold; its taxes are those of the customer's fees in an agreement, and left empty elsewhere.
        description: for people.
        tax_codes: the taxes of its fees; empty for the organization's.
        bill_usage_in_trial: whether usage during the trial is billed.
        is_current: whether new subscriptions get this version.
        created_at: when the version was made.
        deleted_at: when the plan was withdrawn from sale; None while it is sold.
        active_subscription_count: active subscriptions to this version when it was read.
    """

    plan_id: PlanId
    plan: Plan
    created_at: datetime
    description: str = ""
    tax_codes: tuple[str, ...] = ()
    bill_usage_in_trial: bool = True
    is_current: bool = True
    deleted_at: datetime | None = None
    active_subscription_count: int = 0

    def __post_init__(self) -> None:
        """Refuse texts beyond the limits; InvalidArgumentError names the field."""
        require_code("code", self.plan.code)
        if not self.plan.name:
            raise InvalidArgumentError.of_field("name", "value_is_mandatory", "is required")
        require_text("name", self.plan.name, MAX_NAME)
        require_text("description", self.description, MAX_DESCRIPTION)

    @property
    def base_amount_cents(self) -> int:
        """Base price of a full period in minor units."""
        return self.plan.currency.to_minor(self.plan.base_amount)


@dataclass(frozen=True, slots=True)
class CatalogTax:
    """A tax as the catalog keeps it.

    Attributes:
        tax_id: its identity.
        tax: code, rate and name.
        description: for people.
        applied_to_organization: whether it holds for every fee that names no taxes of its own.
        created_at: when it was created.
    """

    tax_id: str
    tax: Tax
    created_at: datetime
    description: str = ""
    applied_to_organization: bool = False

    def __post_init__(self) -> None:
        """Refuse texts beyond the limits."""
        require_code("code", self.tax.code)
        require_text("name", self.tax.name, MAX_NAME)
        require_text("description", self.description, MAX_DESCRIPTION)


@dataclass(frozen=True, slots=True)
class Coupon:
    """A reduction that customers can be given.

    Attributes:
        coupon_id: its identity.
        name: on the invoice.
        terms: what it takes off whoever gets it.
        currency: of a fixed amount; empty for a percentage.
        expires_at: when it stops; None for never.
        created_at: when it was created.
    """

    coupon_id: str
    name: str
    terms: CouponTerms
    currency: str
    created_at: datetime
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a duration without end or beyond the limits; InvalidArgumentError names the field."""
        require_code("code", self.terms.code)
        require_text("name", self.name, MAX_NAME)
        duration = self.terms.invoices_left
        if self.terms.frequency is CouponFrequency.RECURRING and not 0 <= (duration or 0) <= MAX_COUPON_DURATION:
            raise InvalidArgumentError.of_field(
                "frequency_duration", "value_is_invalid", f"is 1 to {MAX_COUPON_DURATION}"
            )
        for name, codes in (("plan_codes", self.terms.plan_codes), ("metric_codes", self.terms.metric_codes)):
            if len(codes) > MAX_COUPON_LIMITS:
                raise InvalidArgumentError.of_field(name, "value_is_invalid", f"are at most {MAX_COUPON_LIMITS}")


@dataclass(frozen=True, slots=True)
class AppliedCoupon:
    """A coupon in a customer's hand.

    Attributes:
        applied_coupon_id: its identity.
        coupon: the coupon, with what was agreed and is left for this customer in its terms.
        customer_id: who has it.
        external_customer_id: the same by the organization's id.
        created_at: when it was given.
        terminated_at: when it was taken away or used up; None while it reduces.
    """

    applied_coupon_id: str
    coupon: Coupon
    customer_id: CustomerId
    external_customer_id: str
    created_at: datetime
    terminated_at: datetime | None = None
