"""What the catalog keeps: versions of metrics and plans, and taxes and coupons as people know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from services.kernel.checks import inside
from services.kernel.ids import BillableMetricId, CustomerId, PlanId
from services.kernel.money import currency
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.pricing.metric import BillableMetric
from services.rating.pricing.plan import Plan
from services.rating.pricing.tax import Tax
from services.rating.shared.limits import (
    MAX_DESCRIPTION,
    MAX_NAME,
    MAX_TAX_CODES,
    require_cents,
    require_code,
    require_metadata,
    require_name,
    require_payment_term,
    require_text,
)

# As many as a price sheet distinguishes; limited so that an event is matched quickly.
MAX_METRIC_FILTERS = 20
MAX_FILTER_VALUES = 100
MAX_FILTER_VALUE = 255
# Limits of a plan, as the proto promises them.
MAX_PLAN_CHARGES = 100
MAX_PLAN_ENTITLEMENTS = 200
MAX_CHARGE_FILTERS = 100
# How many prices a plan has, including those of filters: each is a fee on every one of its invoices, which people read.
MAX_PLAN_PRICES = 1000
MAX_GROUP_KEYS = 5
# Ten years of months; a coupon that lasts longer may as well last forever.
MAX_COUPON_DURATION = 120
MAX_COUPON_LIMITS = 100
_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MetricVersion:
    """A billable metric as it was from one change to the next.

    Attributes:
        metric_id: its identity over all versions.
        version: 1, then one more for each change.
        definition: what is counted, and how.
        name, description: for people.
        created_at: when the metric was created.
        deleted_at: when it was removed; None if it was not.
    """

    metric_id: BillableMetricId
    version: int
    definition: BillableMetric
    name: str
    description: str
    created_at: datetime
    deleted_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse texts and filters beyond the limits; the InvalidArgumentError names the fields."""
        filters = self.definition.filters
        with inside() as checks:
            checks(require_code, "code", self.definition.code)
            checks(require_name, "name", self.name)
            checks(require_text, "description", self.description, MAX_DESCRIPTION)
            checks(require_text, "field_name", self.definition.field_name or "", MAX_NAME)
            if len(filters) > MAX_METRIC_FILTERS:
                checks.refuse("filters", "value_is_invalid", f"are at most {MAX_METRIC_FILTERS}")
            if len({metric_filter.key for metric_filter in filters}) != len(filters):
                checks.refuse("filters", "value_already_exist", "name each property once")
            for number, metric_filter in enumerate(filters[:MAX_METRIC_FILTERS]):
                checks(_check_filter, f"filters[{number}]", metric_filter.key, metric_filter.values)


