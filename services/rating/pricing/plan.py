"""Plans: what is sold. A base price for each period, charges on usage, and the features that come with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain, count

from services.kernel.cadence import (
    MONTHLY,
    Cadence,
    CadenceUnit,
    Interval,
    ResetWindow,
    monthly_charges,
)
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import ChargeId
from services.kernel.money import ZERO, Currency
from services.rating.pricing.charge_filter import ChargeFilter
from services.rating.pricing.charges import ChargeModel, Dynamic, Graduated, Percentage, Standard, model_name
from services.rating.pricing.charges.checks import require_amount
from services.rating.pricing.metric import Aggregation, BillableMetric
from services.rating.pricing.tax import Tax

# Two years: a longer trial is a free plan.
MAX_TRIAL_DAYS = 731


@dataclass(frozen=True, slots=True)
class Charge:
    """A plan's price on one billable metric.

    Attributes:
        charge_id: identity within the plan version; usage is aggregated by it.
        metric_code: the metric it prices.
        model: the price of usage that no filter matches.
        filters: prices of usage with certain properties.
        group_by: properties that split it into groups with a fee each; None means the metric's.
        minimum_amount: the least that a full period costs, in major currency units; what is missing becomes a true-up
            fee.
        prorated: whether each change of a recurring sum counts by the days for which it is held.
        in_advance: whether each event is billed as it comes, by what it adds to the period's amount.
        description: what an invoice calls it.
        taxes: taxes of its own; empty means the plan's.
        code: the organization's own name for it within the plan.
        tax_codes: codes of its own taxes; in an agreement they are resolved to `taxes`.
        metric_id: Farebox id of the metric.
    """

    charge_id: ChargeId
    metric_code: str
    model: ChargeModel
    filters: tuple[ChargeFilter, ...] = ()
    group_by: tuple[str, ...] | None = None
    minimum_amount: Decimal = ZERO
    prorated: bool = False
    in_advance: bool = False
    description: str = ""
    taxes: tuple[Tax, ...] = ()
    code: str = ""
    tax_codes: tuple[str, ...] = ()
    metric_id: str = ""

    def __post_init__(self) -> None:
        """Refuse a minimum below zero, two filters with one name, and a model that cannot be prorated."""
        with inside() as checks:
            checks(require_amount, "minimum_amount", self.minimum_amount)
            if len({charge_filter.key for charge_filter in self.filters}) != len(self.filters):
                checks.refuse("filters", "value_already_exist", "has two filters of one key")
            if self.prorated and not all(isinstance(model, Standard | Graduated) for model in self.models):
                checks.refuse("prorated", "value_is_invalid", "is possible for standard and graduated charges")
            if self.in_advance and self.minimum_amount:
                checks.refuse(
                    "minimum_amount", "value_is_invalid", "is known only in arrears, not for a charge in advance"
                )

    @property
    def models(self) -> tuple[ChargeModel, ...]:
        """The charge's own price and those of its filters."""
        return (self.model, *(charge_filter.model for charge_filter in self.filters))

    def model_for(self, filter_key: str) -> ChargeModel:
        """The price under a filter; for the empty key, the charge's own."""
        return next(
            (charge_filter.model for charge_filter in self.filters if charge_filter.key == filter_key), self.model
        )

    def group_keys(self, metric: BillableMetric) -> tuple[str, ...]:
        """The properties that split this charge's usage into groups."""
        return metric.group_by if self.group_by is None else self.group_by

    def check_metric(self, metric: BillableMetric) -> None:
        """Refuse a price for which the metric is not suitable; the InvalidArgumentError names the fields."""
        declared = {metric_filter.key: set(metric_filter.values) for metric_filter in metric.filters}
        by_event = {model_name(model) for model in self.models if isinstance(model, Percentage | Dynamic)}
        with inside() as checks:
            for number, charge_filter in enumerate(self.filters):
                for name, values in charge_filter.conditions:
                    if name not in declared or not declared[name].issuperset(values):
                        checks.refuse(
                            f"filters[{number}].values",
                            "value_is_invalid",
                            f"{name[:80]!r} has values the metric does not declare",
                        )
            if self.prorated and not (metric.recurring and metric.aggregation is Aggregation.SUM):
                checks.refuse("prorated", "value_is_invalid", "needs a recurring sum")
            if by_event and metric.aggregation not in {Aggregation.SUM, Aggregation.COUNT}:
                checks.refuse("model", "value_is_invalid", f"{'/'.join(sorted(by_event))} needs a sum or a count")