def _check_filter(path: str, key: str, values: tuple[str, ...]) -> None:
    with inside(path) as checks:
        checks(require_code, "key", key)
        if not 1 <= len(values) <= MAX_FILTER_VALUES:
            checks.refuse("values", "value_is_invalid", f"are 1 to {MAX_FILTER_VALUES}")
        if len(set(values)) != len(values):
            checks.refuse("values", "value_already_exist", "name each value once")
        for number, value in enumerate(values[:MAX_FILTER_VALUES]):
            checks(require_text, f"values[{number}]", value, MAX_FILTER_VALUE)


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """One immutable version of a plan, as the catalog keeps it.

    Attributes:
        plan_id: identity of the version.
        plan: what is sold; in an agreement its taxes are those of the customer's fees, elsewhere they are empty.
        description: for people.
        tax_codes: the taxes of its fees; empty means the organization's.
        bill_usage_in_trial: whether usage during the trial is billed.
        is_current: whether new subscriptions get this version.
        created_at: when the version was made.
        deleted_at: when the plan was withdrawn from sale; None while it is sold.
        active_subscription_count: how many subscriptions to this version were active when it was read.
        net_payment_term_days: days from issue until its invoices are due, for customers without a term of their own;
            None means the organization's.
        metadata: free text by key, which is no term of the plan.
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
    net_payment_term_days: int | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    def __post_init__(self) -> None:
        """Refuse texts and lists beyond the limits; the InvalidArgumentError names the fields."""
        with inside() as checks:
            checks(require_metadata, "metadata", self.metadata)
            checks(require_code, "code", self.plan.code)
            checks(require_name, "name", self.plan.name)
            checks(require_text, "description", self.description, MAX_DESCRIPTION)
            checks(require_payment_term, "net_payment_term_days", self.net_payment_term_days)
            if len(self.tax_codes) > MAX_TAX_CODES:
                checks.refuse("tax_codes", "value_is_invalid", f"are at most {MAX_TAX_CODES}")

    @property
    def base_amount_cents(self) -> int:
        """The base price of a full period in minor units."""
        return self.plan.currency.to_minor(self.plan.base_amount)


@dataclass(frozen=True, slots=True)
class CatalogTax:
    """A tax as the catalog keeps it.

    Attributes:
        tax_id: its identity.
        tax: code, rate and name.
        description: for people.
        applied_to_organization: whether it applies to every fee that names no taxes of its own.
        created_at: when it was created.
    """

    tax_id: str
    tax: Tax
    created_at: datetime
    description: str = ""
    applied_to_organization: bool = False

    def __post_init__(self) -> None:
        """Refuse texts beyond the limits; the InvalidArgumentError names the fields."""
        with inside() as checks:
            checks(require_code, "code", self.tax.code)
            checks(require_text, "name", self.tax.name, MAX_NAME)
            checks(require_text, "description", self.description, MAX_DESCRIPTION)


@dataclass(frozen=True, slots=True)
class AddOn:
    """An item with a price, which one-off invoices name by its code.

    Attributes:
        add_on_id: its identity.
        code: the organization's code.
        name: for people.
        amount_cents: the price of one unit, in minor units.
        currency: ISO 4217 code of the price.
        created_at: when it was created.
        invoice_display_name: on the invoice; empty means the name.
        description: for people.
        tax_codes: its taxes; empty means the customer's.
    """

    add_on_id: str
    code: str
    name: str
    amount_cents: int
    currency: str
    created_at: datetime
    invoice_display_name: str = ""
    description: str = ""
    tax_codes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse texts, prices and lists beyond the limits; the InvalidArgumentError names the fields."""
        with inside() as checks:
            checks(require_code, "code", self.code)
            checks(require_name, "name", self.name)
            checks(require_text, "invoice_display_name", self.invoice_display_name, MAX_NAME)
            checks(require_text, "description", self.description, MAX_DESCRIPTION)
            checks(require_cents, "amount_cents", self.amount_cents)
            checks(currency, self.currency)
            if len(self.tax_codes) > MAX_TAX_CODES:
                checks.refuse("tax_codes", "value_is_invalid", f"are at most {MAX_TAX_CODES}")
            if len(set(self.tax_codes)) != len(self.tax_codes):
                checks.refuse("tax_codes", "value_already_exist", "name each once")


@dataclass(frozen=True, slots=True)
class Coupon:
    """A reduction that customers can be given.

    Attributes:
        coupon_id: its identity.
        name: on the invoice.
        terms: what it takes off the invoices of a customer who is given it.
        currency: of a fixed amount; empty for a percentage.
        expires_at: when it stops reducing invoices; None for never.
        created_at: when it was created.
        description: for people.
        is_reusable: whether a customer who had it may be given it again.
        deleted_at: when it was withdrawn, so that no customer can be given it any more; None if it was not.
    """

    coupon_id: str
    name: str
    terms: CouponTerms
    currency: str
    created_at: datetime
    expires_at: datetime | None = None
    description: str = ""
    is_reusable: bool = True
    deleted_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a duration without end or beyond the limits; the InvalidArgumentError names the fields."""
        duration = self.terms.invoices_left
        with inside() as checks:
            checks(require_code, "code", self.terms.code)
            checks(require_text, "name", self.name, MAX_NAME)
            checks(require_text, "description", self.description, MAX_DESCRIPTION)
            if self.terms.frequency is CouponFrequency.RECURRING and not 0 <= (duration or 0) <= MAX_COUPON_DURATION:
                checks.refuse("frequency_duration", "value_is_invalid", f"is 1 to {MAX_COUPON_DURATION}")
            for name, codes in (("plan_codes", self.terms.plan_codes), ("metric_codes", self.terms.metric_codes)):
                if len(codes) > MAX_COUPON_LIMITS:
                    checks.refuse(name, "value_is_invalid", f"are at most {MAX_COUPON_LIMITS}")


@dataclass(frozen=True, slots=True)
class AppliedCoupon:
    """A coupon that a customer holds.

    Attributes:
        applied_coupon_id: its identity.
        coupon: the coupon; its terms say what was agreed with this customer and what is left.
        customer_id: the customer who holds it.
        external_customer_id: the same customer by the organization's id.
        created_at: when the customer was given it.
        terminated_at: when it was taken away or used up; None while it reduces invoices.
        frequency_duration: how many invoices a recurring coupon was given for; None for other coupons.
    """

    applied_coupon_id: str
    coupon: Coupon
    customer_id: CustomerId
    external_customer_id: str
    created_at: datetime
    terminated_at: datetime | None = None
    frequency_duration: int | None = None