@dataclass(frozen=True, slots=True)
class PlanEntitlement:
    """A feature that comes with a plan.

    Attributes:
        feature_code: the feature.
        value: True or False for a feature gate, a number for a usage limit, None for an unlimited one, text for a
            configuration.
        is_soft: whether a limit may be exceeded, and the overage reported.
        reset: when the used part of a limit returns to zero.
        metric_code: the metric whose units count against a limit; otherwise empty.
    """

    feature_code: str
    value: bool | Decimal | str | None
    is_soft: bool = False
    reset: ResetWindow = ResetWindow.BILLING_PERIOD
    metric_code: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of what is sold. Amounts are in major currency units.

    Attributes:
        code: the organization's own name for it, shared by all versions.
        version: 1, then one more for each change after it was sold.
        currency: what it is priced in.
        interval: length of its billing period.
        base_amount: price of a full period without usage.
        in_advance: whether the base price is billed when a period begins, not when it ends. Usage is billed afterwards.
        charges: prices on usage.
        bill_charges_monthly: whether usage of a longer period is billed each month.
        trial_days: how many days from a customer's first start have no base price.
        minimum_commitment_amount: the least that a full period costs with everything in it; zero for no commitment.
        entitlements: features that come with it.
        taxes: taxes of its fees; empty means the customer's.
        name: what an invoice calls it.
    """

    code: str
    currency: Currency
    interval: Interval = MONTHLY
    version: int = 1
    base_amount: Decimal = ZERO
    in_advance: bool = False
    charges: tuple[Charge, ...] = ()
    bill_charges_monthly: bool = False
    trial_days: int = 0
    minimum_commitment_amount: Decimal = ZERO
    entitlements: tuple[PlanEntitlement, ...] = ()
    taxes: tuple[Tax, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        """Refuse a plan that could not be billed; the InvalidArgumentError names the fields."""
        with inside() as checks:
            if not self.code:
                checks.refuse("code", "value_is_mandatory", "names the plan")
            checks(require_amount, "base_amount", self.base_amount)
            checks(require_amount, "minimum_commitment_amount", self.minimum_commitment_amount)
            if not 0 <= self.trial_days <= MAX_TRIAL_DAYS:
                checks.refuse("trial_days", "value_is_out_of_range", f"is 0 to {MAX_TRIAL_DAYS}")
            if len({entitlement.feature_code for entitlement in self.entitlements}) != len(self.entitlements):
                checks.refuse("entitlements", "value_already_exist", "name each feature once")
            if self.bill_charges_monthly and self.interval.unit is not CadenceUnit.MONTH:
                checks.refuse("bill_charges_monthly", "value_is_invalid", "needs an interval of whole months")

    @property
    def yearly_amount(self) -> Decimal:
        """The base price of a year, which decides whether a change of plan is an upgrade or a downgrade."""
        return self.base_amount * self.interval.periods_per_year

    def charge_cadence(self, cadence: Cadence) -> Cadence:
        """The cadence in which usage is billed: the plan's own, or monthly within it."""
        return monthly_charges(cadence) if self.bill_charges_monthly else cadence


def next_version(sold: Plan, revised: Plan) -> Plan:
    """The revised plan as the version after a sold one, which its subscribers keep until they are moved.

    Raises:
        InvalidArgumentError: the revision renames the plan or changes its currency.
    """
    if revised.code != sold.code:
        raise InvalidArgumentError.of_field("code", "value_is_invalid", "stays the same over all versions")
    if revised.currency != sold.currency:
        raise InvalidArgumentError.of_field("currency", "value_is_invalid", "stays the same over all versions")
    return replace(revised, version=sold.version + 1)


def with_codes(charges: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """The charges, each with a code: a charge without one is named after its metric, with a number if that is taken."""
    taken = {charge.code for charge in charges if charge.code}
    named = []
    for charge in charges:
        code = charge.code
        if not code:
            numbered = (f"{charge.metric_code}_{number}" for number in count(2))
            code = next(candidate for candidate in chain((charge.metric_code,), numbered) if candidate not in taken)
            taken.add(code)
        named.append(replace(charge, code=code))
    return tuple(named)


def with_known_charges(revised: Plan, known: Plan) -> Plan:
    """The revised plan; charges that the known plan has under the same code keep their identity."""
    ids = {charge.code: charge.charge_id for charge in known.charges}
    charges = (replace(charge, charge_id=ids.get(charge.code, charge.charge_id)) for charge in revised.charges)
    return replace(revised, charges=tuple(charges))
